"""Which items are close to which: counted from what users consumed one after the other, in the tower's replay window.

    C_{j,i} = sum over the window's examples of a_l (RHO_COUNTED / rho)^(l-1), for the example's item i and its l-th
              recent item j, and the same the other way round
    W_{j,i} = C_{j,i} / sqrt((C_j + shrink) (C_i + shrink)),   C_j = sum_i C_{j,i}

the cosine of item-based collaborative filtering (Sarwar et al. 2001, Linden et al. 2003) on windowed transition counts,
shrunk for rare items (Bell and Koren 2007). Only the N closest of each item are kept: what `ranking.py` adds up.

    n_i = log(1 + sum_l a_l W_{j_l,i} / NEIGHBOUR_FLOOR)       how near the item i is to a user's recent items j_l

is what they add to a score, times a learned weight (`blending.py`). The lists are a function of the window, hence of
the tower's log of inputs, and need no state of their own.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernels import kernel, part
from models.learning import Floats, Ints

RHO_COUNTED: Final = 0.9
"""Weight of the l-th recent item in a count is RHO_COUNTED^(l-1): flatter than in the context, since counts are few."""


NEIGHBOUR_FLOOR: Final = 1e-3
"""Neighbours closer than this begin to count: what comes below adds next to nothing."""


class Neighbours(NamedTuple):
    """The closest items of n rows, closest first."""

    rows: NDArray[np.int32]  # (n, N), -1 behind the last
    weights: Floats  # (n, N)


@part
def add_closeness(
    recent_rows: Ints, recent_weights: Floats, neighbour_rows: NDArray[np.int32], neighbour_weights: Floats, to: Floats
) -> None:
    """Add sum_l a_l W_{j_l,i} to the scratch array `to` (I,)."""
    for position in range(len(recent_rows)):
        j = recent_rows[position]
        if 0 <= j < len(neighbour_rows):
            for m in range(neighbour_rows.shape[1]):
                row = neighbour_rows[j, m]
                if row < 0:
                    break
                to[row] += recent_weights[position] * neighbour_weights[j, m]


@part
def clear_closeness(recent_rows: Ints, neighbour_rows: NDArray[np.int32], to: Floats) -> None:
    """Make `to` zero again."""
    for position in range(len(recent_rows)):
        j = recent_rows[position]
        if 0 <= j < len(neighbour_rows):
            for m in range(neighbour_rows.shape[1]):
                row = neighbour_rows[j, m]
                if row < 0:
                    break
                to[row] = 0


@part
def nearness(closeness: float) -> float:
    """n_i of a closeness >= 0."""
    return math.log(1 + closeness / NEIGHBOUR_FLOOR)


@part
def _counts(i: int, j: int, weight: float) -> bool:
    return i >= 0 and j >= 0 and i != j and weight > 0


@part
def _precedes(weight: float, row: int, other_weight: float, other_row: int) -> bool:
    return weight > other_weight or (weight == other_weight and row < other_row)


@kernel
def closest_neighbours(
    positive: Ints, recent: Ints, recent_weights: Floats, rho: float, n_rows: int, n_closest: int, shrink: float
) -> tuple[NDArray[np.int32], Floats]:
    """Rows and weights W (n_rows, n_closest) of the items closest to each, closest first, ties by row; -1 and 0 behind
    the last.

    positive (E,) and recent (E,L) are rows, -1 for items without one; recent_weights (E,L) are a_l.
    """
    n_examples, n_recent = recent.shape
    end = np.zeros(n_rows + 1, np.int64)
    for e in range(n_examples):
        for position in range(n_recent):
            if _counts(positive[e], recent[e, position], recent_weights[e, position]):
                end[positive[e] + 1] += 1
                end[recent[e, position] + 1] += 1
    for row in range(n_rows):
        end[row + 1] += end[row]
    other = np.empty(end[n_rows], np.int32)  # pairs grouped by their first item
    weight = np.empty(end[n_rows], np.float32)
    at = end[:n_rows].copy()
    total = np.zeros(n_rows, np.float32)
    for e in range(n_examples):
        i = positive[e]
        flatter = 1.0
        for position in range(n_recent):
            j = recent[e, position]
            if _counts(i, j, recent_weights[e, position]):
                w = np.float32(recent_weights[e, position] * flatter)
                other[at[i]], weight[at[i]] = j, w
                other[at[j]], weight[at[j]] = i, w
                at[i] += 1
                at[j] += 1
                total[i] += w
                total[j] += w
            flatter *= RHO_COUNTED / rho
    rows = np.full((n_rows, n_closest), -1, np.int32)
    weights = np.zeros((n_rows, n_closest), np.float32)
    count = np.zeros(n_rows, np.float32)
    for j in range(n_rows):
        for pair in range(end[j], end[j + 1]):
            count[other[pair]] += weight[pair]
        n = 0
        for pair in range(end[j], end[j + 1]):
            i = other[pair]
            if count[i] == 0:
                continue
            close = np.float32(count[i] / math.sqrt((total[j] + shrink) * (total[i] + shrink)))
            count[i] = 0
            if n == n_closest and not _precedes(close, i, weights[j, n - 1], rows[j, n - 1]):
                continue
            place = n if n < n_closest else n_closest - 1
            while place > 0 and _precedes(close, i, weights[j, place - 1], rows[j, place - 1]):
                weights[j, place], rows[j, place] = weights[j, place - 1], rows[j, place - 1]
                place -= 1
            weights[j, place], rows[j, place] = close, i
            n = min(n + 1, n_closest)
    return rows, weights
