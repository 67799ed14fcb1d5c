"""How a user learns: the context of recent items and one step of sampled softmax on the user embedding.

    w_l = rho^(l-1) exp(-gap_l / tau),  a_l = w_l / sqrt(sum_l rho^(l-1))     j_1: the user's latest item
    h   = p + sum_l a_l q_{j_l}
    s_i = gamma_c q_i . h + b_i + pop_{c,i}
    L   = -log softmax(s_y, s_n + log((N - 1) / S) for n in S draws)          y: the item, n: items not consumed
    g   = dL/dp + reg p,  acc <- acc + mean(g^2),  p <- p - lr g / sqrt(acc)  AdaGrad, one accumulator a user

Sampled softmax after Jean et al. 2015 and Yi et al. 2019; AdaGrad after Duchi et al. 2011. Negatives must not hold what
the user has consumed: without that exclusion the recipe loses a tenth of its NDCG@10. `item_tower.py` takes the same
loss to the item side.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.hashing import draw
from models.item_table import find_row, find_rows
from models.kernels import kernel, part

REDRAWS: Final = 3
"""How often a negative that the user has consumed is drawn again before it is left out."""
ROWS_FOR_A_STEP: Final = 10
"""With this many items or fewer there is nothing to contrast with, and no step is made."""

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@part
def recent_weights_at(recent_ms: Ints, now_ms: int, rho: float, tau_s: float) -> Floats:
    """a (R,): how much each recent item counts at `now_ms`; an item from the future counts as just consumed."""
    weights = np.empty(len(recent_ms), np.float32)
    total = 0.0
    for position in range(len(recent_ms)):
        fade = rho**position
        total += fade
        if tau_s > 0:
            fade *= math.exp(-max(0, now_ms - recent_ms[position]) / (1000.0 * tau_s))
        weights[position] = fade
    for position in range(len(recent_ms)):
        weights[position] /= math.sqrt(total)
    return weights


@kernel
def context_weights(recent_ms: Ints, now_ms: int, rho: float, tau_s: float) -> Floats:
    """`recent_weights_at` for Python."""
    weights: Floats = recent_weights_at(recent_ms, now_ms, rho, tau_s)
    return weights


@part
def context_vector(rows: Ints, weights: Floats, vectors: Floats) -> Floats:
    """sum_l a_l q_l (k,) over the recent items that the table holds (row >= 0)."""
    context = np.zeros(vectors.shape[1], np.float32)
    for position in range(len(rows)):
        if rows[position] >= 0:
            weight = weights[position]
            for d in range(len(context)):
                context[d] += weight * vectors[rows[position], d]
    return context


@part
def mark_consumed(consumed: Ints, slots: Ints, hashes: Ints, marked: NDArray[np.bool_]) -> Ints:
    """Set `marked` (I,) at the rows of the consumed items; returns these rows, with which `unmark` clears them."""
    rows = np.empty(len(consumed), np.int64)
    n = 0
    for item in consumed:
        row = find_row(slots, hashes, item)
        if row >= 0:
            marked[row] = True
            rows[n] = row
            n += 1
    return rows[:n]


@part
def unmark(rows: Ints, marked: NDArray[np.bool_]) -> None:
    """Clear what `mark_consumed` set."""
    for row in rows:
        marked[row] = False


@part
def step_embedding(
    embedding: Floats,
    accumulator: float,
    context: Floats,
    positive: int,
    marked: NDArray[np.bool_],
    candidates: Ints,
    vectors: Floats,
    biases: Floats,
    popularity: Floats,
    gamma: float,
    stream: int,
    n_negatives: int,
    learning_rate: float,
    regularisation: float,
) -> tuple[Floats, float]:
    """The user embedding (k,) and its accumulator after one event on row `positive`.

    `marked` (I,) is True at consumed rows, `candidates` (A,) are the rows to draw from, `popularity` (I,) is the user's
    class's, draws come from the counter hash `stream`. The arguments stay as they are.
    """
    k = len(embedding)
    hidden = np.empty(k, np.float32)
    for d in range(k):
        hidden[d] = np.float32(gamma) * (embedding[d] + context[d])
    correction = np.float32(math.log(max(len(candidates) - 1, 1) / n_negatives))
    rows = np.empty(n_negatives + 1, np.int64)
    logits = np.empty(n_negatives + 1, np.float32)
    n = 0
    highest = np.float32(-np.inf)
    for c in range(n_negatives + 1):
        row = positive
        if c > 0:
            for attempt in range(REDRAWS + 1):
                row = candidates[draw(stream, (c - 1) * (REDRAWS + 1) + attempt, len(candidates))]
                if row != positive and not marked[row]:
                    break
            if row == positive or marked[row]:
                continue
        logit = biases[row] + popularity[row]
        if c > 0:
            logit += correction
        for d in range(k):
            logit += vectors[row, d] * hidden[d]
        rows[n] = row
        logits[n] = logit
        highest = max(highest, logit)
        n += 1
    total = np.float32(0)
    for c in range(n):
        logits[c] = math.exp(logits[c] - highest)
        total += logits[c]
    gradient = np.zeros(k, np.float32)
    for c in range(n):
        error = np.float32(gamma) * (logits[c] / total - (np.float32(1) if c == 0 else np.float32(0)))
        for d in range(k):
            gradient[d] += error * vectors[rows[c], d]
    squares = 0.0
    for d in range(k):
        gradient[d] += np.float32(regularisation) * embedding[d]
        squares += gradient[d] * gradient[d]
    accumulator += squares / k
    rate = np.float32(learning_rate / math.sqrt(accumulator))
    stepped = np.empty(k, np.float32)  # NaN or infinity shows in the accumulator, where the caller stops it
    for d in range(k):
        stepped[d] = embedding[d] - rate * gradient[d]
    return stepped, accumulator


@kernel
def learn_user(
    embedding: Floats,
    accumulator: float,
    recent: Ints,
    recent_weights: Floats,
    consumed: Ints,
    positive: int,
    slots: Ints,
    hashes: Ints,
    vectors: Floats,
    biases: Floats,
    popularity: Floats,
    gamma: float,
    candidates: Ints,
    marked: NDArray[np.bool_],
    stream: int,
    n_negatives: int,
    learning_rate: float,
    regularisation: float,
) -> tuple[Floats, float]:
    """`step_embedding` from what a user's state holds: recent (R,) and consumed (C,) item hashes, recent_weights (R,).

    One kernel, since between the events of a running job every call from Python finds cold caches. `marked` (I,) is
    False everywhere before and after.
    """
    context = context_vector(find_rows(slots, hashes, recent), recent_weights, vectors)
    consumed_rows = mark_consumed(consumed, slots, hashes, marked)
    stepped, accumulator = step_embedding(
        embedding,
        accumulator,
        context,
        positive,
        marked,
        candidates,
        vectors,
        biases,
        popularity,
        gamma,
        stream,
        n_negatives,
        learning_rate,
        regularisation,
    )
    unmark(consumed_rows, marked)
    return stepped, accumulator
