"""One mini-batch of the item tower: the loss of `learning.py`, its gradient, a row-wise AdaGrad step on its rows.

    h    = p + sum_l a_l q_{j_l}
    s_i  = gamma_c q_i . h + b_i + alpha_c . log popularity_i           i: the item and S items not consumed
    L    = sum over examples of weight * (-log softmax(s_y, s_n + log((N - 1) / S)))       N items to draw from
    q, b:  acc <- acc + mean(g^2), q <- q - lr g / sqrt(acc) on the summed gradient g; L2 on a row at each use of it
    alpha_c, gamma_c: from new examples of items seen before, whose own event is not yet counted

The kernels work on the memory that the nn.Module owns. They are 8 times faster than the same step in torch autograd,
against which `tests/test_tower_kernels.py` checks every gradient.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.examples import FINGERPRINTS
from models.hashing import draw
from models.learning import REDRAWS, SAFE_FASTMATH, Floats, Ints

Doubles = NDArray[np.float64]
GAMMA_LOW, GAMMA_HIGH = 0.05, 3.0


@njit(cache=True)
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


@njit(cache=True, fastmath=SAFE_FASTMATH)
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
    positive: Ints,
    negatives: Ints,
    fresh: NDArray[np.bool_],
    regularisation: float,
    place: NDArray[np.int32],
) -> tuple[Ints, Floats, Floats, Floats, Floats, float]:
    """Gradients of one batch of B examples.

    vectors (I,k), biases (I,), counts (I,F) in units (F,), alpha (7,F), gamma (7,); embedding (B,k), recent_weights,
    recent (B,L) rows or -1, activity, weight, positive, fresh (B,), negatives (B,S) rows or -1; place (I,) scratch of
    -1; negatives were drawn from n_drawable rows. Returns the touched rows (n,), their gradients (n,k) and (n,), those
    of alpha (7,F) and gamma (7,), and the loss.
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
    logits = np.empty(1 + n_negatives, np.float32)
    dots = np.empty(1 + n_negatives, np.float32)
    correction = np.float32(math.log(max(n_drawable - 1, 1) / n_negatives))
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
        highest = np.float32(-np.inf)
        for c in range(1 + n_negatives):
            row = positive[e] if c == 0 else negatives[e, c - 1]
            if row < 0:
                continue
            if place[row] < 0:
                n = _touch(row, n, rows, place, logs, counts, unit, floor)
            dot = np.float32(0)
            for d in range(k):
                dot += vectors[row, d] * hidden[d]
            logit = gamma[a] * dot + biases[row]
            if c > 0:
                logit += correction
            for f in range(n_half_lives):
                logit += alpha[a, f] * logs[place[row], f]
            dots[c] = dot
            logits[c] = logit
            highest = max(highest, logit)
        total = np.float32(0)
        first = logits[0]
        for c in range(1 + n_negatives):
            if c == 0 or negatives[e, c - 1] >= 0:
                logits[c] = math.exp(logits[c] - highest)
                total += logits[c]
        loss += weight[e] * (math.log(total) + highest - first)
        for c in range(1 + n_negatives):
            row = positive[e] if c == 0 else negatives[e, c - 1]
            if row < 0:
                continue
            at = place[row]
            error = weight[e] * (logits[c] / total - (np.float32(1) if c == 0 else np.float32(0)))
            g_biases[at] += error
            for d in range(k):
                g_hidden[d] += error * gamma[a] * vectors[row, d]
                g_vectors[at, d] += error * gamma[a] * hidden[d] + reg * vectors[row, d]
            if fresh[e]:
                g_gamma[a] += error * dots[c]
                for f in range(n_half_lives):
                    g_alpha[a, f] += error * logs[at, f]
        for position in range(n_recent):
            row = recent[e, position]
            if row >= 0:
                for d in range(k):
                    g_vectors[place[row], d] += recent_weights[e, position] * (g_hidden[d] + reg * vectors[row, d])
    for touched in range(n):
        place[rows[touched]] = -1
    return rows[:n], g_vectors[:n], g_biases[:n], g_alpha, g_gamma, loss


@njit(cache=True, inline="always")
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


@njit(cache=True, fastmath=SAFE_FASTMATH)
def adagrad_rows(
    rows: Ints,
    g_vectors: Floats,
    g_biases: Floats,
    vectors: Floats,
    biases: Floats,
    vector_squares: Floats,
    bias_squares: Floats,
    learning_rate: float,
    learning_rate_bias: float,
) -> bool:
    """One AdaGrad step on the touched rows, in place; False, and nothing changed, if a gradient is not finite."""
    k = vectors.shape[1]
    for n in range(len(rows)):
        squares = g_biases[n] * g_biases[n]
        for d in range(k):
            squares += g_vectors[n, d] * g_vectors[n, d]
        if not squares < np.inf:  # not np.isfinite: it asks whether x - x is 0, and reassoc makes it so
            return False
    for n in range(len(rows)):
        row = rows[n]
        squares = np.float32(0)
        for d in range(k):
            squares += g_vectors[n, d] * g_vectors[n, d]
        vector_squares[row] += squares / k
        bias_squares[row] += g_biases[n] * g_biases[n]
        rate = np.float32(learning_rate / math.sqrt(vector_squares[row]))
        for d in range(k):
            vectors[row, d] -= rate * g_vectors[n, d]
        biases[row] -= np.float32(learning_rate_bias / math.sqrt(bias_squares[row])) * g_biases[n]
    return True


def adagrad_classes(
    gradient: Floats, weights: Floats, squares: Floats, learning_rate: float, low: float = -np.inf, high: float = np.inf
) -> None:
    """One AdaGrad step on alpha or gamma (one accumulator a number), in place, kept in [low, high]."""
    squares += gradient * gradient
    weights -= np.float32(learning_rate) * gradient / np.sqrt(squares)
    np.clip(weights, low, high, out=weights)


@njit(cache=True)
def count_events(rows: Ints, counts: Doubles, unit: Doubles, half_lives: Doubles) -> None:
    """Count events of these rows (n,) one by one into counts (I,F), which are kept in growing units (F,) instead of
    being decayed.
    """
    for row in rows:
        for f in range(len(unit)):
            unit[f] *= 2.0 ** (1.0 / half_lives[f])
            counts[row, f] += unit[f]


@njit(cache=True)
def first_vectors(hashes: Ints, seed: int, dimension: int) -> Floats:
    """(n,k) drawn from N(0, 0.05^2), a function of the item's hash and the seed alone (Box and Muller 1958)."""
    vectors = np.empty((len(hashes), dimension), np.float32)
    for n in range(len(hashes)):
        for d in range(dimension):
            u = (draw(hashes[n] ^ seed, 2 * d, 2**31) + 1) / 2**31
            v = draw(hashes[n] ^ seed, 2 * d + 1, 2**31) / 2**31
            vectors[n, d] = 0.05 * math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v)
    return vectors
