"""The item tower: a torch module that owns item ids -> vectors, learns them from examples and serves them.

It holds a row per item (`tower_rows.py`), popularities at several half-lives with learned weights, the content map that
gives an item its first vector (`content_map.py`), and the catalogue. `learn` makes one mini-batch step
(`tower_kernels.py`). In which order inputs arrive, when a batch closes and what is replayed is not decided here but in
`tower_stream.py`; publishing reads `full_snapshot`, `delta` and `popularity_update` and is no part of the learning.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.content_map import ContentMap
from models.hashing import hash_id
from models.item_table import CLASSES, Popularity
from models.learning import ROWS_FOR_A_STEP, Floats, Ints
from models.records import Item
from models.settings import TowerSettings
from models.snapshots import DELTA, FULL, POPULARITY, SnapshotRows
from models.tower_kernels import (
    GAMMA_HIGH,
    GAMMA_LOW,
    Doubles,
    adagrad_classes,
    adagrad_rows,
    batch_gradient,
    count_events,
    draw_negatives,
    first_vectors,
)
from models.tower_rows import INITIAL_SQUARES, TowerRows

UNIT_MAX: Final = 1e280
"""Counts are kept in units that grow by 2^(1/half-life) an event; beyond this they are scaled back."""
EVICTED_AT_ONCE: Final = 100
"""One of so many rows leaves when max_items is reached, so that the index is rebuilt rarely."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """B examples, the first `n_new` of them new, as the kernels read them."""

    n_new: int
    activity: Ints  # (B,)
    positive: Ints  # (B,) hashes
    weight: Floats  # (B,)
    embedding: Floats  # (B, k)
    recent_weights: Floats  # (B, L)
    recent: Ints  # (B, L) hashes; weight 0 where there is none
    consumed: NDArray[np.uint16]  # fingerprints of all examples' consumed items, one after the other
    consumed_end: Ints  # (B,) where each example's end


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """What is said of an item; `listed` if the catalogue said it, otherwise only events have named it."""

    item: Item
    listed: bool


@dataclass(slots=True)
class Waiting:
    """An id that only events have named and that has no row yet."""

    item_id: str
    events: int
    first_user: int
    users: int  # counted to 2


@dataclass(frozen=True, slots=True, eq=False)
class SnapshotBase:
    """What the last full snapshot or delta held, to tell what has changed since."""

    generation: int
    n: int
    version: int  # rows touched at a later one have changed
    events: Ints  # (n,)
    available: NDArray[np.bool_]  # (n,)


class ItemTower(nn.Module):
    """The first `n_items` rows of the Parameters are live; kernels train the memory that they share with `rows`."""

    vectors: nn.Parameter  # (room, k)
    biases: nn.Parameter  # (room,)

    def __init__(self, dimension: int, settings: TowerSettings) -> None:
        super().__init__()
        self.settings = settings
        self.dimension = dimension
        n_half_lives = len(settings.half_lives)
        self.rows = TowerRows(dimension, n_half_lives)
        self.content = ContentMap(settings.content_columns, dimension)
        self.half_lives: Doubles = np.array(settings.half_lives)
        self.unit: Doubles = np.ones(n_half_lives)
        self.alpha = np.full((CLASSES, n_half_lives), 1 / n_half_lives, np.float32)
        self.alpha_squares = np.full((CLASSES, n_half_lives), 1e-2, np.float32)
        self.gamma = np.ones(CLASSES, np.float32)
        self.gamma_squares = np.full(CLASSES, 1e-1, np.float32)
        self.catalogue: dict[int, CatalogueEntry] = {}
        self.waiting: dict[int, Waiting] = {}
        self.changed_entries: set[int] = set()  # of catalogue and waiting: changed or gone since they were last stored
        self.generation = 0  # rises when rows are renumbered or counts rescaled: no update refers across that
        self.numbering = 0  # rises when rows are renumbered or made anew: not a word of state
        self.skipped_batches = 0
        self.share_memory_with_rows()

    def share_memory_with_rows(self) -> None:
        """Point the Parameters at the rows' memory (anew after it has grown)."""
        if not hasattr(self, "vectors") or self.vectors.data_ptr() != self.rows.vectors.ctypes.data:
            self.vectors = nn.Parameter(torch.from_numpy(self.rows.vectors), requires_grad=False)
            self.biases = nn.Parameter(torch.from_numpy(self.rows.biases), requires_grad=False)

    @property
    def n_items(self) -> int:
        """Items with a row."""
        return self.rows.n

    def forward(self, items: Iterable[Item | str]) -> Tensor:
        """Vectors (n,k) of items or item ids: the row's, else the content map's, else the item's first vector."""
        vectors = []
        for named in items:
            item = named if isinstance(named, Item) else Item(named)
            key = hash_id(item.item_id)
            row = self.rows.row_of(key)
            if row >= 0:
                vectors.append(self.vectors[row])
            else:
                vectors.append(torch.from_numpy(self._first(key, *self.content.contents(item, new_names=False))[0]))
        return torch.stack(vectors) if vectors else torch.zeros(0, self.dimension)

    # ---- items -----------------------------------------------------------------------------------

    def list_item(self, item: Item) -> None:
        """Take what the catalogue says of an item. An available one has a row from then on, an unavailable one as soon
        as an event names it. An entry older than the known one is left aside.
        """
        key = hash_id(item.item_id)
        known = self.catalogue.get(key)
        if item == Item(item.item_id, available=False):  # a tombstone says nothing else
            if known is None:
                return
            item = replace(known.item, available=False)
        elif known is not None and _is_older(item, known.item):
            return
        self.waiting.pop(key, None)
        self.catalogue[key] = CatalogueEntry(item, True)
        self.changed_entries.add(key)
        row = self.rows.row_of(key)
        if row < 0:
            if not item.available:
                return
            row = self._add_row(key, item)
        self.rows.available[row] = item.available
        self.rows.columns[row], self.rows.values[row] = self.content.contents(item)
        self.rows.touch(np.array([row]))

    def meet_item(self, key: int, item_id: str, user: int) -> None:
        """Admit an item that an event names: at once if it has been listed, else after enough events and users."""
        if self.rows.row_of(key) >= 0:
            return
        entry = self.catalogue.get(key)
        if entry is None:
            waiting = self.waiting.pop(key, None) or Waiting(item_id, 0, user, 1)
            waiting.events += 1
            waiting.users += waiting.users < 2 and waiting.first_user != user
            self.changed_entries.add(key)
            users_needed = min(self.settings.admission_users, self.settings.admission_events, 2)
            if waiting.events < self.settings.admission_events or waiting.users < users_needed:
                self.waiting[key] = waiting  # at the end: first out is the one that met no event for longest
                if len(self.waiting) > self.settings.admission_waiting_max:
                    first = next(iter(self.waiting))
                    del self.waiting[first]
                    self.changed_entries.add(first)
                return
            entry = self.catalogue[key] = CatalogueEntry(Item(item_id), False)
        row = self._add_row(key, entry.item)
        self.rows.available[row] = entry.item.available

    def _add_row(self, key: int, item: Item) -> int:
        if self.rows.n >= self.settings.max_items:
            for left in self.rows.evict(max(1, self.rows.n // EVICTED_AT_ONCE)).tolist():
                if not self.catalogue[left].listed:
                    del self.catalogue[left]
                    self.changed_entries.add(left)
            self.generation += 1
            self.numbering += 1
        row = self.rows.add(key)
        self.share_memory_with_rows()
        columns, values = self.content.contents(item)
        self.rows.columns[row], self.rows.values[row] = columns, values
        self.rows.vectors[row], self.rows.biases[row] = self._first(key, columns, values)
        return row

    def _first(self, key: int, columns: NDArray[np.int32], values: Floats) -> tuple[Floats, float]:
        """Vector (k,) and bias of an item without a row: by its contents, or at random without any."""
        if self.content.fitted and (columns >= 0).any():
            predicted = self.content(columns[None], values[None])[0].numpy()
            return predicted[:-1], float(predicted[-1])
        return first_vectors(np.array([key]), self.settings.seed, self.dimension)[0], 0.0

    def fit_content(self) -> None:
        """Fit the content map to the items with many events, and give those without any the vector it predicts."""
        rows = self.rows
        events = rows.events[: rows.n]
        warm = np.flatnonzero(events >= self.settings.content_warm_events)
        warm = warm[rows.columns[warm, 0] >= 0]
        if len(warm) < 2:
            return
        if len(warm) > self.settings.content_warm_items:
            warm = np.sort(warm[np.argsort(-events[warm], kind="stable")[: self.settings.content_warm_items]])
        targets = np.concatenate([rows.vectors[warm], rows.biases[warm, None]], axis=1)
        self.content.fit(rows.columns[warm], rows.values[warm], targets, self.settings.content_ridge)
        cold = np.flatnonzero(events == 0)
        cold = cold[rows.columns[cold, 0] >= 0]
        if len(cold):
            predicted = self.content(rows.columns[cold], rows.values[cold]).numpy()
            rows.vectors[cold], rows.biases[cold] = predicted[:, :-1], predicted[:, -1]
            rows.touch(cold)

    # ---- starting anew ---------------------------------------------------------------------------

    def start_anew(self) -> None:
        """Give every row its first vector and bias and forget its accumulators; counts and alpha, gamma stay."""
        self._start_rows_anew(np.arange(self.rows.n))
        self._renew_all()

    def roll_back(self, snapshot: SnapshotRows) -> None:
        """Give the rows the vectors and biases of a full snapshot, and alpha and gamma, too. Rows that it does not hold
        start anew, accumulators and counts stay. Raises what `require_shape` raises, before anything changes.
        """
        self.require_shape(snapshot)
        rows = self.rows
        at = rows.rows_of(snapshot.hashes)
        held = at[at >= 0]
        rows.vectors[held], rows.biases[held] = snapshot.vectors[at >= 0], snapshot.biases[at >= 0]
        self._start_rows_anew(np.setdiff1d(np.arange(rows.n), held))
        self.alpha[:], self.gamma[:] = snapshot.popularity.alpha, snapshot.popularity.gamma
        self._renew_all()

    def require_shape(self, snapshot: SnapshotRows) -> None:
        """Raise ValueError unless this is a full snapshot of this tower's dimension and number of half-lives."""
        if snapshot.rows is not None or snapshot.vectors.shape[1] != self.dimension:
            raise ValueError(
                f"a full snapshot of dimension {self.dimension} was needed; got one of the kind {snapshot.kind} and "
                f"dimension {snapshot.vectors.shape[1]}"
            )
        came = snapshot.popularity.alpha.shape[1]
        if came != self.alpha.shape[1]:
            raise ValueError(f"a snapshot of {self.alpha.shape[1]} half-lives was needed; got {came}")

    def _start_rows_anew(self, at: Ints) -> None:
        rows = self.rows
        rows.vectors[at], rows.biases[at] = first_vectors(rows.hashes[at], self.settings.seed, self.dimension), 0
        rows.vector_squares[at] = rows.bias_squares[at] = INITIAL_SQUARES
        told = at[rows.columns[at, 0] >= 0]
        if self.content.fitted and len(told):
            predicted = self.content(rows.columns[told], rows.values[told]).numpy()
            rows.vectors[told], rows.biases[told] = predicted[:, :-1], predicted[:, -1]

    def _renew_all(self) -> None:
        """Note that everything changed: blocks are written, and no delta reaches across."""
        self.rows.touch(np.arange(self.rows.n))
        self.generation += 1
        self.numbering += 1

    # ---- learning --------------------------------------------------------------------------------

    def learn(self, batch: Batch, stream: int, n_negatives: int) -> None:
        """One AdaGrad step on a batch; draws come from the counter hash `stream`. Examples whose item has no row teach
        nothing.
        """
        rows, settings = self.rows, self.settings
        positive = rows.rows_of(batch.positive)
        use = np.flatnonzero(positive >= 0)
        if rows.n <= ROWS_FOR_A_STEP or not len(use):
            return
        recent = rows.rows_of(batch.recent.ravel()).reshape(batch.recent.shape)
        recent[batch.recent_weights == 0] = -1
        drawn = draw_negatives(stream, rows.n, rows.hashes, batch.consumed, batch.consumed_end, positive, n_negatives)
        fresh = (use < batch.n_new) & (rows.events[positive[use]] > 0)
        touched, g_vectors, g_biases, g_alpha, g_gamma, _ = batch_gradient(
            rows.vectors,
            rows.biases,
            rows.counts,
            self.unit,
            settings.popularity_floor,
            self.alpha,
            self.gamma,
            rows.n,
            batch.embedding[use],
            batch.recent_weights[use],
            recent[use],
            batch.activity[use],
            batch.weight[use],
            positive[use],
            drawn[use],
            fresh,
            settings.regularisation,
            rows.place,
        )
        finite = adagrad_rows(
            touched,
            g_vectors,
            g_biases,
            rows.vectors,
            rows.biases,
            rows.vector_squares,
            rows.bias_squares,
            settings.learning_rate,
            settings.learning_rate_bias,
        )
        if not finite:
            self.skipped_batches += 1
            return
        adagrad_classes(g_alpha, self.alpha, self.alpha_squares, settings.learning_rate_popularity)
        adagrad_classes(
            g_gamma, self.gamma, self.gamma_squares, settings.learning_rate_popularity, GAMMA_LOW, GAMMA_HIGH
        )
        rows.touch(touched)

    def count(self, positive: Ints, number: int) -> None:
        """Count the events of a batch (n,) of item hashes; `number` is that of the input which closed it."""
        rows = self.rows
        at = rows.rows_of(positive)
        at = at[at >= 0]
        count_events(at, rows.counts, self.unit, self.half_lives)
        np.add.at(rows.events, at, 1)
        rows.last_event[at] = number
        rows.touch(at)
        large = self.unit > UNIT_MAX
        if large.any():
            rows.counts[: rows.n, large] /= self.unit[large]
            self.unit[large] = 1
            rows.dirty[:] = True
            self.generation += 1

    # ---- publishing ------------------------------------------------------------------------------

    def full_snapshot(self, epoch: int, trained_events: int) -> tuple[SnapshotRows, SnapshotBase]:
        """Everything readers need, and what to compare with for the next delta or update."""
        everything = np.arange(self.rows.n)
        return self._snapshot_rows(FULL, epoch, trained_events, everything, everything, None), self._base()

    def n_changed(self, base: SnapshotBase) -> int:
        """How many rows a delta would hold."""
        return int((self.rows.touched_at[: base.n] > base.version).sum()) + max(0, self.rows.n - base.n)

    def delta(self, base: SnapshotBase, epoch: int, trained_events: int) -> tuple[SnapshotRows, SnapshotBase] | None:
        """The rows that changed since the base, whole, and the base that they make; None if only a full snapshot helps,
        as for an update.
        """
        if base.generation != self.generation:
            return None
        changed = np.flatnonzero(self.rows.touched_at[: base.n] > base.version)
        new = np.arange(base.n, self.rows.n)
        whole = np.concatenate([changed, new])
        named = np.concatenate([changed, np.full(len(new), -1)])
        return self._snapshot_rows(DELTA, epoch, trained_events, whole, whole, named), self._base()

    def _base(self) -> SnapshotBase:
        rows = self.rows
        base = SnapshotBase(
            self.generation, rows.n, rows.version, rows.events[: rows.n].copy(), rows.available[: rows.n].copy()
        )
        rows.version += 1
        return base

    def popularity_update(self, base: SnapshotBase, epoch: int, trained_events: int) -> SnapshotRows | None:
        """What has changed in popularity and availability since the base, and the new rows; None if rows were
        renumbered or counts rescaled since, so that only a full snapshot helps.
        """
        if base.generation != self.generation:
            return None
        rows = self.rows
        changed = np.flatnonzero((rows.events[: base.n] != base.events) | (rows.available[: base.n] != base.available))
        new = np.arange(base.n, rows.n)
        named = np.concatenate([changed, np.full(len(new), -1)])
        return self._snapshot_rows(POPULARITY, epoch, trained_events, np.concatenate([changed, new]), new, named)

    def _snapshot_rows(
        self, kind: str, epoch: int, trained_events: int, of: Ints, whole: Ints, named: Ints | None
    ) -> SnapshotRows:
        """The rows `of`, with vectors and texts of the rows `whole`."""
        rows = self.rows
        items = [self.catalogue[key].item for key in rows.hashes[whole].tolist()]
        mean_counts = rows.counts[: rows.n].sum(0) / (self.unit * max(rows.n, 1))  # (F,)
        popularity = Popularity(
            counts=rows.counts[of],
            cold=rows.events[of] < self.settings.cold_events,
            cold_counts=(self.settings.cold_popularity * mean_counts).astype(np.float32),
            alpha=self.alpha.copy(),
            gamma=self.gamma.copy(),
            floor=self.settings.popularity_floor,
            unit=self.unit.copy(),
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
            content=np.zeros((len(whole), 0), np.float16),
            neighbour_rows=np.zeros((len(whole), 0), np.int32),
            neighbour_weights=np.zeros((len(whole), 0), np.float32),
            beta=np.zeros((2, CLASSES), np.float32),
            rows=named,
        )


def _is_older(item: Item, known: Item) -> bool:
    """Whether both say when they were updated, and `item` the earlier time."""
    return item.updated_ms is not None and known.updated_ms is not None and item.updated_ms < known.updated_ms
