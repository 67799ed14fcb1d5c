"""How fast a series grows: the median of the slopes between all pairs of points (Theil 1950; Sen 1968).

A third of the points may be anything without moving it, which a sawtooth (a heap, a log before it rotates) needs. Its
confidence interval is Sen's: of the N = n (n - 1) / 2 slopes in order, those (N +- z sqrt(V)) / 2 from the beginning,
V = n (n - 1) (2 n + 5) / 18. Pure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

SECONDS_PER_HOUR: Final = 3_600
FEWEST: Final = 8
"""Points of which a slope is worth telling."""
Z: Final = 2.576
"""99 % two-sided."""

Point = tuple[float, float]
"""Seconds, value."""


@dataclass(frozen=True, slots=True)
class Slope:
    """Growth an hour, and the interval that holds it with 99 %."""

    per_hour: float
    low: float
    high: float


def slope_of(points: Sequence[Point]) -> Slope | None:
    """The slope of these points (s, value); None of fewer than FEWEST, or if all are of one moment.

    >>> slope_of([(10.0 * n, 2.0 * n) for n in range(8)])
    Slope(per_hour=720.0, low=720.0, high=720.0)
    """
    n = len(points)
    if n < FEWEST:
        return None
    at, values = np.array(points, np.float64).T
    earlier, later = np.triu_indices(n, 1)
    apart = at[later] - at[earlier]
    slopes = np.sort((values[later] - values[earlier])[apart > 0] / apart[apart > 0]) * SECONDS_PER_HOUR
    if not len(slopes):
        return None
    half = Z * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(0, math.floor((len(slopes) - half) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + half) / 2))
    return Slope(float(np.median(slopes)), float(slopes[low]), float(slopes[high]))
