"""One mini-batch of the item tower: the loss of `losses.py` and its gradient on rows, alpha and gamma.

    h    = p + sum_l a_l q_{j_l}
    s_i  = gamma_c q_i . h + b_i + alpha_c . log popularity_i           i: the item and S items not consumed
    L    = sum over examples of the loss of s_y against the s_n that were drawn; mse leaves popularity out
    q, b:  L2 on a row at each use of it; the step on the summed gradient is `optimisers.py`'s
    alpha_c, gamma_c: from new examples of items seen before, whose own event is not yet counted; no explicit negatives

The kernels work on the memory that the nn.Module owns. `tower_reference.py` is the same step in torch, against which
`tests/test_tower_kernels.py` checks every gradient and the speed.
"""

import math

import numpy as np
from numpy.typing import NDArray

from models.examples import FINGERPRINTS
from models.hashing import draw
from models.kernels import kernel, part
from models.learning import REDRAWS, Floats, Ints, cut_to
from models.losses import MSE, contrasts, loss_and_errors

Doubles = NDArray[np.float64]
GAMMA_LOW, GAMMA_HIGH = 0.05, 3.0


@kernel
def draw_negatives(
    stream: int,
    n_rows: int,
    hashes: Ints,
    consumed: NDArray[np.uint16],
    consumed_end: Ints,
    positive: Ints,
    n_negatives: int,
) -> Ints:
    """Rows (B,S) drawn for each example, -1 where no unconsumed one was found.

    consumed: fingerprints, those of example e end at consumed_end[e]; positive (B,) rows, -1 draws nothing.
    """
    negatives = np.full((len(positive), n_negatives), -1, np.int64)
    marked = np.zeros(FINGERPRINTS, np.bool_)
    start = 0
    for e in range(len(positive)):
        for at in range(start, consumed_end[e]):
            marked[consumed[at]] = True
        for s in range(n_negatives if positive[e] >= 0 else 0):
            for attempt in range(REDRAWS + 1):
                row = draw(stream, (e * n_negatives + s) * (REDRAWS + 1) + attempt, n_rows)
                if row != positive[e] and not marked[hashes[row] & (FINGERPRINTS - 1)]:
                    negatives[e, s] = row
                    break
        for at in range(start, consumed_end[e]):
            marked[consumed[at]] = False
        start = consumed_end[e]
    return negatives


@kernel
def batch_gradient(
    vectors: Floats,
    biases: Floats,
    counts: Doubles,
    unit: Doubles,
    floor: float,
    alpha: Floats,
    gamma: Floats,
    n_rows: int,
    n_drawable: int,
    embedding: Floats,
    recent_weights: Floats,
    recent: Ints,
    activity: Ints,
    weight: Floats,
    target: Floats,
    rated: NDArray[np.bool_],
    positive: Ints,
    negatives: Ints,
    fresh: NDArray[np.bool_],
    kind_of_loss: int,
    regularisation: float,
    place: NDArray[np.int32],
) -> tuple[Ints, Floats, Floats, Floats, Floats, float, Floats]:
    """Gradients of one batch of B examples.

    vectors (I,k), biases (I,), counts (I,F) in units (F,), alpha (7,F), gamma (7,); embedding (B,k), recent_weights,
    recent (B,L) rows or -1, activity, weight, target, rated, positive, fresh (B,), negatives (B,S) rows or -1, drawn
    from n_drawable; place (I,) scratch of -1. Returns the touched rows (n,), their gradients (n,k) and (n,), those of
    alpha (7,F) and gamma (7,), the loss, and the scores (B,1+S): the item's first, without any correction for sampling,
    NaN where no row was drawn or none was needed.
    """
    n_examples, n_negatives = negatives.shape
    n_recent = recent.shape[1]
    k, n_half_lives = vectors.shape[1], counts.shape[1]
    room = min(n_rows, n_examples * (1 + n_negatives + n_recent))
    rows = np.empty(room, np.int64)
    g_vectors = np.zeros((room, k), np.float32)
    g_biases = np.zeros(room, np.float32)
    logs = np.empty((room, n_half_lives), np.float32)
    g_alpha = np.zeros(alpha.shape, np.float32)
    g_gamma = np.zeros(gamma.shape, np.float32)
    hidden = np.empty(k, np.float32)
    g_hidden = np.empty(k, np.float32)
    all_scores = np.full((n_examples, 1 + n_negatives), np.nan, np.float32)
    drawn = np.empty(1 + n_negatives, np.int64)
    scores = np.empty(1 + n_negatives, np.float32)
    errors = np.empty(1 + n_negatives, np.float32)
    dots = np.empty(1 + n_negatives, np.float32)
    correction = math.log(max(n_drawable - 1, 1) / n_negatives)
    n_popularities = 0 if kind_of_loss == MSE else n_half_lives
    reg = np.float32(regularisation)
    loss = 0.0
    n = 0
    for e in range(n_examples):
        a = activity[e]
        for d in range(k):
            hidden[d] = embedding[e, d]
            g_hidden[d] = 0
        for position in range(n_recent):
            row = recent[e, position]
            if row >= 0:
                if place[row] < 0:
                    n = _touch(row, n, rows, place, logs, counts, unit, floor)
                for d in range(k):
                    hidden[d] += recent_weights[e, position] * vectors[row, d]
        n_scores = 0
        for c in range(1 + n_negatives if contrasts(kind_of_loss, weight[e], rated[e]) else 1):
            row = positive[e] if c == 0 else negatives[e, c - 1]
            if row < 0:
                continue
            if place[row] < 0:
                n = _touch(row, n, rows, place, logs, counts, unit, floor)
            dot = np.float32(0)
            for d in range(k):
                dot += vectors[row, d] * hidden[d]
            score = gamma[a] * dot + biases[row]
            for f in range(n_popularities):
                score += alpha[a, f] * logs[place[row], f]
            drawn[n_scores] = row
            dots[n_scores] = dot
            scores[n_scores] = score
            all_scores[e, c] = score
            n_scores += 1
        loss += loss_and_errors(kind_of_loss, scores, errors, n_scores, n_negatives, correction, weight[e], target[e])
        for c in range(n_scores):
            row = drawn[c]
            at = place[row]
            error = errors[c]
            g_biases[at] += error
            for d in range(k):
                g_hidden[d] += error * gamma[a] * vectors[row, d]
                g_vectors[at, d] += error * gamma[a] * hidden[d] + reg * vectors[row, d]
            if fresh[e]:
                g_gamma[a] += error * dots[c]
                for f in range(n_popularities):
                    g_alpha[a, f] += error * logs[at, f]
        for position in range(n_recent):
            row = recent[e, position]
            if row >= 0:
                for d in range(k):
                    g_vectors[place[row], d] += recent_weights[e, position] * (g_hidden[d] + reg * vectors[row, d])
    for touched in range(n):
        place[rows[touched]] = -1
    return rows[:n], g_vectors[:n], g_biases[:n], g_alpha, g_gamma, loss, all_scores


@part
def _touch(
    row: int,
    n: int,
    rows: Ints,
    place: NDArray[np.int32],
    logs: Floats,
    counts: Doubles,
    unit: Doubles,
    floor: float,
) -> int:
    """Give a row its place among the n touched so far, and take the logarithms of its popularity; returns n + 1."""
    place[row] = n
    rows[n] = row
    for f in range(counts.shape[1]):
        logs[n, f] = math.log(counts[row, f] / unit[f] + floor)
    return n + 1


@kernel
def cut_rows(array: Floats, rows: Ints, most: float) -> int:
    """Shorten these rows (n,) of array (I,k) to the length `most`; returns how many were longer. Rows that are not
    finite stay so.
    """
    n = 0
    for row in rows:
        squares = 0.0
        for d in range(array.shape[1]):
            squares += array[row, d] * array[row, d]
        n += cut_to(array[row], squares, most)
    return n


@kernel
def count_events(rows: Ints, counts: Doubles, unit: Doubles, half_lives: Doubles) -> None:
    """Count events of these rows (n,) one by one into counts (I,F), which are kept in growing units (F,) instead of
    being decayed.
    """
    for row in rows:
        for f in range(len(unit)):
            unit[f] *= 2.0 ** (1.0 / half_lives[f])
            counts[row, f] += unit[f]


@kernel
def first_vectors(hashes: Ints, seed: int, dimension: int) -> Floats:
    """(n,k) drawn from N(0, 0.05^2), a function of the item's hash and the seed alone (Box and Muller 1958)."""
    vectors = np.empty((len(hashes), dimension), np.float32)
    for n in range(len(hashes)):
        for d in range(dimension):
            u = (draw(hashes[n] ^ seed, 2 * d, 2**31) + 1) / 2**31
            v = draw(hashes[n] ^ seed, 2 * d + 1, 2**31) / 2**31
            vectors[n, d] = 0.05 * math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v)
    return vectors
