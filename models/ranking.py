"""How a list is made: score every available item the user has not consumed, keep the best, say what a score is made of.

    s_i = gamma_c q_i . (p + sum_l a_l q_{j_l}) + b_i + pop_{c,i}
        = taste (gamma q_i . p) + recent (gamma q_i . sum_l a_l q_{j_l}) + bias + popularity

Exact, by a full scan: at 10,000 items of dimension 64 that is 0.64 M multiplications. Ties break by row. An item whose
score is NaN is never listed.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.item_table import find_rows
from models.learning import (
    SAFE_FASTMATH,
    Floats,
    Ints,
    context_vector,
    fading_weights,
    mark_consumed,
    unmark,
)

Doubles = NDArray[np.float64]


@njit(cache=True, fastmath=SAFE_FASTMATH)
def rank_items(
    hidden: Floats,
    vectors: Floats,
    biases: Floats,
    popularity: Floats,
    available: NDArray[np.bool_],
    marked: NDArray[np.bool_],
    n_best: int,
) -> tuple[Ints, Floats]:
    """Rows and scores of the best items (<= n_best,), best first; `hidden` (k,) holds gamma, `marked` rows are out."""
    best = np.empty(n_best, np.float32)
    rows = np.empty(n_best, np.int64)
    n = 0
    for row in range(len(biases)):
        if marked[row] or not available[row]:
            continue
        score = biases[row] + popularity[row]
        for d in range(len(hidden)):
            score += vectors[row, d] * hidden[d]
        if np.isnan(score) or (n == n_best and score <= best[n - 1]):
            continue
        place = n if n < n_best else n_best - 1
        while place > 0 and best[place - 1] < score:
            best[place] = best[place - 1]
            rows[place] = rows[place - 1]
            place -= 1
        best[place] = score
        rows[place] = row
        n = min(n + 1, n_best)
    return rows[:n], best[:n]


@njit(cache=True, fastmath=SAFE_FASTMATH)
def explain_items(
    listed: Ints,
    embedding: Floats,
    recent_rows: Ints,
    weights: Floats,
    vectors: Floats,
    gamma: float,
) -> tuple[Floats, Floats, Ints]:
    """For each listed row (T,): taste, recent, and the row of the recent item that raised it most, -1 if none did."""
    taste = np.zeros(len(listed), np.float32)
    recent = np.zeros(len(listed), np.float32)
    because = np.full(len(listed), -1, np.int64)
    for n in range(len(listed)):
        row = listed[n]
        for d in range(len(embedding)):
            taste[n] += np.float32(gamma) * embedding[d] * vectors[row, d]
        most = np.float32(0)
        for position in range(len(recent_rows)):
            other = recent_rows[position]
            if other < 0:
                continue
            part = np.float32(0)
            for d in range(len(embedding)):
                part += vectors[other, d] * vectors[row, d]
            part *= np.float32(gamma) * weights[position]
            recent[n] += part
            if part > most:
                most = part
                because[n] = other
    return taste, recent, because


@njit(cache=True, fastmath=SAFE_FASTMATH)
def rank_for_user(
    embedding: Floats,
    recent: Ints,
    recent_ms: Ints,
    consumed: Ints,
    now_ms: int,
    rho: float,
    tau_s: float,
    slots: Ints,
    hashes: Ints,
    vectors: Floats,
    biases: Floats,
    popularity: Floats,
    gamma: float,
    available: NDArray[np.bool_],
    marked: NDArray[np.bool_],
    n_best: int,
) -> tuple[Ints, Doubles, Ints]:
    """The list of a user at `now_ms`: rows (T,), their score, taste, recent, popularity and bias (T,5), because (T,).

    `rank_items` and `explain_items` from what a user's state holds: recent (R,) and consumed (C,) item hashes,
    recent_ms (R,). One kernel for the reason `learn_user` gives. `marked` (I,) is False everywhere before and after.
    """
    weights = fading_weights(recent_ms, now_ms, rho, tau_s)
    recent_rows = find_rows(slots, hashes, recent)
    hidden = np.float32(gamma) * (embedding + context_vector(recent_rows, weights, vectors))
    consumed_rows = mark_consumed(consumed, slots, hashes, marked)
    rows, scores = rank_items(hidden, vectors, biases, popularity, available, marked, n_best)
    unmark(consumed_rows, marked)
    taste, recent_part, because = explain_items(rows, embedding, recent_rows, weights, vectors, gamma)
    parts = np.empty((len(rows), 5), np.float64)
    for n in range(len(rows)):
        parts[n, 0] = scores[n]
        parts[n, 1] = taste[n]
        parts[n, 2] = recent_part[n]
        parts[n, 3] = popularity[rows[n]]
        parts[n, 4] = biases[rows[n]]
    return rows, parts, because
