"""The three optimisers, each as one step on one row of numbers x with gradient g, in place.

    sgd      x <- x - lr g                                                              Robbins, Monro 1951
    adagrad  a <- a + mean(g^2),  x <- x - lr g / sqrt(a)                               Duchi et al. 2011; one a per row
    adam     m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  t <- t + 1             Kingma, Ba 2015
             x <- x - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

Row-wise AdaGrad keeps one accumulator a row, as industrial recommenders do (Mudigere et al. 2022): 4 bytes instead of
4 k. Adam's t counts the row's own steps and a row without a gradient stays as it is, its moments included; that is what
torch.optim.Adam does to a parameter whose gradient is None.

A moment belongs to its optimiser: who changes `model.optimizer` keeps vectors and starts the moments anew
(`user_state.py`, `tower_rows.py`). A user's step is in `learning.py`; the entries below step the item tower's rows.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.kernels import kernel, part
from models.losses import Floats
from models.settings import OPTIMIZERS

SGD, ADAGRAD, ADAM = (OPTIMIZERS.index(name) for name in ("sgd", "adagrad", "adam"))
INITIAL_SQUARES: Final = 1e-6
"""Where AdaGrad's accumulator starts."""
BETA_1: Final = 0.9
BETA_2: Final = 0.999
EPSILON: Final = 1e-8

Ints = NDArray[np.int64]


# ---- one row -------------------------------------------------------------------------------------
# Inlined, so that the view of a row costs nothing: called, AdaGrad on 4,800 rows takes 0.30 instead of 0.13 ms.


@part
def sgd(values: Floats, gradient: Floats, learning_rate: float) -> None:
    """One step of plain gradient descent on values (k,)."""
    rate = np.float32(learning_rate)
    for d in range(len(values)):
        values[d] -= rate * gradient[d]


@part
def adagrad(values: Floats, gradient: Floats, accumulator: float, learning_rate: float) -> float:
    """One step of row-wise AdaGrad on values (k,); returns the accumulator after it."""
    squares = np.float32(0)
    for d in range(len(values)):
        squares += gradient[d] * gradient[d]
    grown = accumulator + float(squares) / len(values)
    rate = np.float32(learning_rate / math.sqrt(grown))
    for d in range(len(values)):
        values[d] -= rate * gradient[d]
    return grown


@part
def adam(values: Floats, gradient: Floats, means: Floats, variances: Floats, steps: int, learning_rate: float) -> None:
    """One step of Adam on values, means and variances (k,); `steps` counts this one, 1 at the first."""
    rate = np.float32(learning_rate / (1 - BETA_1**steps))
    correction = np.float32(1 / (1 - BETA_2**steps))
    b1, b2, one = np.float32(BETA_1), np.float32(BETA_2), np.float32(1)
    for d in range(len(values)):
        g = gradient[d]
        means[d] = b1 * means[d] + (one - b1) * g
        variances[d] = b2 * variances[d] + (one - b2) * g * g
        values[d] -= rate * means[d] / (math.sqrt(variances[d] * correction) + np.float32(EPSILON))


# ---- rows of the tower ---------------------------------------------------------------------------


@part
def all_finite(g_vectors: Floats, g_biases: Floats) -> bool:
    """Whether every gradient (n,k), (n,) is finite and can be squared."""
    for n in range(len(g_biases)):
        squares = g_biases[n] * g_biases[n]
        for d in range(g_vectors.shape[1]):
            squares += g_vectors[n, d] * g_vectors[n, d]
        if not squares < np.inf:  # not np.isfinite: it asks whether x - x is 0, and reassoc makes it so
            return False
    return True


@kernel
def sgd_rows(
    rows: Ints,
    g_vectors: Floats,
    g_biases: Floats,
    vectors: Floats,
    biases: Floats,
    learning_rate: float,
    learning_rate_bias: float,
) -> bool:
    """SGD on these rows (n,) of vectors (I,k) and biases (I,); False, and nothing changed, if a gradient is not
    finite.
    """
    if not all_finite(g_vectors, g_biases):
        return False
    for n in range(len(rows)):
        row = rows[n]
        sgd(vectors[row], g_vectors[n], learning_rate)
        sgd(biases[row : row + 1], g_biases[n : n + 1], learning_rate_bias)
    return True


@kernel
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
    """AdaGrad on these rows, likewise; accumulators (I,)."""
    if not all_finite(g_vectors, g_biases):
        return False
    for n in range(len(rows)):
        row = rows[n]
        vector_squares[row] = adagrad(vectors[row], g_vectors[n], vector_squares[row], learning_rate)
        bias_squares[row] = adagrad(biases[row : row + 1], g_biases[n : n + 1], bias_squares[row], learning_rate_bias)
    return True


@kernel
def adam_rows(
    rows: Ints,
    g_vectors: Floats,
    g_biases: Floats,
    vectors: Floats,
    biases: Floats,
    vector_means: Floats,
    vector_variances: Floats,
    bias_means: Floats,
    bias_variances: Floats,
    steps: NDArray[np.uint32],
    learning_rate: float,
    learning_rate_bias: float,
) -> bool:
    """Adam on these rows, likewise; moments (I,k) and (I,), steps (I,)."""
    if not all_finite(g_vectors, g_biases):
        return False
    for n in range(len(rows)):
        row = rows[n]
        one = slice(row, row + 1)
        steps[row] += 1
        t = int(steps[row])
        adam(vectors[row], g_vectors[n], vector_means[row], vector_variances[row], t, learning_rate)
        adam(biases[one], g_biases[n : n + 1], bias_means[one], bias_variances[one], t, learning_rate_bias)
    return True


# ---- weights of the classes ----------------------------------------------------------------------


def adagrad_classes(
    gradient: Floats, weights: Floats, squares: Floats, learning_rate: float, low: float = -np.inf, high: float = np.inf
) -> None:
    """One AdaGrad step on alpha or gamma (one accumulator a number), in place, kept in [low, high]."""
    squares += gradient * gradient
    weights -= np.float32(learning_rate) * gradient / np.sqrt(squares)
    np.clip(weights, low, high, out=weights)
