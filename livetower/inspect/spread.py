"""How numbers are spread: percentiles, a histogram, and what lies far outside. Pure: arrays in, JSON values out."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

PERCENTILES: Final = {"min": 0, "p1": 1, "p25": 25, "p50": 50, "p75": 75, "p99": 99, "max": 100}
BINS: Final = 40
LOG_FROM: Final = 50.0
"""A histogram whose largest number is so many times its smallest has bins that grow by a factor."""
OUTLIER_Z: Final = 5.0
"""How far outside an outlier lies, in robust standard deviations."""

Numbers = NDArray[np.float64]


def spread_of(values: NDArray[Any]) -> dict[str, float] | None:
    """Mean and PERCENTILES of the finite values (n,); None without any.

    >>> spread_of(np.array([1.0, 2.0, 3.0, np.nan]))["p50"]
    2.0
    """
    finite = _finite(values)
    if not len(finite):
        return None
    cuts = np.percentile(finite, list(PERCENTILES.values())).tolist()
    return dict(zip(PERCENTILES, cuts, strict=True)) | {"mean": float(finite.mean())}


def histogram_of(values: NDArray[Any], *, whole: bool = False) -> dict[str, Any] | None:
    """Edges (b + 1) and counts (b) of the finite values (n,), b <= BINS; None without any values.

    If `log`, it is edge + `plus` that grows by a factor. `whole` numbers get edges that lie halfway between them, so
    that no bin is empty by rounding, and a `plus` of 1, so that 0 has a place.

    >>> histogram_of(np.array([1, 1, 3]), whole=True)["counts"]
    [2, 0, 1]
    """
    finite = _finite(values)
    if not len(finite):
        return None
    low, high = float(finite.min()), float(finite.max())
    plus = 1.0 if whole else 0.0
    log = low + plus > 0 and high + plus >= LOG_FROM * (low + plus)
    end = high + 1 if whole else high
    edges = np.geomspace(low + plus, end + plus, BINS + 1) - plus if log else np.linspace(low, end, BINS + 1)
    if whole:
        edges = np.unique(np.ceil(edges - 1e-9)) - 0.5
    elif high == low:
        edges = np.array([low, np.nextafter(low, np.inf) + abs(low) * 1e-6])
    else:
        edges[0], edges[-1] = low, high
    counts, edges = np.histogram(finite, edges)
    return {"edges": edges.tolist(), "counts": counts.tolist(), "log": log, "plus": plus}


def robust_centre(norms: NDArray[Any]) -> tuple[float, float] | None:
    """Median and robust standard deviation (1.4826 times the median absolute deviation) of log norm, over the finite
    norms (n,) above 0; None where there are none or at least half of them are equal.

    Iglewicz and Hoaglin 1993; the logarithm, since lengths of vectors are skewed to the right.
    """
    logs = np.log(_finite(norms[norms > 0]))
    if not len(logs):
        return None
    median = float(np.median(logs))
    deviation = 1.4826 * float(np.median(np.abs(logs - median)))
    return None if deviation == 0 else (median, deviation)


def robust_z(norms: NDArray[Any], centre: tuple[float, float] | None) -> Numbers:
    """How many robust standard deviations each norm (n,) lies from the median of the logs; 0 for those that are 0 or
    not finite, which are counted elsewhere.
    """
    z = np.zeros(len(norms))
    if centre is not None:
        fit = np.isfinite(norms) & (norms > 0)
        z[fit] = (np.log(norms[fit]) - centre[0]) / centre[1]
    return z


def _finite(values: NDArray[Any]) -> Numbers:
    wide = values.astype(np.float64)
    return wide[np.isfinite(wide)]
