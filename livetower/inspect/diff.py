"""`livetower inspect diff A B`: what came, went and moved between two checkpoints, and what changed about the job.

All of A's users are kept as arrays (a 64-bit hash, the embedding, three numbers: 290 bytes each at dimension 64, 290 MB
at a million), then B's pass by in batches. The key order of the files would need no such table, but only where both
were written by one backend at one parallelism; this holds for any two. What can be told of both is compared bit for
bit.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import click
import numpy as np
from numpy.typing import NDArray

from livetower.inspect import reading
from livetower.inspect.codes import inspect_error
from livetower.inspect.reading import LearnedState
from livetower.inspect.spread import spread_of
from livetower.inspect.stats import Named
from livetower.inspect.stored_tower import StoredTower, norms_of, read_tower
from livetower.inspect.user_columns import UserColumns, column_batches
from models.hashing import hash_id
from models.item_table import build_index, rows_of

Progress = Callable[[int], None]
NAMED: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class KnownUsers:
    """All users of one state, n of them."""

    hashes: NDArray[np.int64]  # (n,)
    embedding: NDArray[np.float32]  # (n, k)
    user_seq: NDArray[np.int64]  # (n,)
    user_since_ms: NDArray[np.int64]  # (n,)
    newest_event_ms: NDArray[np.int64]  # (n,)
    unreadable: NDArray[np.int64]
    """Hashes of those that are there, and no more is known."""


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """How far m vectors have moved; NaN where one of the two is not finite."""

    moved: NDArray[np.float64]  # (m,) length of the difference
    cosine: NDArray[np.float64]  # (m,) NaN too where one of the two is zero
    before: NDArray[np.float64]  # (m,) norms
    after: NDArray[np.float64]  # (m,)


@dataclass
class Furthest:
    """Those that moved most of all that were offered."""

    limit: int
    kept: list[dict[str, Any]] = field(default_factory=list)

    def offer(self, moves: Moves, named: Callable[[int], dict[str, Any]]) -> None:
        """Take in m moves; `named` gives a place's names."""
        fit = np.flatnonzero(np.isfinite(moves.moved) & (moves.moved > 0))
        best = fit[np.argsort(-moves.moved[fit], kind="stable")[: self.limit]]
        self.kept += [
            named(n)
            | {
                "moved": float(moves.moved[n]),
                "cosine": float(moves.cosine[n]) if np.isfinite(moves.cosine[n]) else None,
                "norm_before": float(moves.before[n]),
                "norm_after": float(moves.after[n]),
            }
            for n in best.tolist()
        ]
        self.kept = sorted(self.kept, key=lambda each: -each["moved"])[: self.limit]


def moves_of(before: NDArray[np.float32], after: NDArray[np.float32]) -> Moves:
    """From vectors (m, k) to vectors (m, k), in float64."""
    norms_before, norms_after = norms_of(before), norms_of(after)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        difference = after.astype(np.float64) - before
        moved = np.sqrt(np.einsum("ij,ij->i", difference, difference))
        product = np.einsum("ij,ij->i", before, after, dtype=np.float64)
        cosine = np.clip(product / (norms_before * norms_after), -1, 1)
    return Moves(moved, cosine, norms_before, norms_after)


def diff_of(
    a: LearnedState, b: LearnedState, *, limit: int = NAMED, done: tuple[Progress, Progress] | None = None
) -> dict[str, Any]:
    """Everything that `diff` says, as JSON values. Raises InspectError."""
    towers = read_tower(a), read_tower(b)
    return {
        "a": {"uri": a.uri, "checkpoint_id": a.metadata.checkpoint_id},
        "b": {"uri": b.uri, "checkpoint_id": b.metadata.checkpoint_id},
        "tower": tower_progress(*towers),
        "settings": changed_settings(*towers),
        "offsets": advanced_offsets(a.offsets(), b.offsets()),
        "users": user_changes(a, b, limit, done or (lambda _: None, lambda _: None)),
        "items": item_changes(a, b, towers, limit),
    }


# ---- users ---------------------------------------------------------------------------------------


def user_changes(a: LearnedState, b: LearnedState, limit: int, done: tuple[Progress, Progress]) -> dict[str, Any]:
    """Users added, gone, begun anew and moved."""
    known = read_users(a, done[0])
    slots = build_index(known.hashes)
    seen = np.zeros(len(known.hashes), np.bool_)
    added, anew, furthest = Named(limit), Named(limit), Furthest(limit)
    moved: list[NDArray[np.float64]] = []
    cosine: list[NDArray[np.float64]] = []
    events: list[NDArray[np.int64]] = []
    after = common = unchanged = unreadable = 0
    for users in column_batches(b.users()):
        hashes = hashes_of(users.ids)
        rows = rows_of(slots, known.hashes, hashes)
        new, both = np.flatnonzero((rows < 0) & ~np.isin(hashes, known.unreadable)), np.flatnonzero(rows >= 0)
        at = rows[both]
        seen[at] = True
        there = rows_of(slots, known.hashes, hashes_of(name for name, _ in users.unreadable))
        seen[there[there >= 0]] = True
        common += len(both)
        added.add(len(new), [{"user_id": users.ids[n], "events": int(users.user_seq[n])} for n in new[:limit].tolist()])
        after += len(users)
        unreadable += len(users.unreadable)
        done[1](after + unreadable)
        if not len(both):
            continue
        require_dimension(a, b, known.embedding.shape[1], users.embedding.shape[1])
        restarted = both[known.user_since_ms[at] != users.user_since_ms[both]]
        anew.add(len(restarted), [{"user_id": users.ids[n]} for n in restarted[:limit].tolist()])
        old, new_vectors = known.embedding[at], users.embedding[both]
        moves = moves_of(old, new_vectors)
        gained = users.user_seq[both] - known.user_seq[at]
        same = (old.view(np.uint32) == new_vectors.view(np.uint32)).all(1) & (gained == 0)
        same &= known.newest_event_ms[at] == users.newest_event_ms[both]
        unchanged += int(same.sum())
        furthest.offer(moves, _user_names(users, both, gained))
        moved.append(moves.moved)
        cosine.append(moves.cosine)
        events.append(gained)
    return {
        "before": len(known.hashes),
        "after": after,
        "unreadable": {"before": len(known.unreadable), "after": unreadable},
        "added": added.as_json(),
        "gone": {"count": int((~seen).sum()), "named": names_of_gone(a, known, seen, limit)},
        "began_anew": anew.as_json(),
        "unchanged": unchanged,
        "changed": common - unchanged,
        "spread": {
            "moved": spread_of(_joined(moved)),
            "cosine": spread_of(_joined(cosine)),
            "events": spread_of(_joined(events)),
        },
        "moved_most": furthest.kept,
    }


def _user_names(users: UserColumns, both: NDArray[Any], gained: NDArray[Any]) -> Callable[[int], dict[str, Any]]:
    return lambda n: {"user_id": users.ids[int(both[n])], "events": int(gained[n])}


def read_users(state: LearnedState, done: Progress) -> KnownUsers:
    """All users of a state, without their lists."""
    hashes: list[NDArray[np.int64]] = []
    vectors: list[NDArray[np.float32]] = []
    numbers: list[NDArray[np.int64]] = []
    unreadable: list[str] = []
    seen = 0
    for users in column_batches(state.users()):
        unreadable += [name for name, _ in users.unreadable]
        if len(users):
            hashes.append(hashes_of(users.ids))
            vectors.append(users.embedding)
            numbers.append(np.stack([users.user_seq, users.user_since_ms, users.newest_event_ms]))
        seen += len(users)
        done(seen + len(unreadable))
    whole = np.concatenate(numbers, 1) if numbers else np.zeros((3, 0), np.int64)
    embedding = np.concatenate(vectors) if vectors else np.zeros((0, 0), np.float32)
    known = np.concatenate(hashes) if hashes else np.zeros(0, np.int64)
    return KnownUsers(known, embedding, whole[0], whole[1], whole[2], hashes_of(unreadable))


def names_of_gone(state: LearnedState, known: KnownUsers, seen: NDArray[np.bool_], limit: int) -> list[dict[str, Any]]:
    """The first users of A that B lacks, by another look through A, which ends as soon as they are found."""
    left = set(known.hashes[~seen].tolist())
    found: list[dict[str, Any]] = []
    if not left:
        return found
    for user_id, events in _names(column_batches(state.users())):
        if len(found) >= limit:
            break
        if hash_id(user_id) in left:
            found.append({"user_id": user_id, "events": events})
    return found


def _names(batches: Iterable[UserColumns]) -> Iterator[tuple[str, int]]:
    for users in batches:
        yield from zip(users.ids, users.user_seq.tolist(), strict=True)


def hashes_of(ids: Iterable[str]) -> NDArray[np.int64]:
    """hash_id of each (n,)."""
    return np.fromiter(map(hash_id, ids), np.int64)


def require_dimension(a: LearnedState, b: LearnedState, before: int, after: int) -> None:
    """Raise InspectError unless both are of one dimension."""
    if before != after:
        raise inspect_error("LT-INS-307", f"{a.uri} has vectors of dimension {before}, {b.uri} of {after}")


# ---- items, and what changed about the job -------------------------------------------------------


def item_changes(
    a: LearnedState, b: LearnedState, towers: tuple[StoredTower | None, StoredTower | None], limit: int
) -> dict[str, Any] | None:
    """Items added, gone and moved; None unless both states have a tower."""
    old, new = towers
    if old is None or new is None:
        return None
    require_dimension(a, b, old.vectors.shape[1], new.vectors.shape[1])
    rows = rows_of(build_index(old.hashes), old.hashes, new.hashes)
    both = np.flatnonzero(rows >= 0)
    at = rows[both]
    gone = np.ones(len(old.hashes), np.bool_)
    gone[at] = False
    moves = moves_of(old.vectors[at], new.vectors[both])
    gained = new.events[both] - old.events[at]
    same = (old.vectors[at].view(np.uint32) == new.vectors[both].view(np.uint32)).all(1)
    furthest = Furthest(limit)
    furthest.offer(moves, lambda n: item_names(new, int(both[n])) | {"events": int(gained[n])})
    added = np.flatnonzero(rows < 0)
    return {
        "before": len(old.hashes),
        "after": len(new.hashes),
        "added": {"count": len(added), "named": [item_names(new, row) for row in added[:limit].tolist()]},
        "gone": {
            "count": int(gone.sum()),
            "named": [item_names(old, row) for row in np.flatnonzero(gone)[:limit].tolist()],
        },
        "unchanged": int(same.sum()),
        "changed": int((~same).sum()),
        "spread": {
            "moved": spread_of(moves.moved),
            "cosine": spread_of(moves.cosine),
            "events": spread_of(gained),
        },
        "moved_most": furthest.kept,
    }


def item_names(tower: StoredTower, row: int) -> dict[str, Any]:
    """Id and title of a row's item."""
    item = int(tower.hashes[row])
    return {"item_id": tower.item_id_of(item), "title": tower.title_of(item)}


def tower_progress(old: StoredTower | None, new: StoredTower | None) -> dict[str, list[int | None]]:
    """Epoch, inputs and examples trained, before and after; None where there is no tower."""
    names = {"epoch": "epoch", "inputs": "number", "examples": "trained"}
    return {
        name: [None if tower is None else int(tower.facts.get(fact, 0)) for tower in (old, new)]
        for name, fact in names.items()
    }


def changed_settings(old: StoredTower | None, new: StoredTower | None) -> dict[str, Any]:
    """Settings whose values differ, before and after; `known` is false if one of the jobs did not keep them."""
    before, after = (None if tower is None else tower.settings for tower in (old, new))
    if before is None or after is None:
        return {"known": False, "changed": {}}
    flat = flattened(before), flattened(after)
    names = sorted({*flat[0], *flat[1]})
    values = {name: [flat[0].get(name), flat[1].get(name)] for name in names}
    return {"known": True, "changed": {name: pair for name, pair in values.items() if pair[0] != pair[1]}}


def flattened(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Names with dots, as --set takes them.

    >>> flattened({"model": {"rho": 0.7}, "name": "a"})
    {'model.rho': 0.7, 'name': 'a'}
    """
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= flattened(value, f"{path}{name}.") if isinstance(value, Mapping) else {f"{path}{name}": value}
    return flat


def advanced_offsets(
    before: Mapping[tuple[str, int], int], after: Mapping[tuple[str, int], int]
) -> list[dict[str, Any]]:
    """Of every partition what the job would read next, and how far that is on."""
    found = []
    for topic, partition in sorted({*before, *after}):
        # Below 0 Flink notes that nothing has been read yet, and where it would begin.
        old, new = (at if (at := side.get((topic, partition), -1)) >= 0 else None for side in (before, after))
        on = None if old is None or new is None else new - old
        found.append({"topic": topic, "partition": partition, "before": old, "after": new, "advanced": on})
    return found


def _joined(pieces: list[Any]) -> NDArray[Any]:
    return np.concatenate(pieces) if pieces else np.zeros(0)


EPILOG = """\b
  livetower inspect diff A B
  livetower inspect diff A B --limit 50 --json
"""


@click.command(epilog=EPILOG)
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "--limit", type=click.IntRange(min=0), default=NAMED, show_default=True, help="Users and items to name of a kind."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout instead of the tables.")
def diff(a: str, b: str, limit: int, as_json: bool) -> None:
    """Compare two checkpoints or savepoints: users and items that came, went and moved most, settings that changed, and
    how far offsets and training have come from A to B.

    What moved is ranked by the length of the difference; the cosine says how far it turned. A user began anew when its
    state had died or was erased in between.
    """
    # Tables need not load for `livetower --help`.
    import json

    from livetower.inspect.diff_tables import print_diff
    from livetower.progress import progress_bars

    with reading.open_state(a) as old, reading.open_state(b) as new, progress_bars() as begin:
        bars = begin("users of A", old.users_estimate() or 0), begin("users of B", new.users_estimate() or 0)
        found = diff_of(old, new, limit=limit, done=bars)
    if as_json:
        click.echo(json.dumps(found))
    else:
        print_diff(found)
