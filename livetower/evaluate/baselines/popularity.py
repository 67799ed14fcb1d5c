"""The most popular items for everyone.

score_i = sum over past events e of item i of 2^(-(events since e) / half_life)
"""

import math

import numpy as np

from livetower.evaluate.baselines.history import rank_for_event
from livetower.evaluate.columns import Columns
from models.kernels import kernel
from models.learning import Ints


def popularity_ranks(columns: Columns, half_life: float = math.inf) -> Ints:
    """Rank (n,) of each event; `half_life` in events, infinite for plain counts."""
    ranks: Ints = _ranks(columns.item, columns.previous, columns.n_items, half_life)
    return ranks


@kernel
def _ranks(item: Ints, previous: Ints, n_items: int, half_life: float) -> Ints:
    ranks = np.zeros(len(item), np.int64)
    counts = np.zeros(n_items)  # in units that grow, so that nothing else has to shrink
    marked = np.zeros(n_items, np.bool_)
    unit, growth, n_seen = 1.0, 2 ** (1 / half_life), 0
    for event in range(len(item)):
        if previous[event] >= 0:
            ranks[event] = rank_for_event(counts, n_seen, event, item, previous, marked)
        unit *= growth
        if unit > 1e250:
            counts /= unit
            unit = 1.0
        counts[item[event]] += unit
        n_seen = max(n_seen, item[event] + 1)
    return ranks
