"""EASE, a linear autoencoder in closed form (Steck 2019, "Embarrassingly shallow autoencoders for sparse data"), fitted
anew after every 5% of the stream on everything so far.

    G = X^T X + ridge I,  P = G^-1,  B_ij = -P_ij / P_jj for i != j, B_jj = 0        X (users, items) of 0 and 1
    score_i = sum_l fade^(l-1) B_{j_l, i}                                            j_1: the user's latest item

The plain form has fade 1; fade .9 lets the latest items count most, which on real streams is worth half as much again.
"""

import numpy as np

from livetower.evaluate.baselines.history import Doubles, rank_for_event, require_dense
from livetower.evaluate.columns import Columns
from models.kernels import kernel
from models.learning import Ints

FITS = 20


def ease_ranks(columns: Columns, fades: tuple[float, ...] = (1.0, 0.9), ridge: float = 500.0) -> list[Ints]:
    """For each fade the rank (n,) of each event. Raises EvaluationError for a stream of too many items."""
    require_dense(columns, "EASE")
    n = len(columns.item)
    ranks = [np.zeros(n, np.int64) for _ in fades]
    weights = np.zeros((columns.n_items, columns.n_items))
    for fit in range(FITS):
        start, end = n * fit // FITS, n * (fit + 1) // FITS
        if start > 0:
            weights = ease_weights(columns, start, ridge)
        for fade, of_fade in zip(fades, ranks, strict=True):
            of_fade[start:end] = _ranks(columns.item, columns.previous, weights, fade, start, end)
    return ranks


def ease_weights(columns: Columns, n_events: int, ridge: float) -> Doubles:
    """B (I, I) of the first n_events; rows and columns of items not seen in them are 0."""
    user, item = columns.user[:n_events], columns.item[:n_events]
    n_items = int(item.max()) + 1
    had = np.zeros((int(user.max()) + 1, n_items), np.float32)
    had[user, item] = 1
    gram = (had.T @ had).astype(np.float64)
    gram[np.diag_indices(n_items)] += ridge
    inverse = np.linalg.inv(gram)
    weights = np.zeros((columns.n_items, columns.n_items))
    weights[:n_items, :n_items] = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


@kernel
def _ranks(item: Ints, previous: Ints, weights: Doubles, fade: float, start: int, end: int) -> Ints:
    n_items = len(weights)
    ranks = np.zeros(end - start, np.int64)
    marked = np.zeros(n_items, np.bool_)
    n_seen = item[:start].max() + 1 if start > 0 else 0
    for event in range(start, end):
        if previous[event] >= 0:
            scores = np.zeros(n_items)
            at, weight = previous[event], 1.0
            while at >= 0 and weight > 1e-4:
                scores[:n_seen] += weight * weights[item[at], :n_seen]
                at, weight = previous[at], weight * fade
            ranks[event - start] = rank_for_event(scores, n_seen, event, item, previous, marked)
        n_seen = max(n_seen, item[event] + 1)
    return ranks
