"""The read-only table of items that the ranking reads, and the index that finds an item's row by its hash.

A table is made from a full snapshot and renewed by deltas and popularity updates; it never changes otherwise. It does
not know where snapshots come from (`snapshots.py` decodes them, `operators/snapshot_files.py` reads them) nor who ranks
with it (`ranking.py`).
"""

from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np
from numba import int64, uint64
from numpy.typing import NDArray

from models.kernels import kernel, part

CATEGORY_MEANS_MAX: Final = 4_096
"""Mean vectors of categories that a table keeps."""
CLASSES: Final = 7
"""Activity classes: users with 0, 1, 2, 3-4, 5-9, 10-19 and 20 or more positive events."""


@part
def class_of(positives: int) -> int:
    """Class of a user with so many positive events so far."""
    if positives <= 2:
        return positives
    if positives <= 4:
        return 3
    if positives <= 9:
        return 4
    return 5 if positives <= 19 else 6


@kernel
def activity_class(positives: int) -> int:
    """`class_of` for Python."""
    activity: int = class_of(positives)
    return activity


# ---- hash -> row ---------------------------------------------------------------------------------


@part
def add_to_index(slots: NDArray[np.int64], hashes: NDArray[np.int64], row: int) -> None:
    """Enter one more row; the caller sees to it that half of the slots stay free."""
    size = len(slots)
    slot = int64(uint64(hashes[row]) & uint64(size - 1))
    while slots[slot] >= 0:
        slot = (slot + 1) & (size - 1)
    slots[slot] = row


@kernel
def build_index(hashes: NDArray[np.int64]) -> NDArray[np.int64]:
    """An open-addressing index over `hashes` (I,): slots (2^m,) >= 2 I hold a row or -1, probed linearly. The hashes
    are uniform already.
    """
    size = 16
    while size < 2 * len(hashes):
        size *= 2
    slots = np.full(size, -1, np.int64)
    for row in range(len(hashes)):
        add_to_index(slots, hashes, row)
    return slots


@part
def find_row(slots: NDArray[np.int64], hashes: NDArray[np.int64], item: int) -> int:
    """Row of the item with this hash, -1 when the table does not hold it."""
    size = len(slots)
    slot = int64(uint64(item) & uint64(size - 1))
    row: int = slots[slot]
    while row >= 0 and hashes[row] != item:
        slot = (slot + 1) & (size - 1)
        row = slots[slot]
    return row


@part
def find_rows(slots: NDArray[np.int64], hashes: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of several items, -1 for those the table does not hold."""
    rows = np.empty(len(items), np.int64)
    for n in range(len(items)):
        rows[n] = find_row(slots, hashes, items[n])
    return rows


@kernel
def row_of(slots: NDArray[np.int64], hashes: NDArray[np.int64], item: int) -> int:
    """`find_row` for Python."""
    row: int = find_row(slots, hashes, item)
    return row


@kernel
def rows_of(slots: NDArray[np.int64], hashes: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.int64]:
    """`find_rows` for Python."""
    rows: NDArray[np.int64] = find_rows(slots, hashes, items)
    return rows


@kernel
def enter(slots: NDArray[np.int64], hashes: NDArray[np.int64], row: int) -> None:
    """`add_to_index` for Python."""
    add_to_index(slots, hashes, row)


# ---- the table -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Popularity:
    """How popular each item is, and what that is worth to each class of users. I items, F half-lives."""

    counts: NDArray[np.float64]  # (I, F) decayed counts, in `unit`: counts / unit events
    cold: NDArray[np.bool_]  # (I,) items with next to no events of their own
    cold_counts: NDArray[np.float32]  # (F,) added to the counts of cold items, so that they are seen
    alpha: NDArray[np.float32]  # (CLASSES, F) weights of their logarithms
    gamma: NDArray[np.float32]  # (CLASSES,) scale of the taste
    floor: float  # added to a count inside the logarithm
    unit: NDArray[np.float64] = field(default_factory=lambda: np.ones(1))  # (F,), or (1,) for all half-lives

    def events(self) -> NDArray[np.float32]:
        """(I, F): the decayed counts in events."""
        return (self.counts / self.unit).astype(np.float32)


SCRATCH: Final = ("marked", "closeness", "place")


class TableArrays(NamedTuple):
    """A table as the kernels read it. The last three are their scratch, the same after a kernel as before."""

    slots: NDArray[np.int64]  # index of hashes
    hashes: NDArray[np.int64]  # (I,)
    vectors: NDArray[np.float32]  # (I, k)
    biases: NDArray[np.float32]  # (I,)
    available: NDArray[np.bool_]  # (I,)
    candidates: NDArray[np.int64]  # (A,) rows of available items, from which negatives are drawn
    content: NDArray[np.float32]  # (I, c) vectors that the items' contents predict; c = k, or 0 when there are none
    neighbour_rows: NDArray[np.int32]  # (I, N) rows of the items closest to each, closest first, -1 behind the last
    neighbour_weights: NDArray[np.float32]  # (I, N)
    category: NDArray[np.int32]  # (I,) equal for items of one category, -1 without one
    novelty: NDArray[np.float32]  # (I,) 1 / sqrt(1 + events)
    marked: NDArray[np.bool_]  # (I,) False
    closeness: NDArray[np.float32]  # (I,) 0
    place: NDArray[np.int32]  # (I,) -1


@dataclass(frozen=True, slots=True, eq=False)
class ItemTable:
    """One item snapshot, ready to rank with."""

    epoch: int
    trained_events: int
    created_ms: int
    sha256: str  # of the full snapshot or the delta that made its rows
    ids: tuple[str, ...]
    titles: tuple[str, ...]
    categories: tuple[str, ...]
    popularity: Popularity
    log_popularity: NDArray[np.float32]  # (CLASSES, I) = alpha @ log(counts + cold counts + floor)
    beta: NDArray[np.float32]  # (2, CLASSES) learned weights of the neighbours, rows as in strategies.py
    arrays: TableArrays
    category_codes: dict[str, int]  # name -> number in arrays.category
    category_means: dict[str, NDArray[np.float32] | None]  # those asked for so far, CATEGORY_MEANS_MAX at most

    @property
    def hashes(self) -> NDArray[np.int64]:
        return self.arrays.hashes

    @property
    def vectors(self) -> NDArray[np.float32]:
        return self.arrays.vectors

    @property
    def biases(self) -> NDArray[np.float32]:
        return self.arrays.biases

    @property
    def available(self) -> NDArray[np.bool_]:
        return self.arrays.available

    @property
    def candidates(self) -> NDArray[np.int64]:
        return self.arrays.candidates

    @property
    def content(self) -> NDArray[np.float32]:
        return self.arrays.content

    @property
    def neighbour_rows(self) -> NDArray[np.int32]:
        return self.arrays.neighbour_rows

    @property
    def neighbour_weights(self) -> NDArray[np.float32]:
        return self.arrays.neighbour_weights

    def row_of(self, item: int) -> int:
        """Row of the item with this hash, or -1."""
        return int(row_of(self.arrays.slots, self.arrays.hashes, item))

    def category_mean(self, name: str) -> NDArray[np.float32] | None:
        """Mean vector (k,) of the category's available items, None if there are none.

        It is kept: an event may name a thousand categories, and every one costs a look through the whole table (26 s
        at 100,000 items when that look was in Python).
        """
        code = self.category_codes.get(name, -1)
        if code < 0:
            return None
        if name not in self.category_means:
            members = np.flatnonzero((self.arrays.category == code) & self.available)
            mean = self.vectors[members].mean(0, dtype=np.float32) if len(members) else None
            if len(self.category_means) >= CATEGORY_MEANS_MAX:
                return mean
            self.category_means[name] = mean
        return self.category_means[name]


def make_item_table(
    *,
    epoch: int,
    trained_events: int,
    created_ms: int,
    sha256: str,
    hashes: NDArray[np.int64],
    vectors: NDArray[np.float32],
    biases: NDArray[np.float32],
    available: NDArray[np.bool_],
    ids: tuple[str, ...],
    titles: tuple[str, ...],
    popularity: Popularity,
    categories: tuple[str, ...] = (),
    content: NDArray[np.float16] | None = None,
    neighbour_rows: NDArray[np.int32] | None = None,
    neighbour_weights: NDArray[np.float32] | None = None,
    beta: NDArray[np.float32] | None = None,
) -> ItemTable:
    """The table of a full snapshot, its arrays made read-only. What is None there is none of."""
    n = len(hashes)
    categories = categories or n * ("",)
    codes = _category_codes(categories)
    arrays = TableArrays(
        slots=build_index(hashes),
        hashes=hashes,
        vectors=vectors,
        biases=biases,
        available=available,
        candidates=np.flatnonzero(available),
        content=np.zeros((n, 0), np.float32) if content is None else content.astype(np.float32),
        neighbour_rows=np.zeros((n, 0), np.int32) if neighbour_rows is None else neighbour_rows,
        neighbour_weights=np.zeros((n, 0), np.float32) if neighbour_weights is None else neighbour_weights,
        category=np.array([codes[category] for category in categories], np.int32),
        novelty=_novelty(popularity),
        marked=np.zeros(n, np.bool_),
        closeness=np.zeros(n, np.float32),
        place=np.full(n, -1, np.int32),
    )
    for array in arrays[: -len(SCRATCH)]:
        array.flags.writeable = False
    return ItemTable(
        epoch=epoch,
        trained_events=trained_events,
        created_ms=created_ms,
        sha256=sha256,
        ids=ids,
        titles=titles,
        categories=categories,
        popularity=popularity,
        log_popularity=log_popularity(popularity),
        beta=np.zeros((2, CLASSES), np.float32) if beta is None else beta,
        arrays=arrays,
        category_codes=codes,
        category_means={},
    )


def with_popularity(table: ItemTable, popularity: Popularity, trained_events: int, created_ms: int) -> ItemTable:
    """The same rows with newer popularity, alpha and gamma."""
    return replace(
        table,
        popularity=popularity,
        log_popularity=log_popularity(popularity),
        trained_events=trained_events,
        created_ms=created_ms,
        arrays=table.arrays._replace(novelty=_novelty(popularity)),
    )


def _category_codes(categories: tuple[str, ...]) -> dict[str, int]:
    codes = {"": -1}
    for category in categories:
        codes.setdefault(category, len(codes) - 1)
    return codes


def _novelty(popularity: Popularity) -> NDArray[np.float32]:
    """(I,): from the counts of the longest half-life, the last."""
    novelty: NDArray[np.float32] = (1 / np.sqrt(1 + popularity.events()[:, -1])).astype(np.float32)
    novelty.flags.writeable = False
    return novelty


def log_popularity(popularity: Popularity) -> NDArray[np.float32]:
    """(CLASSES, I): what an item's popularity adds to its score, for each class of users."""
    counts = popularity.events() + popularity.cold[:, None] * popularity.cold_counts  # (I, F)
    logs = np.log(counts + np.float32(popularity.floor))  # (I, F)
    scores = np.ascontiguousarray(popularity.alpha @ logs.T)  # (CLASSES, I)
    scores.flags.writeable = False
    return scores
