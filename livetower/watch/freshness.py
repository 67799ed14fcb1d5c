"""Percentiles of waiting times. Knows no clock: times come in as nanoseconds of one monotonic clock."""

import math
from collections.abc import Sequence


def percentile_ms(waits_ns: Sequence[int], percent: float) -> float | None:
    """The smallest waiting time that at least `percent` per cent of all do not exceed (nearest rank), in ms.

    A value that was really measured, never one interpolated between two. None if nothing was measured.

    >>> percentile_ms([4_000_000, 1_000_000, 3_000_000, 2_000_000], 50)
    2.0
    >>> percentile_ms([4_000_000, 1_000_000, 3_000_000, 2_000_000], 99)
    4.0
    >>> percentile_ms([], 99) is None
    True
    """
    if not 0 < percent <= 100:
        raise ValueError(f"percentile: percent must be in (0, 100]; got {percent!r}")
    if not waits_ns:
        return None
    rank = math.ceil(len(waits_ns) * percent / 100)
    return sorted(waits_ns)[rank - 1] / 1e6
