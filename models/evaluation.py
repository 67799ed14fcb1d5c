"""Prequential evaluation: test each event on what was known before it, then learn it.

    rank = 1 + #greater + ceil(#equal / 2) among all candidates the user has not consumed
           (a NaN or an unseen item is a miss)
    hit@10 = [rank <= 10],  NDCG@10 = [rank <= 10] / log2(rank + 1),  MRR: mean of 1 / rank

after Vinagre et al. 2014 (test, then learn; known users only) and Frigo, Palovics et al. 2017 (DCG by rank).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.kernels import kernel, part
from models.learning import Floats, Ints

MISS: Final = 2**31 - 1
"""Rank of an item that no list could have held."""


@part
def rank_among(scores: Floats | NDArray[np.float64], excluded: NDArray[np.bool_], row: int) -> int:
    """`rank_of` for other kernels."""
    if row < 0 or np.isnan(scores[row]):
        return MISS
    greater, equal = 0, 0
    for other in range(len(scores)):
        if other != row and not excluded[other]:
            greater += scores[other] > scores[row]
            equal += scores[other] == scores[row]
    return 1 + greater + (equal + 1) // 2


@kernel
def rank_of(scores: Floats, excluded: NDArray[np.bool_], row: int) -> int:
    """Rank (1 is best) of `row` among the rows that are not excluded; scores, excluded (I,). MISS if its score is NaN
    or row < 0.
    """
    rank: int = rank_among(scores, excluded, row)
    return rank


@dataclass(frozen=True, slots=True)
class Quality:
    """Means over the scored events."""

    events: int
    hit_at_10: float
    ndcg_at_10: float
    mrr: float


def quality(ranks: Ints) -> Quality:
    """Of the ranks (n,) of scored events.

    >>> quality(np.array([1, 3]))
    Quality(events=2, hit_at_10=1.0, ndcg_at_10=0.75, mrr=0.6666666666666666)
    """
    if not len(ranks):
        return Quality(0, 0.0, 0.0, 0.0)
    return Quality(len(ranks), float((ranks <= 10).mean()), float(gains(ranks).mean()), float((1 / ranks).mean()))


def gains(ranks: Ints) -> NDArray[np.float64]:
    """(n,) what each event adds to NDCG@10, of the ranks (n,) of scored events.

    >>> gains(np.array([1, 3, 11])).tolist()
    [1.0, 0.5, 0.0]
    """
    top = ranks <= 10
    gained: NDArray[np.float64] = top / np.log2(np.where(top, ranks, 1) + 1)
    return gained
