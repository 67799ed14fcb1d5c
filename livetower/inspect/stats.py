"""`livetower inspect stats`: how norms, events, ages and sizes are spread, and which vectors are sick.

One pass over the users keeps 48 bytes of each and the names of the extremes. The JSON is made first; tables and page
(report.py) show what stands in it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from numpy.typing import NDArray

from livetower.inspect import reading
from livetower.inspect.codes import inspect_error
from livetower.inspect.reading import LearnedState
from livetower.inspect.spread import OUTLIER_Z, histogram_of, robust_centre, robust_z, spread_of
from livetower.inspect.stored_tower import StoredTower, read_tower
from livetower.inspect.user_columns import UserColumns, column_batches

LEARN: Final = "learn-and-recommend"
DAY_MS: Final = 86_400_000
WHOLE: Final = frozenset({"events", "positives", "consumed", "blob_bytes"})
"""What is counted, and not measured."""
NAMED: Final = 10
"""So many users or items are named of each kind unless --limit says otherwise."""


@dataclass
class Named:
    """How many there are, and the first of them by name."""

    limit: int
    count: int = 0
    first: list[dict[str, Any]] = field(default_factory=list)

    def add(self, count: int, some: list[dict[str, Any]]) -> None:
        self.count += count
        self.first += some[: max(0, self.limit - len(self.first))]

    def as_json(self) -> dict[str, Any]:
        return {"count": self.count, "named": self.first}


@dataclass
class UserPass:
    """What one pass over the users keeps."""

    limit: int
    numbers: dict[str, list[NDArray[Any]]] = field(default_factory=dict)  # name → a piece (n,) of every batch
    groups: list[NDArray[np.int32]] = field(default_factory=list)
    unreadable: Named = field(init=False)
    non_finite: Named = field(init=False)
    zero: Named = field(init=False)
    learned_zero: Named = field(init=False)
    extremes: list[tuple[float, str]] = field(default_factory=list)  # the shortest and the longest, by norm

    def __post_init__(self) -> None:
        self.unreadable, self.non_finite = Named(self.limit), Named(self.limit)
        self.zero, self.learned_zero = Named(self.limit), Named(self.limit)

    def add(self, columns: UserColumns, groups: NDArray[np.int32]) -> None:
        """Take in one batch."""
        norms = columns.norms
        pieces = {
            "norm": norms,
            "events": columns.user_seq,
            "positives": columns.positives,
            "consumed": columns.consumed_count,
            "blob_bytes": columns.blob_bytes,
            "newest_event_ms": columns.newest_event_ms,
        }
        for name, piece in pieces.items():
            self.numbers.setdefault(name, []).append(piece)
        self.groups.append(groups)
        causes = [{"user_id": name, "cause": cause} for name, cause in columns.unreadable]
        self.unreadable.add(len(causes), causes)
        self._name(self.non_finite, columns, ~columns.finite)
        self._name(self.zero, columns, norms == 0)
        self._name(self.learned_zero, columns, (norms == 0) & (columns.positives > 0))
        fit = np.flatnonzero(np.isfinite(norms) & (norms > 0))
        order = fit[np.argsort(norms[fit], kind="stable")]
        ends = {*order[: self.limit].tolist(), *order[max(0, len(order) - self.limit) :].tolist()}
        pool = sorted([*self.extremes, *((float(norms[row]), columns.ids[row]) for row in ends)])
        self.extremes = pool if len(pool) <= 2 * self.limit else [*pool[: self.limit], *pool[len(pool) - self.limit :]]

    def _name(self, named: Named, columns: UserColumns, which: NDArray[np.bool_]) -> None:
        rows = np.flatnonzero(which)
        some = [
            {"user_id": columns.ids[row], "events": int(columns.user_seq[row])} for row in rows[: self.limit].tolist()
        ]
        named.add(len(rows), some)

    def whole(self, name: str) -> NDArray[Any]:
        """One number of all users (n,)."""
        pieces = self.numbers.get(name)
        return np.concatenate(pieces) if pieces else np.zeros(0)


def stats_of(
    state: LearnedState,
    tower: StoredTower | None,
    *,
    parallelism: int | None = None,
    limit: int = NAMED,
    done: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Everything that `stats` says, as JSON values. Raises InspectError."""
    max_parallelism, own = parallelisms_of(state)
    parallelism = own if parallelism is None else parallelism
    if not 1 <= parallelism <= max_parallelism:
        raise inspect_error(
            "LT-INS-304",
            f"{state.uri}: a parallelism in [1, {max_parallelism}] was needed, its key groups; got {parallelism}",
        )
    seen, users = 0, UserPass(limit)
    for columns in column_batches(state.users()):
        groups = np.fromiter((state.key_group_of(name) for name in columns.ids), np.int32, len(columns))
        users.add(columns, groups)
        seen += len(columns) + len(columns.unreadable)
        done(seen)
    return {
        "uri": state.uri,
        "checkpoint_id": state.metadata.checkpoint_id,
        "outlier_z": OUTLIER_Z,
        "users": user_stats(users),
        "key_groups": key_group_stats(users, max_parallelism, parallelism),
        "items": None if tower is None else item_stats(tower, limit),
    }


def parallelisms_of(state: LearnedState) -> tuple[int, int]:
    """Max parallelism and parallelism of learn-and-recommend. Raises InspectError."""
    for operator in state.metadata.operators:
        if operator.uid == LEARN:
            return operator.max_parallelism, operator.parallelism
    raise inspect_error("LT-INS-106", f"{state.uri}: an operator {LEARN} was needed; it has none")


def user_stats(users: UserPass) -> dict[str, Any]:
    """Spreads, histograms and sick vectors of the users."""
    newest = users.whole("newest_event_ms")
    latest = int(newest.max()) if len(newest) else None
    numbers = {name: users.whole(name) for name in ("norm", "events", "positives", "consumed", "blob_bytes")}
    numbers["idle_days"] = np.zeros(0) if latest is None else (latest - newest) / DAY_MS
    centre = robust_centre(numbers["norm"])
    z = robust_z(numbers["norm"], centre)
    ends = robust_z(np.array([norm for norm, _ in users.extremes]), centre)
    far: list[dict[str, Any]] = sorted(
        (
            {"user_id": name, "norm": norm, "z": float(at)}
            for (norm, name), at in zip(users.extremes, ends, strict=True)
        ),
        key=lambda each: -abs(each["z"]),
    )
    return {
        "count": len(newest),
        "newest_event_ms": latest,
        "spread": {name: spread_of(values) for name, values in numbers.items()},
        "histogram": {name: histogram_of(values, whole=name in WHOLE) for name, values in numbers.items()},
        "bytes": int(numbers["blob_bytes"].sum()),
        "unreadable": users.unreadable.as_json(),
        "non_finite": users.non_finite.as_json(),
        "dead": users.zero.as_json(),
        "dead_though_learned": users.learned_zero.as_json(),
        "outliers": {
            "count": int((np.abs(z) > OUTLIER_Z).sum()),
            "named": [each for each in far if abs(each["z"]) > OUTLIER_Z][: users.limit],
        },
    }


def key_group_stats(users: UserPass, max_parallelism: int, parallelism: int) -> dict[str, Any]:
    """How users and bytes fall to the subtasks: Flink gives key group g to subtask
    g * parallelism // max_parallelism (KeyGroupRangeAssignment).
    """
    groups = np.concatenate(users.groups) if users.groups else np.zeros(0, np.int32)
    count = np.bincount(groups, minlength=max_parallelism)
    size = np.bincount(groups, users.whole("blob_bytes"), minlength=max_parallelism)
    subtask = np.arange(max_parallelism) * parallelism // max_parallelism
    per_users = np.bincount(subtask, count, minlength=parallelism)
    per_bytes = np.bincount(subtask, size, minlength=parallelism)
    n_groups = np.bincount(subtask, minlength=parallelism)
    mean = per_users.mean()
    return {
        "max_parallelism": max_parallelism,
        "parallelism": parallelism,
        "empty_groups": int((count == 0).sum()),
        "users_per_group": spread_of(count),
        "skew": float(per_users.max() / mean) if mean else None,
        "subtasks": [
            {"subtask": n, "key_groups": int(n_groups[n]), "users": int(per_users[n]), "bytes": int(per_bytes[n])}
            for n in range(parallelism)
        ],
    }


def item_stats(tower: StoredTower, limit: int) -> dict[str, Any]:
    """Spreads, histograms and sick vectors of the items; an item is dead if its vector is zero, untrained if no event
    has named it.
    """
    norms = tower.norms
    finite = np.isfinite(tower.vectors).all(1) & np.isfinite(tower.biases)
    centre = robust_centre(norms)
    z = robust_z(norms, centre)

    def named(which: NDArray[np.bool_], key: NDArray[Any] | None = None) -> dict[str, Any]:
        rows = np.flatnonzero(which)
        if key is not None:
            rows = rows[np.argsort(-key[rows], kind="stable")]
        some = [
            {
                "item_id": tower.item_id_of(int(tower.hashes[row])),
                "title": tower.title_of(int(tower.hashes[row])),
                "events": int(tower.events[row]),
                "norm": float(norms[row]) if np.isfinite(norms[row]) else None,
                "z": float(z[row]),
            }
            for row in rows[:limit].tolist()
        ]
        return {"count": len(rows), "named": some}

    numbers: dict[str, NDArray[Any]] = {"norm": norms, "bias": tower.biases, "events": tower.events}
    return {
        "count": len(norms),
        "available": int(tower.available.sum()),
        "dimension": tower.vectors.shape[1],
        "epoch": tower.facts.get("epoch", 0),
        "inputs": tower.facts["number"],
        "examples": tower.facts["trained"],
        "spread": {name: spread_of(values) for name, values in numbers.items()},
        "histogram": {name: histogram_of(values, whole=name in WHOLE) for name, values in numbers.items()},
        "non_finite": named(~finite),
        "dead": named(norms == 0),
        "untrained": named(tower.events == 0),
        "outliers": named(np.abs(z) > OUTLIER_Z, np.abs(z)),
    }


EPILOG = """\b
  livetower inspect stats PATH
  livetower inspect stats PATH --parallelism 8 --json
  livetower inspect stats PATH --html stats.html
"""


@click.command(epilog=EPILOG)
@click.argument("path")
@click.option(
    "--parallelism", type=int, metavar="N", help="Skew at so many subtasks. Default: those that wrote the state."
)
@click.option(
    "--limit", type=click.IntRange(min=0), default=NAMED, show_default=True, help="Users and items to name of a kind."
)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Also one self-contained page.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout instead of the tables.")
def stats(path: str, parallelism: int | None, limit: int, html: Path | None, as_json: bool) -> None:
    """Say how norms, events, ages and sizes of a checkpoint are spread, how its users fall to subtasks, and which
    vectors are dead, far outside or not finite.

    A vector is an outlier when the logarithm of its norm lies more than 5 robust standard deviations from the median,
    and dead when it is zero. A user is idle since its newest event, counted to the newest of all.
    """
    # Tables and the page need not load for `livetower --help`.
    import json

    from livetower.inspect.report import report_html
    from livetower.inspect.stats_tables import print_stats
    from livetower.progress import progress_bars

    with reading.open_state(path) as state, progress_bars() as begin:
        tower = read_tower(state)
        done = begin("users", state.users_estimate() or 0)
        found = stats_of(state, tower, parallelism=parallelism, limit=limit, done=done)
    if html is not None:
        try:
            html.write_text(report_html(found, tower), encoding="utf-8")
        except OSError as error:
            raise inspect_error("LT-INS-305", f"--html {html}: a file to write was needed: {error.strerror}") from error
    if as_json:
        click.echo(json.dumps(found))
    else:
        print_stats(found)
    if html is not None:
        click.echo(f"written: {html}", err=True)
