"""The three losses on one example: its item's score s_y against the scores s_n of sampled items, and dL/ds for each.

    d       = s_y - log sum_n exp(s_n + log((N - 1) / S)),   p_y = sigma(d)       p_y: the sampled softmax's share of y
    softmax   L = -w log p_y             w > 0        L = -|w| log(1 - p_y)       w < 0, an explicit negative
    bce       L = w (-log sigma(s_y - log W) - W/S sum_n log(1 - sigma(s_n - log W))), W = NEGATIVES
              L = -|w| log(1 - sigma(s_y - log W))       w < 0
    mse       L = |w| ((s_y - t)^2 + ZEROS / S sum_n s_n^2) / 2      t: the target; the sum only if t is no rating

w is the event's weight. Sampled softmax after Jean et al. 2015 and Yi et al. 2019; cross-entropy as noise-contrastive
estimation (Gutmann, Hyvarinen 2010): s stands for log(N p), and among uniform negatives that weigh W to one positive
the odds of being the positive are N p / W. Without log W the biases would have to carry it, and an item whose bias has
not yet moved would be far above the others; tried, that cost a third of the NDCG@10. W does not depend on S, so that
shedding negatives leaves the aim as it is. Squared error with sampled zeros after Hu et al. 2008.

Seen as a function of d, softmax is logistic regression of the item against all its rivals together, so its two signs
are mirror images and both gradients sum to zero over the scores: neither moves what all scores share. A rating's target
is its value minus the user's mean (`ratings.py`); other events have the target 1 or -1. Under mse what is
learned leaves popularity out; a list adds it, with the weights that alpha starts with.

Who computes the scores: `learning.py` for the user, `tower_kernels.py` for the items. In torch: `tower_reference.py`.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.kernels import part
from models.settings import LOSSES

SOFTMAX, BCE, MSE = (LOSSES.index(name) for name in ("softmax", "bce", "mse"))
NEGATIVES: Final = 10.0
"""W, what all sampled negatives of an example together weigh in bce; of 1, 10, 100 this ranked best."""
ZEROS: Final = 5.0
"""What all sampled zeros of an example together weigh in mse."""

Floats = NDArray[np.float32]


@part
def contrasts(loss: int, weight: float, rated: bool) -> bool:
    """Whether the loss of this example looks at sampled negatives at all."""
    return loss == SOFTMAX or (weight > 0 and (loss == BCE or not rated))


@part
def softplus(x: float) -> float:
    """log(1 + e^x) = -log(1 - sigma(x)), without overflow."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@part
def sigmoid(x: float) -> float:
    """1 / (1 + e^-x); e^-x may be infinite."""
    return 1.0 / (1.0 + math.exp(-x))


@part
def loss_and_errors(
    loss: int,
    scores: Floats,
    errors: Floats,
    n: int,
    n_negatives: int,
    correction: float,
    weight: float,
    target: float,
) -> float:
    """L, and dL/ds into errors[:n]; scores[0] is the item's and scores[1:n] are those of the negatives that were drawn.

    n_negatives: S, how many were to be drawn; correction: log((N - 1) / S), of softmax alone. With n = 1 softmax has
    nothing to contrast with: L and the error are 0.
    """
    size = abs(weight)
    s_y = float(scores[0])
    if loss == MSE:
        errors[0] = size * (s_y - target)
        value: float = 0.5 * size * (s_y - target) ** 2
        each = np.float32(size * ZEROS / n_negatives)
        squares = np.float32(0)
        for c in range(1, n):
            errors[c] = each * scores[c]
            squares += scores[c] * scores[c]
        return value + 0.5 * float(each * squares)
    if loss == BCE:
        prior = math.log(NEGATIVES)
        share = size * NEGATIVES / n_negatives
        s_y -= prior
        errors[0] = -size * sigmoid(-s_y) if weight > 0 else size * sigmoid(s_y)
        value = size * softplus(-s_y if weight > 0 else s_y)
        for c in range(1, n):
            errors[c] = share * sigmoid(scores[c] - prior)
            value += share * softplus(scores[c] - prior)
        return value
    if n == 1:
        errors[0] = 0
        return 0.0
    highest = np.float32(-np.inf)
    for c in range(1, n):
        highest = max(highest, scores[c])
    total = np.float32(0)
    for c in range(1, n):
        errors[c] = math.exp(scores[c] - highest)
        total += errors[c]
    d = s_y - (math.log(total) + highest + correction)
    errors[0] = -size * sigmoid(-d) if weight > 0 else size * sigmoid(d)
    share = -errors[0] / total
    for c in range(1, n):
        errors[c] *= share
    return float(size * softplus(-d if weight > 0 else d))
