"""Whether new vectors are good enough to be published: they must not rank worse than those published last.

A new example is scored just before the tower learns it, by the rows as they are and by the rows as they were published:
neither has been trained on it. A table's loss on an example is the share of unconsumed items, drawn at random, that it
scores at least as high as the example's item:

    s_i = gamma_c q_i . (p + sum_l a_l q_{j_l}) + b_i + alpha_c . log popularity_i
    l   = #{n : not s_y > s_n} / #drawn,    d = l(rows as they are) - l(rows as published)

That is 1 - AUC of one example; it is bounded, means the same whatever loss the tower is trained with, and counts a
score that is not a number as lost. A table is withheld if the mean of the newest WINDOW differences is positive by more
than `margin` of their standard errors (a one-sided paired z-test) and by more than LEAST. Popularity is the same on
both sides: it is announced on its own.

Nothing here decides how the tower learns, so a restored tower begins with an empty window.
"""

import math
from dataclasses import replace
from typing import Final

import numpy as np

from models.hashing import stream_of
from models.item_tower import Batch, ItemTower
from models.kernels import kernel
from models.learning import Floats, Ints
from models.snapshots import FULL, SnapshotRows
from models.tower_kernels import Doubles, draw_negatives

WINDOW: Final = 500
"""Newest scored examples that decide."""
ENOUGH: Final = 100
"""With fewer nothing is withheld."""
LEAST: Final = 0.01
"""A worse mean by less than this is not worth withholding, however certain it is."""
EVERY: Final = 4
"""One of so many batches is scored: with NEGATIVES that costs a twentieth of the time that the training takes."""
NEGATIVES: Final = 25


class PublishGate:
    """The published rows, and how the newest examples were ranked by them and by the rows of the moment."""

    def __init__(self, margin: float) -> None:
        self._margin = margin
        self._batches = 0
        self._numbering = -1  # of the published rows; -1: none are known
        self._vectors: Floats = np.zeros((0, 0), np.float32)  # (n, k), as published
        self._biases: Floats = np.zeros(0, np.float32)  # (n,)
        self._differences = np.zeros(WINDOW)
        self._end = 0

    @property
    def scored(self) -> int:
        """How many of the newest examples count."""
        return min(self._end, WINDOW)

    def note_published(self, rows: SnapshotRows, numbering: int) -> None:
        """Compare with these rows from now on. A full snapshot of other rows, by number or by epoch, starts anew."""
        if rows.kind == FULL:
            if numbering != self._numbering:
                self._end = 0
            self._numbering = numbering
            self._vectors, self._biases = rows.vectors.copy(), rows.biases.copy()
            return
        assert rows.rows is not None
        known = rows.rows[rows.rows >= 0]
        self._vectors = np.concatenate([self._vectors, rows.vectors[len(known) :]])
        self._biases = np.concatenate([self._biases, rows.biases[len(known) :]])
        self._vectors[known], self._biases[known] = rows.vectors[: len(known)], rows.biases[: len(known)]

    def watch(self, tower: ItemTower, batch: Batch) -> None:
        """Score the new examples of a batch that the tower is about to learn, one batch of EVERY."""
        self._batches += 1
        n_old = len(self._biases)
        if self._margin == 0 or self._batches % EVERY or tower.numbering != self._numbering or n_old < 2:
            return
        rows, n = tower.rows, batch.n_new
        positive = rows.rows_of(batch.positive[:n])
        positive[(positive >= n_old) | (batch.weight[:n] <= 0)] = -1  # younger than the published rows, or unwanted
        recent = rows.rows_of(batch.recent[:n].ravel()).reshape(n, -1)
        recent[(batch.recent_weights[:n] == 0) | (recent >= n_old)] = -1
        stream = int(stream_of(tower.settings.seed, self._batches, -1))
        ends = batch.consumed_end[:n]
        drawn = draw_negatives(stream, n_old, rows.hashes, batch.consumed, ends, positive, NEGATIVES)
        popularity = (rows.counts, tower.unit, tower.settings.popularity_floor, tower.alpha, tower.gamma)
        users = (batch.embedding[:n], batch.recent_weights[:n], recent, batch.activity[:n], positive, drawn)
        now = ranked_above(rows.vectors, rows.biases, *popularity, *users)
        before = ranked_above(self._vectors, self._biases, *popularity, *users)
        for difference in (now - before)[~np.isnan(now - before)]:
            self._add(difference)

    def _add(self, difference: float) -> None:
        self._differences[self._end % WINDOW] = difference
        self._end += 1

    def with_published_vectors(self, rows: SnapshotRows) -> SnapshotRows:
        """A full snapshot of the moment, but with the vectors and biases that are published; those of younger rows are
        as they are.
        """
        n = len(self._biases)
        vectors, biases = rows.vectors.copy(), rows.biases.copy()
        vectors[:n], biases[:n] = self._vectors, self._biases
        return replace(rows, vectors=vectors, biases=biases)

    def worse_by(self) -> tuple[float, float]:
        """Mean of the newest differences, and its standard error."""
        differences = self._differences[: self.scored]
        if len(differences) < 2:
            return 0.0, math.inf
        return float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(len(differences))

    def withholds(self, numbering: int) -> bool:
        """Whether the rows of the moment, of this numbering, should not be published."""
        if self._margin == 0 or numbering != self._numbering or self.scored < ENOUGH:
            return False
        mean, error = self.worse_by()
        return mean > max(LEAST, self._margin * error)


@kernel
def ranked_above(
    vectors: Floats,
    biases: Floats,
    counts: Doubles,
    unit: Doubles,
    floor: float,
    alpha: Floats,
    gamma: Floats,
    embedding: Floats,
    recent_weights: Floats,
    recent: Ints,
    activity: Ints,
    positive: Ints,
    negatives: Ints,
) -> Doubles:
    """(B,) share of each example's negatives (B,S) that score at least as high as its positive (B,); NaN where there is
    no positive (row -1) or no negative (all -1).
    """
    k = vectors.shape[1]
    shares = np.full(len(positive), np.nan)
    hidden = np.empty(k, np.float32)
    for e in range(len(positive)):
        if positive[e] < 0:
            continue
        a = activity[e]
        for d in range(k):
            hidden[d] = embedding[e, d]
        for position in range(recent.shape[1]):
            if recent[e, position] >= 0:
                for d in range(k):
                    hidden[d] += recent_weights[e, position] * vectors[recent[e, position], d]
        first = np.float32(0)
        n, above = 0, 0
        for c in range(1 + negatives.shape[1]):
            row = positive[e] if c == 0 else negatives[e, c - 1]
            if row < 0:
                continue
            score = np.float32(0)
            for d in range(k):
                score += vectors[row, d] * hidden[d]
            score = np.float32(gamma[a]) * score + biases[row]
            for f in range(len(unit)):
                score += alpha[a, f] * np.float32(math.log(counts[row, f] / unit[f] + floor))
            if c == 0:
                first = score
            else:
                n += 1
                above += not first > score
        if n > 0:
            shares[e] = above / n
    return shares
