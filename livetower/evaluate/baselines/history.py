"""What every baseline's kernel does: walk a user's past events, and keep the items in them out of the ranking."""

import numpy as np
from numpy.typing import NDArray

from livetower.evaluate.columns import Columns
from livetower.evaluate.errors import EvaluationError
from models.evaluation import rank_among
from models.kernels import part
from models.learning import Ints

Doubles = NDArray[np.float64]
DENSE_ITEMS_MAX = 12_000
"""Items up to which a baseline may hold a number for each pair of them: 1.2 GB in float64."""


def require_dense(columns: Columns, baseline: str) -> None:
    """Raise EvaluationError if a matrix of items by items would not fit."""
    if columns.n_items > DENSE_ITEMS_MAX:
        raise EvaluationError(
            f"{baseline}: holds a number for each pair of items, so at most {DENSE_ITEMS_MAX} items were needed; "
            f"got {columns.n_items}. Leave out --baselines."
        )


@part
def mark_history(event: int, item: Ints, previous: Ints, marked: NDArray[np.bool_], mark: bool) -> None:
    """Set `marked` (I,) to `mark` at every item that the event's user had before it."""
    at = previous[event]
    while at >= 0:
        marked[item[at]] = mark
        at = previous[at]


@part
def rank_for_event(
    scores: Doubles, n_seen: int, event: int, item: Ints, previous: Ints, marked: NDArray[np.bool_]
) -> int:
    """Rank of the event's item by scores (I,) among the first n_seen items without its user's; `marked` is False before
    and after.
    """
    mark_history(event, item, previous, marked, True)
    row = item[event] if item[event] < n_seen else -1
    rank: int = rank_among(scores[:n_seen], marked[:n_seen], row)
    mark_history(event, item, previous, marked, False)
    return rank


@part
def products(rows: Doubles, with_row: Doubles) -> Doubles:
    """rows (n,k) @ with_row (k,); numba's own needs scipy."""
    result = np.zeros(len(rows))
    for row in range(len(rows)):
        for d in range(len(with_row)):
            result[row] += rows[row, d] * with_row[d]
    return result
