"""What readers get of an item tower (a full snapshot, a delta, an update of popularity), and when the next is due.

Due is by the number of trained examples; operators/publisher.py adds what the clock makes due, and decides whether
vectors go out in full or as a delta. Nothing here changes what the tower has learned. Next: `snapshots.py`, the bytes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.item_table import Popularity
from models.item_tower import ItemTower
from models.learning import Ints
from models.snapshots import DELTA, FULL, POPULARITY, SnapshotRows


@dataclass(frozen=True, slots=True, eq=False)
class SnapshotBase:
    """What the last full snapshot or delta held, to tell what has changed since."""

    generation: int
    n: int
    version: int  # rows touched at a later one have changed
    events: Ints  # (n,)
    available: NDArray[np.bool_]  # (n,)
    cold: NDArray[np.bool_]  # (n,)


def full_snapshot(tower: ItemTower, epoch: int, trained_events: int) -> tuple[SnapshotRows, SnapshotBase]:
    """Everything readers need, and what to compare with for the next delta or update."""
    everything = np.arange(tower.rows.n)
    return _snapshot_rows(tower, FULL, epoch, trained_events, everything, everything, None), _base(tower)


def n_changed(tower: ItemTower, base: SnapshotBase) -> int:
    """How many rows a delta would hold."""
    return int((tower.rows.touched_at[: base.n] > base.version).sum()) + max(0, tower.rows.n - base.n)


def delta_since(
    tower: ItemTower, base: SnapshotBase, epoch: int, trained_events: int
) -> tuple[SnapshotRows, SnapshotBase] | None:
    """The rows that changed since the base, whole, and the base that they make; None if only a full snapshot helps,
    as for an update.
    """
    if base.generation != tower.generation:
        return None
    changed = np.flatnonzero(tower.rows.touched_at[: base.n] > base.version)
    new = np.arange(base.n, tower.rows.n)
    whole = np.concatenate([changed, new])
    named = np.concatenate([changed, np.full(len(new), -1)])
    return _snapshot_rows(tower, DELTA, epoch, trained_events, whole, whole, named), _base(tower)


def _base(tower: ItemTower) -> SnapshotBase:
    rows = tower.rows
    base = SnapshotBase(
        generation=tower.generation,
        n=rows.n,
        version=rows.version,
        events=rows.events[: rows.n].copy(),
        available=rows.available[: rows.n].copy(),
        cold=_cold(tower, np.arange(rows.n)),
    )
    rows.version += 1
    return base


def _cold(tower: ItemTower, of: Ints) -> NDArray[np.bool_]:
    """Whether these rows are of items with next to no events that have content to stand for them."""
    cold: NDArray[np.bool_] = (tower.rows.events[of] < tower.settings.cold_events) & tower.rows.described[of]
    return cold


def popularity_update(tower: ItemTower, base: SnapshotBase, epoch: int, trained_events: int) -> SnapshotRows | None:
    """What has changed in popularity and availability since the base, and the new rows; None if rows were
    renumbered or counts rescaled since, so that only a full snapshot helps.
    """
    if base.generation != tower.generation:
        return None
    rows = tower.rows
    known = np.arange(base.n)
    changed = np.flatnonzero(
        (rows.events[known] != base.events)
        | (rows.available[known] != base.available)
        | (_cold(tower, known) != base.cold)
    )
    new = np.arange(base.n, rows.n)
    named = np.concatenate([changed, np.full(len(new), -1)])
    return _snapshot_rows(tower, POPULARITY, epoch, trained_events, np.concatenate([changed, new]), new, named)


def _snapshot_rows(
    tower: ItemTower, kind: str, epoch: int, trained_events: int, of: Ints, whole: Ints, named: Ints | None
) -> SnapshotRows:
    """The rows `of`, with vectors and texts of the rows `whole`."""
    rows = tower.rows
    items = [tower.catalogue[key].item for key in rows.hashes[whole].tolist()]
    neighbours = tower.neighbours_of(whole)
    mean_counts = rows.counts[: rows.n].sum(0) / (tower.unit * max(rows.n, 1))  # (F,)
    popularity = Popularity(
        counts=rows.counts[of],
        cold=_cold(tower, of),
        cold_counts=(tower.settings.cold_popularity * mean_counts).astype(np.float32),
        alpha=tower.alpha.copy(),
        gamma=tower.gamma.copy(),
        floor=tower.settings.popularity_floor,
        unit=tower.unit.copy(),
    )
    return SnapshotRows(
        kind=kind,
        epoch=epoch,
        trained_events=trained_events,
        popularity=popularity,
        available=rows.available[of],
        hashes=rows.hashes[whole],
        vectors=rows.vectors[whole],
        biases=rows.biases[whole],
        ids=tuple(item.item_id for item in items),
        titles=tuple(item.title for item in items),
        categories=tuple(item.category for item in items),
        content=rows.content[whole] if tower.content.fitted else np.zeros((len(whole), 0), np.float16),
        neighbour_rows=neighbours.rows,
        neighbour_weights=neighbours.weights,
        beta=tower.beta.copy(),
        rows=named,
    )


# ---- when --------------------------------------------------------------------------------------------


def next_full(trained: int, every: int) -> int:
    """The first number of trained examples beyond `trained` at which a snapshot of vectors is due.

    The points are `every` apart, and closer while the stream is young: the one after p is p + 50 + p // 10 then. They
    do not depend on when snapshots were published, so that a restored tower publishes what an undisturbed one does.

    >>> [next_full(n, 2_000) for n in (0, 49, 50, 104, 105, 50_000)]
    [50, 50, 105, 105, 165, 51932]
    """
    point = 0
    while point <= trained:
        step = min(every, 50 + point // 10)
        point += step if step < every else every * ((trained - point) // every + 1)
    return point


def next_fit(trained: int, every: int) -> int:
    """The first number of trained examples beyond `trained` at which the content tower is fitted anew: the point after
    p is p + max(every, p // 20), since what it learns from changes ever more slowly.

    >>> [next_fit(n, 2_000) for n in (0, 2_000, 40_000, 100_000)]
    [2000, 4000, 42000, 101068]
    """
    point = 0
    while point <= trained:
        point += max(every, point // 20)
    return point
