"""How much the neighbours count beside the rest of a score: beta, one learned weight for each class of users, twice.

    s_i = m_i + beta_c n_i       WITH_MODEL: m_i is the model's whole score;  ALONE: m_i = alpha_c . log popularity_i
    L   = -log softmax(s_y, s_n + log((N - 1) / S))

over new examples, whose own event the neighbours do not know yet, with the negatives drawn for the model's step;
dL/dbeta_c = sum_i (p_i - [i = y]) n_i. Only every EVERY-th new example is taken: so few numbers need no more, and the
logarithms are a third of the step's work. Online blending by the loss itself, as in Frigo et al. 2017.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.kernels import kernel
from models.learning import Floats, Ints
from models.losses import SOFTMAX, loss_and_errors
from models.neighbours import add_closeness, clear_closeness, nearness
from models.strategies import ALONE, WITH_MODEL

EVERY: Final = 4
BETA_MAX: Final = 10.0

Doubles = NDArray[np.float64]


@kernel
def blend_gradient(
    scores: Floats,
    positive: Ints,
    negatives: Ints,
    recent: Ints,
    recent_weights: Floats,
    activity: Ints,
    fresh: NDArray[np.bool_],
    n_drawable: int,
    alpha: Floats,
    counts: Doubles,
    unit: Doubles,
    floor: float,
    beta: Floats,
    neighbour_rows: NDArray[np.int32],
    neighbour_weights: Floats,
    closeness: Floats,
) -> Floats:
    """dL/dbeta (2,7) of a batch: scores (B,1+S) as `batch_gradient` gives them, NaN where none was drawn; positive
    (B,), negatives (B,S), recent (B,L) rows or -1; only `fresh` examples (B,) count. closeness (I,): scratch of 0.
    """
    n_examples, n_scores = scores.shape
    gradient = np.zeros(beta.shape, np.float32)
    near = np.empty(n_scores, np.float32)
    blended = np.empty((2, n_scores), np.float32)
    errors = np.empty(n_scores, np.float32)
    correction = math.log(max(n_drawable - 1, 1) / (n_scores - 1))
    for e in range(0, n_examples, EVERY):
        if not fresh[e] or np.isnan(scores[e, 0]):
            continue
        a = activity[e]
        add_closeness(recent[e], recent_weights[e], neighbour_rows, neighbour_weights, closeness)
        n = 0
        for c in range(n_scores):
            row = positive[e] if c == 0 else negatives[e, c - 1]
            if row < 0 or np.isnan(scores[e, c]):
                continue
            near[n] = nearness(closeness[row])
            popularity = 0.0
            for f in range(len(unit)):
                popularity += alpha[a, f] * math.log(counts[row, f] / unit[f] + floor)
            blended[WITH_MODEL, n] = scores[e, c] + beta[WITH_MODEL, a] * near[n]
            blended[ALONE, n] = popularity + beta[ALONE, a] * near[n]
            n += 1
        clear_closeness(recent[e], neighbour_rows, closeness)
        for which in range(2):
            loss_and_errors(SOFTMAX, blended[which], errors, n, n_scores - 1, correction, 1.0, 1.0)
            for c in range(n):
                gradient[which, a] += errors[c] * near[c]
    return gradient
