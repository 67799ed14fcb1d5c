"""What the catalogue's numbers look like: mean and deviation, range, quantiles, and a gate that keeps outliers out.

    mean, m2    Welford 1962, one value at a time
    sample      256 values, each seen value equally likely to be in it (Vitter 1985, algorithm R; draws by counter hash)
    gate        [q05 - (q95 - q05), q95 + (q95 - q05)], quantiles of the sample

A value beyond the gate is cut to it and counted. Quantiles hold while fewer than a twentieth of the values are wild,
and unlike median and MAD they do not cut the long tail of a skewed number: of MovieLens' release years, half of which
lie within three years of 1995, MAD at 4 deviations would cut all before 1980. A number whose quantiles are equal (a
rare flag) has no gate.

Everything here is bounded: NUMBERS_MAX numbers, 264 float64 each.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.hashing import draw, stream_of

NUMBERS_MAX: Final = 16
"""Different numbers that are read; later ones are left aside."""
SAMPLE: Final = 256
GATE_FROM: Final = 20
"""Values before there is a gate; then the statistics start anew from what of them lies within it."""
GATE_EVERY, GATE_EVERY_WHILE_YOUNG = 64, 8
"""Values between two looks at the quantiles, each of which costs as much as listing an item. While young more often: a
catalogue that comes sorted by a number runs ahead of the gate else."""
_N, _MEAN, _M2, _LOW, _HIGH, _GATE_LOW, _GATE_HIGH, _OUTLIERS = range(8)

Doubles = NDArray[np.float64]


class NumberStatistics:
    """Running statistics of NUMBERS_MAX numbers, by slot."""

    def __init__(self) -> None:
        self.moments: Doubles = np.zeros((NUMBERS_MAX, 8))
        self.moments[:, [_GATE_LOW, _GATE_HIGH]] = -np.inf, np.inf
        self.sample: Doubles = np.full((NUMBERS_MAX, SAMPLE), np.nan)

    def add(self, slot: int, value: float) -> None:
        """Count one value."""
        moments, sample = self.moments[slot], self.sample[slot]
        n = int(moments[_N] + moments[_OUTLIERS])  # seen before this one
        place = n if n < SAMPLE else int(draw(stream_of(0, slot, 0), n, n + 1))
        if place < SAMPLE:
            sample[place] = value
        every = GATE_EVERY_WHILE_YOUNG if n < SAMPLE else GATE_EVERY
        if n + 1 == GATE_FROM or ((n + 1) % every == 0 and n + 1 > GATE_FROM):
            moments[_GATE_LOW], moments[_GATE_HIGH] = gate(sample[~np.isnan(sample)])
        if n + 1 == GATE_FROM:
            moments[: _HIGH + 1] = 0
            moments[_OUTLIERS] = 0
            for known in sample[:GATE_FROM].tolist():
                self._count(moments, known)
        else:
            self._count(moments, value)

    @staticmethod
    def _count(moments: Doubles, value: float) -> None:
        if not moments[_GATE_LOW] <= value <= moments[_GATE_HIGH]:
            moments[_OUTLIERS] += 1
            return
        first = moments[_N] == 0
        moments[_N] += 1
        away = value - moments[_MEAN]
        moments[_MEAN] += away / moments[_N]
        moments[_M2] += away * (value - moments[_MEAN])
        moments[_LOW] = value if first else min(moments[_LOW], value)
        moments[_HIGH] = value if first else max(moments[_HIGH], value)

    @property
    def gates(self) -> Doubles:
        """(NUMBERS_MAX, 2): the lowest and the highest value that counts as it is."""
        return self.moments[:, [_GATE_LOW, _GATE_HIGH]]

    @property
    def n_outliers(self) -> int:
        """Values that lay beyond their gate."""
        return int(self.moments[:, _OUTLIERS].sum())

    def mean_and_deviation(self) -> tuple[Doubles, Doubles]:
        """(NUMBERS_MAX,) each; the deviation of a number that never varies is 1."""
        deviation = np.sqrt(self.moments[:, _M2] / np.maximum(self.moments[:, _N], 1))
        return self.moments[:, _MEAN].copy(), np.where(deviation > 0, deviation, 1.0)

    def middle_and_half_range(self) -> tuple[Doubles, Doubles]:
        """(NUMBERS_MAX,) each, so that (value - middle) / half range lies in [-1, 1]; 1 for a range of nothing."""
        low, high = self.moments[:, _LOW], self.moments[:, _HIGH]
        half = (high - low) / 2
        return (low + high) / 2, np.where(half > 0, half, 1.0)

    def edges(self, n_buckets: int) -> Doubles:
        """(NUMBERS_MAX, n_buckets - 1): quantiles of the sample that part it into buckets of equal size; 0 for numbers
        without values.
        """
        at = np.arange(1, n_buckets) / n_buckets
        found = [np.quantile(s[~np.isnan(s)], at) if not np.isnan(s[0]) else np.zeros(len(at)) for s in self.sample]
        return np.array(found)


def gate(values: Doubles) -> tuple[float, float]:
    """The gate of these values (n,).

    >>> gate(np.arange(101.0))
    (-85.0, 185.0)
    >>> gate(np.ones(101))
    (-inf, inf)
    """
    low = float(np.quantile(values, 0.05, method="higher"))  # inwards: of twenty values, one wild one is none of them
    high = float(np.quantile(values, 0.95, method="lower"))
    return (low - (high - low), high + (high - low)) if high > low else (-np.inf, np.inf)
