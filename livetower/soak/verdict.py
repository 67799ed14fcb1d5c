"""From series and limits to one row each, and whether all of it stayed within its bounds. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from livetower.soak.limits import Limit
from livetower.soak.slopes import Point, slope_of

WARM_UP_SHARE: Final = 0.4
"""Of the time, in which users gather, files fill and compilers run: it is looked at for no slope."""
WITHIN, BROKEN, UNKNOWN, SHOWN = "within", "BROKEN", "not measured", "shown"

Samples = Sequence[tuple[float, Mapping[str, float]]]
"""Seconds since the start, and the value of each series that was seen then."""


@dataclass(frozen=True, slots=True)
class Row:
    """One series: its last median, its growth, its limit, and the word for it."""

    name: str
    unit: str
    first: float | None
    last: float | None
    most: float | None
    per_hour: float | None
    per_hour_low: float | None
    at_most: float | None
    per_hour_at_most: float | None
    setting: str
    verdict: str


def rows_of(samples: Samples, limits: Mapping[str, Limit]) -> list[Row]:
    """A row for each limit, in their order, then one for each series that has none."""
    names = [*limits, *sorted({name for _, values in samples for name in values} - limits.keys())]
    end_s = samples[-1][0] if samples else 0.0
    warm = [(at, values) for at, values in samples if at >= WARM_UP_SHARE * end_s]
    return [_row(name, warm, limits.get(name, Limit("", None, None, ""))) for name in names]


def _row(name: str, samples: Samples, limit: Limit) -> Row:
    points: list[Point] = [(at, values[name]) for at, values in samples if name in values]
    slope = slope_of(points)
    values = [value for _, value in points]
    third = max(1, len(values) // 3)
    return Row(
        name,
        limit.unit,
        float(np.median(values[:third])) if values else None,
        float(np.median(values[-third:])) if values else None,
        max(values) if values else None,
        slope.per_hour if slope else None,
        slope.low if slope else None,
        limit.at_most,
        limit.per_hour,
        limit.setting,
        _verdict(values, slope.low if slope else None, limit),
    )


def _verdict(values: Sequence[float], slowest: float | None, limit: Limit) -> str:
    """Growth breaks its bound when even the low end of its interval is beyond it: noise does not."""
    if limit.at_most is None and limit.per_hour is None:
        return SHOWN
    if not values or slowest is None:
        return UNKNOWN
    if limit.at_most is not None and max(values) > limit.at_most:
        return BROKEN
    return BROKEN if limit.per_hour is not None and slowest > limit.per_hour else WITHIN


def kept(rows: Sequence[Row]) -> bool:
    """Whether everything with a bound was measured and stayed within it."""
    return all(row.verdict in (WITHIN, SHOWN) for row in rows)


def soak_json(rows: Sequence[Row], facts: Mapping[str, Any], samples: Samples) -> dict[str, Any]:
    """Everything, for programs."""
    series = [{"at_s": round(at, 1), **{name: round(v, 3) for name, v in values.items()}} for at, values in samples]
    return {**facts, "kept": kept(rows), "rows": [asdict(row) for row in rows], "samples": series}
