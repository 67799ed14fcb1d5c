"""The item tower: a torch module that owns item ids -> vectors, learns them from examples and serves them.

It holds a row per item (`tower_rows.py`), popularities at several half-lives with learned weights, the items closest to
each (`neighbours.py`) with theirs, the content tower that gives an item its first vector (`content_tower.py`), and the
catalogue. `learn` makes one mini-batch step (`tower_kernels.py`). In which order inputs arrive, when a batch closes and
what is replayed is not decided here but in `tower_stream.py`, and what readers get of it in `publishing.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.blending import BETA_MAX, blend_gradient
from models.content_tower import ContentTower
from models.features import Encoded
from models.hashing import hash_id
from models.item_table import CLASSES
from models.learning import ROWS_FOR_A_STEP, Floats, Ints
from models.neighbours import Neighbours, closest_neighbours
from models.optimisers import adagrad_classes, adagrad_rows, adam_rows, sgd_rows
from models.records import Item
from models.settings import LOSSES, TowerSettings
from models.snapshots import SnapshotRows
from models.tower_kernels import (
    GAMMA_HIGH,
    GAMMA_LOW,
    Doubles,
    batch_gradient,
    count_events,
    cut_rows,
    draw_negatives,
    first_vectors,
)
from models.tower_rows import TowerRows

UNIT_MAX: Final = 1e280
"""Counts are kept in units that grow by 2^(1/half-life) an event; beyond this they are scaled back."""
EVICTED_AT_ONCE: Final = 100
"""One of so many rows leaves when max_items is reached, so that the index is rebuilt rarely."""
PREDICTED_AT_ONCE: Final = 4_096
"""Rows whose features are read in one piece: what that needs meanwhile is bounded by them."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """B examples, the first `n_new` of them new, as the kernels read them."""

    n_new: int
    activity: Ints  # (B,)
    positive: Ints  # (B,) hashes
    weight: Floats  # (B,) below 0 for an explicit negative
    target: Floats  # (B,) of mse
    rated: NDArray[np.bool_]  # (B,) the target is a rating's
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


NOBODY: Final = 0
"""In place of the hash of a user that was erased."""


@dataclass(slots=True)
class Waiting:
    """An id that only events have named and that has no row yet."""

    item_id: str
    events: int
    first_user: int
    users: int  # counted to 2


class ItemTower(nn.Module):
    """The first `n_items` rows of the Parameters are live; kernels train the memory that they share with `rows`."""

    vectors: nn.Parameter  # (room, k)
    biases: nn.Parameter  # (room,)

    def __init__(
        self, dimension: int, settings: TowerSettings, loss: str = "softmax", optimizer: str = "adagrad"
    ) -> None:
        super().__init__()
        self.settings = settings
        self.loss = LOSSES.index(loss)
        self.optimizer = optimizer
        self.dimension = dimension
        n_half_lives = len(settings.half_lives)
        self.content = ContentTower(dimension, settings)
        self.rows = TowerRows(dimension, n_half_lives, optimizer, self.content.space.n_ngrams)
        self.half_lives: Doubles = np.array(settings.half_lives)
        self.unit: Doubles = np.ones(n_half_lives)
        self.alpha = np.full((CLASSES, n_half_lives), 1 / n_half_lives, np.float32)
        self.alpha_squares = np.full((CLASSES, n_half_lives), 1e-2, np.float32)
        self.gamma = np.ones(CLASSES, np.float32)
        self.gamma_squares = np.full(CLASSES, 1e-1, np.float32)
        self.beta = np.array([np.zeros(CLASSES), np.ones(CLASSES)], np.float32)  # as strategies.py numbers its rows
        self.beta_squares = np.full((2, CLASSES), 1e-1, np.float32)
        self.neighbours = Neighbours(
            np.zeros((0, settings.neighbours), np.int32), np.zeros((0, settings.neighbours), np.float32)
        )
        self.catalogue: dict[int, CatalogueEntry] = {}
        self.waiting: dict[int, Waiting] = {}
        self.changed_entries: set[int] = set()  # of catalogue and waiting: changed or gone since they were last stored
        self.generation = 0  # rises when rows are renumbered or counts rescaled: no update refers across that
        self.numbering = 0  # rises when rows are renumbered or made anew: not a word of state
        self.skipped_batches = 0
        self.clipped_rows = 0  # since this process began
        self._drawable: tuple[Ints, Ints] | None = None  # see drawable; None: to be made anew
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

    @property
    def n_parameters(self) -> int:
        """Numbers that are learned: vector and bias of every row, alpha, beta, gamma, and the content tower's."""
        return (
            self.n_items * (self.dimension + 1)
            + self.alpha.size
            + self.beta.size
            + self.gamma.size
            + self.content.n_parameters
        )

    def forward(self, items: Iterable[Item | str]) -> Tensor:
        """Vectors (n,k) of items or item ids: the row's, else the content tower's, else the item's first vector."""
        vectors = []
        for named in items:
            item = named if isinstance(named, Item) else Item(named)
            row = self.rows.row_of(hash_id(item.item_id))
            if row >= 0:
                vectors.append(self.vectors[row])
            else:
                vectors.append(torch.from_numpy(self._first(item, self.content.space.encode([item]))[0]))
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
        self.content.space.learn(item, known.item if known is not None else None)
        self.catalogue[key] = CatalogueEntry(item, True)
        self.changed_entries.add(key)
        self._forget_beyond_max(key)
        row = self.rows.row_of(key)
        if row < 0:
            if not item.available:
                return
            row = self._add_row(key, item)
        else:
            self.describe(np.array([row]))
        self.rows.available[row] = item.available
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

    def forget_user(self, user: int) -> None:
        """Items that wait for admission no longer say that this user was the first to name them."""
        for key, waiting in self.waiting.items():
            if waiting.first_user == user:
                waiting.first_user = NOBODY
                self.changed_entries.add(key)

    def _add_row(self, key: int, item: Item) -> int:
        if self.rows.n >= self.settings.max_items:
            kept = self.rows.hashes[: self.rows.n]
            evicted = self.rows.evict(max(1, self.rows.n // EVICTED_AT_ONCE))
            self._renumber_neighbours(~np.isin(kept, evicted))
            for left in evicted.tolist():
                if not self.catalogue[left].listed:
                    del self.catalogue[left]
                    self.changed_entries.add(left)
            self._forget_beyond_max(key)
            self.generation += 1
            self._drawable = None
            self.numbering += 1
        row = self.rows.add(key)
        self.share_memory_with_rows()
        encoded = self.describe(np.array([row]))
        self.rows.vectors[row], self.rows.biases[row] = self._first(item, encoded)
        return row

    def _forget_beyond_max(self, newest: int) -> None:
        """Keep at most max_items entries of items without a row: those that are unavailable, or were evicted.

        A hundredth goes at once, those of the lowest hashes, which are nobody's choice: an order of arrival would have
        to be kept in state. What was forgotten is unknown until the catalogue names it again.
        """
        if len(self.catalogue) - self.rows.n <= self.settings.max_items:
            return
        keys = np.fromiter(self.catalogue, np.int64, len(self.catalogue))
        without = np.setdiff1d(keys, [newest, *self.rows.hashes[: self.rows.n]])  # sorted
        for key in without[: max(1, self.settings.max_items // EVICTED_AT_ONCE)].tolist():
            del self.catalogue[key]
            self.changed_entries.add(key)

    def _first(self, item: Item, encoded: Encoded) -> tuple[Floats, float]:
        """Vector (k,) and bias of an item without a row: by its content, or at random without any."""
        if self.content.fitted and encoded.described()[0]:
            predicted = self.content.predict(encoded)[0]
            return predicted[:-1], float(predicted[-1])
        return first_vectors(np.array([hash_id(item.item_id)]), self.settings.seed, self.dimension)[0], 0.0

    # ---- content ---------------------------------------------------------------------------------

    def describe(self, of: Ints) -> Encoded:
        """Write the features of these rows from what the catalogue says of their items."""
        rows = self.rows
        encoded = self.content.space.encode([self.catalogue[key].item for key in rows.hashes[of].tolist()])
        rows.names[of], rows.numbers[of], rows.ngrams[of] = encoded.names, encoded.numbers, encoded.ngrams
        rows.described[of] = encoded.described()
        rows.content[of] = self.content_vectors(of)
        return encoded

    def fit_content(self) -> None:
        """Fit the content tower to the items with many events, and give those without any the vector it predicts."""
        rows = self.rows
        events = rows.events[: rows.n]
        warm = np.flatnonzero((events >= self.settings.content_warm_events) & rows.described[: rows.n])
        if len(warm) < 2:
            return
        if len(warm) > self.settings.content_warm_items:
            warm = np.sort(warm[np.argsort(-events[warm], kind="stable")[: self.settings.content_warm_items]])
        if not self.content.fitted:
            self.generation += 1  # contents have columns from now on
        self.content.fit(self._features(warm), np.concatenate([rows.vectors[warm], rows.biases[warm, None]], axis=1))
        cold = np.flatnonzero((events == 0) & rows.described[: rows.n])
        for some in np.array_split(cold, -(-len(cold) // PREDICTED_AT_ONCE)) if len(cold) else []:
            predicted = self.content.predict(self._features(some))
            rows.vectors[some], rows.biases[some] = predicted[:, :-1], predicted[:, -1]
        rows.touch(cold)
        told = np.flatnonzero(rows.described[: rows.n])
        rows.content[told] = self.content_vectors(told)
        rows.note_change(told)

    def content_vectors(self, of: Ints) -> Floats:
        """(n,k): the vectors that content alone predicts for these rows; zeros for an item without features, and for
        all before the first fit.
        """
        vectors = np.zeros((len(of), self.dimension), np.float32)
        if self.content.fitted:
            told = np.flatnonzero(self.rows.described[of])
            for begin in range(0, len(told), PREDICTED_AT_ONCE):
                some = told[begin : begin + PREDICTED_AT_ONCE]
                vectors[some] = self.content.predict(self._features(of[some]))[:, :-1]
        return vectors

    def _features(self, of: Ints) -> Encoded:
        rows = self.rows
        named = self.content.space.vectors
        vectors = self.content.space.vectors_of(
            [self.catalogue[key].item for key in rows.hashes[of].tolist()] if named else []
        )
        return Encoded(rows.names[of], rows.numbers[of], rows.ngrams[of], vectors)

    # ---- starting anew ---------------------------------------------------------------------------

    def start_anew(self) -> None:
        """Give every row its first vector and bias and forget its accumulators; counts and alpha, gamma stay."""
        self._start_rows_anew(np.arange(self.rows.n))
        self._renew_all()

    def roll_back(self, snapshot: SnapshotRows) -> None:
        """Give the rows the vectors and biases of a full snapshot, and alpha, beta and gamma. Rows that it does not
        hold start anew, accumulators and counts stay. Raises what `require_shape` raises, before anything changes.
        """
        self.require_shape(snapshot)
        rows = self.rows
        at = rows.rows_of(snapshot.hashes)
        held = at[at >= 0]
        rows.vectors[held], rows.biases[held] = snapshot.vectors[at >= 0], snapshot.biases[at >= 0]
        self._start_rows_anew(np.setdiff1d(np.arange(rows.n), held))
        self.alpha[:], self.gamma[:] = snapshot.popularity.alpha, snapshot.popularity.gamma
        if snapshot.beta.any():  # older snapshots had none
            self.beta[:] = snapshot.beta
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
        rows.start_moments(at)
        if self.content.fitted:
            told = at[rows.described[at]]
            for some in np.array_split(told, -(-len(told) // PREDICTED_AT_ONCE)) if len(told) else []:
                predicted = self.content.predict(self._features(some))
                rows.vectors[some], rows.biases[some] = predicted[:, :-1], predicted[:, -1]

    def _renew_all(self) -> None:
        """Note that everything changed: blocks are written, and no delta reaches across."""
        self.rows.touch(np.arange(self.rows.n))
        self.generation += 1
        self.numbering += 1

    # ---- learning --------------------------------------------------------------------------------

    def learn(self, batch: Batch, stream: int, n_negatives: int) -> None:
        """One step on a batch; draws come from the counter hash `stream`. Examples whose item has no row teach
        nothing.
        """
        rows, settings = self.rows, self.settings
        positive = rows.rows_of(batch.positive)
        use = np.flatnonzero(positive >= 0)
        if rows.n <= ROWS_FOR_A_STEP or not len(use):
            return
        recent = rows.rows_of(batch.recent.ravel()).reshape(batch.recent.shape)
        recent[batch.recent_weights == 0] = -1
        drawable, hashes = self.drawable()
        place = np.searchsorted(drawable, positive)  # the positive's among them …
        place[drawable[np.minimum(place, len(drawable) - 1)] != positive] = len(drawable)  # … or one never drawn
        place[positive < 0] = -1
        drawn = draw_negatives(stream, len(drawable), hashes, batch.consumed, batch.consumed_end, place, n_negatives)
        drawn = np.where(drawn >= 0, drawable[drawn], -1)
        fresh = (use < batch.n_new) & (batch.weight[use] > 0) & (rows.events[positive[use]] > 0)
        touched, g_vectors, g_biases, g_alpha, g_gamma, _, scores = batch_gradient(
            rows.vectors,
            rows.biases,
            rows.counts,
            self.unit,
            settings.popularity_floor,
            self.alpha,
            self.gamma,
            rows.n,
            len(drawable),
            batch.embedding[use],
            batch.recent_weights[use],
            recent[use],
            batch.activity[use],
            batch.weight[use],
            batch.target[use],
            batch.rated[use],
            positive[use],
            drawn[use],
            fresh,
            self.loss,
            settings.regularisation,
            rows.place,
        )
        g_beta = blend_gradient(
            scores,
            positive[use],
            drawn[use],
            recent[use],
            batch.recent_weights[use],
            batch.activity[use],
            fresh,
            len(drawable),
            self.alpha,
            rows.counts,
            self.unit,
            settings.popularity_floor,
            self.beta,
            *self.neighbours,
            rows.closeness,
        )
        if settings.gradient_max > 0:
            self.clipped_rows += cut_rows(g_vectors, np.arange(len(touched)), settings.gradient_max)
        if not self._step(touched, g_vectors, g_biases):
            self.skipped_batches += 1
            return
        if settings.norm_max > 0:
            self.clipped_rows += cut_rows(rows.vectors, touched, settings.norm_max)
        adagrad_classes(g_beta, self.beta, self.beta_squares, settings.learning_rate_popularity, 0, BETA_MAX)
        adagrad_classes(g_alpha, self.alpha, self.alpha_squares, settings.learning_rate_popularity)
        adagrad_classes(
            g_gamma, self.gamma, self.gamma_squares, settings.learning_rate_popularity, GAMMA_LOW, GAMMA_HIGH
        )
        rows.touch(touched)

    def find_neighbours(self, positive: Ints, recent: Ints, recent_weights: Floats, rho: float) -> None:
        """Make the lists of closest items anew from examples (E,) that are positive: hashes of their items (E,) and of
        their recent items (E,L).
        """
        rows, n_closest = self.rows, self.settings.neighbours
        if n_closest == 0:
            return
        old = self.neighbours_of(np.arange(rows.n))
        self.neighbours = Neighbours(
            *closest_neighbours(
                rows.rows_of(positive),
                rows.rows_of(recent.ravel()).reshape(recent.shape),
                recent_weights,
                rho,
                rows.n,
                n_closest,
                self.settings.neighbour_shrink,
            )
        )
        rows.note_change(
            np.flatnonzero((old.rows != self.neighbours.rows).any(1) | (old.weights != self.neighbours.weights).any(1))
        )

    def neighbours_of(self, of: Ints) -> Neighbours:
        """The lists of these rows; empty for those that are newer than the lists."""
        known = of < len(self.neighbours.rows)
        listed = np.full((len(of), self.settings.neighbours), -1, np.int32)
        weights = np.zeros(listed.shape, np.float32)
        listed[known], weights[known] = (array[of[known]] for array in self.neighbours)
        return Neighbours(listed, weights)

    def _renumber_neighbours(self, kept: NDArray[np.bool_]) -> None:
        """Follow an eviction; kept (n,) of the rows before it."""
        number = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)
        listed, weights = (array[kept[: len(array)]] for array in self.neighbours)
        listed = np.where(listed >= 0, number[listed], -1)
        order = np.argsort(listed < 0, axis=1, kind="stable")  # what has gone leaves no gap
        weights = np.take_along_axis(np.where(listed >= 0, weights, 0), order, 1).astype(np.float32)
        self.neighbours = Neighbours(np.take_along_axis(listed, order, 1), weights)

    def drawable(self) -> tuple[Ints, Ints]:
        """The rows that negatives are drawn from, and their hashes: the items that have had an event, or all while
        these are too few. An item nobody could have taken is no evidence: as a negative it would only sink, away from
        where its content has placed it.
        """
        if self._drawable is None:
            rows = self.rows
            seen = np.flatnonzero(rows.events[: rows.n] > 0)
            if len(seen) <= ROWS_FOR_A_STEP:
                return np.arange(rows.n), rows.hashes
            self._drawable = seen, rows.hashes[seen]
        return self._drawable

    def _step(self, touched: Ints, g_vectors: Floats, g_biases: Floats) -> bool:
        """One step of the optimiser on these rows; False, and nothing changed, if a gradient is not finite."""
        rows = self.rows
        gradient = (touched, g_vectors, g_biases, rows.vectors, rows.biases)
        rates = self.settings.rates(self.optimizer)
        if self.optimizer == "adagrad":
            finite: bool = adagrad_rows(*gradient, rows.vector_squares, rows.bias_squares, *rates)
        elif self.optimizer == "adam":
            vector_moments = (rows.vector_means, rows.vector_variances)
            bias_moments = (rows.bias_means, rows.bias_variances)
            finite = adam_rows(*gradient, *vector_moments, *bias_moments, rows.steps, *rates)
        else:
            finite = sgd_rows(*gradient, *rates)
        return finite

    def count(self, positive: Ints, number: int) -> None:
        """Count the events of a batch (n,) of item hashes; `number` is that of the input which closed it."""
        rows = self.rows
        at = rows.rows_of(positive)
        at = at[at >= 0]
        if (rows.events[at] == 0).any():
            self._drawable = None
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


def _is_older(item: Item, known: Item) -> bool:
    """Whether both say when they were updated, and `item` the earlier time."""
    return item.updated_ms is not None and known.updated_ms is not None and item.updated_ms < known.updated_ms
