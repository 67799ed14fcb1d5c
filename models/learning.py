"""How a user learns: the context of recent items and one step of the user embedding.

    w_l = rho^(l-1) exp(-gap_l / tau),  a_l = w_l / sqrt(sum_l rho^(l-1))     j_1: the user's latest item
    h   = p + sum_l a_l q_{j_l}
    s_i = gamma_c q_i . h + b_i + pop_{c,i}                                   mse leaves pop out
    L   = the loss of s_y against s_n for S draws n (losses.py)               y: the item, n: items not consumed
    g   = dL/dp + reg p,  then one step of the optimiser (optimisers.py)

Negatives must not hold what the user has consumed: without that exclusion the recipe loses a tenth of its NDCG@10.
`item_tower.py` takes the same loss to the item side, `tower_reference.py` says both in torch.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.hashing import draw
from models.item_table import find_row, find_rows
from models.kernels import kernel, part
from models.losses import MSE, contrasts, loss_and_errors
from models.losses import Floats as Floats
from models.optimisers import ADAGRAD, ADAM, adagrad, adam, sgd

REDRAWS: Final = 3
"""How often a negative that the user has consumed is drawn again before it is left out."""
ROWS_FOR_A_STEP: Final = 10
"""With this many items or fewer there is nothing to contrast with, and no step is made."""

Ints = NDArray[np.int64]


@part
def fading_weights(recent_ms: Ints, now_ms: int, rho: float, tau_s: float) -> Floats:
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
    """`fading_weights` for Python; kernels call that one."""
    weights: Floats = fading_weights(recent_ms, now_ms, rho, tau_s)
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
def user_gradient(
    embedding: Floats,
    context: Floats,
    positive: int,
    weight: float,
    target: float,
    rated: bool,
    marked: NDArray[np.bool_],
    candidates: Ints,
    vectors: Floats,
    biases: Floats,
    popularity: Floats,
    gamma: float,
    stream: int,
    loss: int,
    n_negatives: int,
    regularisation: float,
) -> Floats:
    """dL/dp (k,) of one event on row `positive`, its weight, target and whether that is a rating.

    `marked` (I,) is True at consumed rows, `candidates` (A,) are the rows to draw from, `popularity` (I,) is the user's
    class's, draws come from the counter hash `stream`. The arguments stay as they are.
    """
    k = len(embedding)
    hidden = np.empty(k, np.float32)
    for d in range(k):
        hidden[d] = np.float32(gamma) * (embedding[d] + context[d])
    rows = np.empty(n_negatives + 1, np.int64)
    scores = np.empty(n_negatives + 1, np.float32)
    errors = np.empty(n_negatives + 1, np.float32)
    popular = np.float32(0 if loss == MSE else 1)
    n = 0
    for c in range(n_negatives + 1 if contrasts(loss, weight, rated) else 1):
        row = positive
        if c > 0:
            for attempt in range(REDRAWS + 1):
                row = candidates[draw(stream, (c - 1) * (REDRAWS + 1) + attempt, len(candidates))]
                if row != positive and not marked[row]:
                    break
            if row == positive or marked[row]:
                continue
        score = biases[row] + popular * popularity[row]
        for d in range(k):
            score += vectors[row, d] * hidden[d]
        rows[n] = row
        scores[n] = score
        n += 1
    correction = math.log(max(len(candidates) - 1, 1) / n_negatives)
    loss_and_errors(loss, scores, errors, n, n_negatives, correction, weight, target)
    gradient = np.zeros(k, np.float32)
    for c in range(n):
        error = np.float32(gamma) * errors[c]
        for d in range(k):
            gradient[d] += error * vectors[rows[c], d]
    for d in range(k):
        gradient[d] += np.float32(regularisation) * embedding[d]
    return gradient


@part
def cut_to(vector: Floats, squares: float, most: float) -> bool:
    """Shorten the vector (k,), whose squares sum to that, to the length `most` if it is longer; 0 leaves any. Returns
    whether it was.
    """
    if most <= 0 or not squares > most * most:  # NaN is no length, and goes on to whoever looks for it
        return False
    share = np.float32(most / math.sqrt(squares))
    for d in range(len(vector)):
        vector[d] *= share
    return True


@part
def learn_user(
    embedding: Floats,
    accumulator: float,
    moments: Floats,
    steps: int,
    recent: Ints,
    recent_weights: Floats,
    consumed: Ints,
    positive: int,
    weight: float,
    target: float,
    rated: bool,
    slots: Ints,
    hashes: Ints,
    vectors: Floats,
    biases: Floats,
    popularity: Floats,
    gamma: float,
    candidates: Ints,
    marked: NDArray[np.bool_],
    stream: int,
    loss: int,
    n_negatives: int,
    regularisation: float,
    optimizer: int,
    learning_rate: float,
    gradient_max: float,
    norm_max: float,
) -> tuple[Floats, float, Floats, float, bool]:
    """`user_gradient` and a step, from what a user's state holds: recent (R,) and consumed (C,) item hashes,
    recent_weights (R,), AdaGrad's accumulator and Adam's moments, means and variances (2k,), else (0,).

    Returns the embedding, the accumulator and the moments after the step that is the `steps`-th, the sum of the
    gradient's squares, which shows NaN and infinity, and whether the gradient was cut to the length `gradient_max`
    before the step, or the embedding to `norm_max` after it (0: any length). `marked` (I,) is False everywhere before
    and after.
    """
    context = context_vector(find_rows(slots, hashes, recent), recent_weights, vectors)
    consumed_rows = mark_consumed(consumed, slots, hashes, marked)
    gradient = user_gradient(
        embedding,
        context,
        positive,
        weight,
        target,
        rated,
        marked,
        candidates,
        vectors,
        biases,
        popularity,
        gamma,
        stream,
        loss,
        n_negatives,
        regularisation,
    )
    unmark(consumed_rows, marked)
    squares = 0.0
    for d in range(len(gradient)):
        squares += gradient[d] * gradient[d]
    clipped = cut_to(gradient, squares, gradient_max)
    k = len(embedding)
    stepped, stepped_moments = embedding.copy(), moments.copy()
    if optimizer == ADAGRAD:
        accumulator = adagrad(stepped, gradient, accumulator, learning_rate)
    elif optimizer == ADAM:
        adam(stepped, gradient, stepped_moments[:k], stepped_moments[k:], steps, learning_rate)
    else:
        sgd(stepped, gradient, learning_rate)
    if norm_max > 0:
        length = 0.0
        for d in range(k):
            length += stepped[d] * stepped[d]
        clipped |= cut_to(stepped, length, norm_max)
    return stepped, accumulator, stepped_moments, squares, clipped
