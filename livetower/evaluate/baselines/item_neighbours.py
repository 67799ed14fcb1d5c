"""Item neighbours with a history that fades: items that the same users had as the user's latest ones.

    c_ij = users who had both,  c_i = users who had i
    score_i = sum_l fade^(l-1) c_{i,j_l} / (sqrt(c_i c_{j_l}))        j_1: the user's latest item

Cosine of items as in Sarwar et al. 2001, "Item-based collaborative filtering recommendation algorithms", kept up to
date event by event as in TencentRec (Huang et al. 2015). Dense counts: memory grows with the square of the items.
"""

import numpy as np
from numpy.typing import NDArray

from livetower.evaluate.baselines.history import rank_for_event, require_dense
from livetower.evaluate.columns import Columns
from models.kernels import kernel
from models.learning import Ints


def item_neighbour_ranks(columns: Columns, fade: float = 0.8) -> Ints:
    """Rank (n,) of each event. Raises EvaluationError for a stream of too many items."""
    require_dense(columns, "item neighbours")
    both = np.zeros((columns.n_items, columns.n_items), np.float32)
    ranks: Ints = _ranks(columns.item, columns.previous, both, fade)
    return ranks


@kernel
def _ranks(item: Ints, previous: Ints, both: NDArray[np.float32], fade: float) -> Ints:
    n_items = len(both)
    ranks = np.zeros(len(item), np.int64)
    marked = np.zeros(n_items, np.bool_)
    scores = np.zeros(n_items)
    n_seen = 0
    for event in range(len(item)):
        new = item[event]
        if previous[event] >= 0:
            scores[:n_seen] = 0
            at, weight = previous[event], 1.0
            while at >= 0 and weight > 1e-4:
                other = item[at]
                for i in range(n_seen):
                    scores[i] += weight * both[other, i] / np.sqrt(both[other, other])
                at, weight = previous[at], weight * fade
            for i in range(n_seen):
                scores[i] /= np.sqrt(both[i, i])
            ranks[event] = rank_for_event(scores, n_seen, event, item, previous, marked)
        at = previous[event]
        while at >= 0:
            both[new, item[at]] += 1
            both[item[at], new] += 1
            at = previous[at]
        both[new, new] += 1
        n_seen = max(n_seen, new + 1)
    return ranks
