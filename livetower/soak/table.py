"""The rows of a soak as a table for people. Pure."""

from collections.abc import Sequence

from rich.table import Table

from livetower.soak.verdict import Row


def soak_table(rows: Sequence[Row]) -> Table:
    """The table that `livetower soak` prints."""
    table = Table(title="after the warm-up")
    for name in ("what grows", "first", "last", "most", "an hour", "bound", "bounded by", ""):
        table.add_column(name, justify="left" if name in ("what grows", "bounded by", "") else "right")
    for row in rows:
        unit = f" {row.unit}" if row.unit else ""
        table.add_row(
            row.name + (f" ({row.unit})" if row.unit else ""),
            number(row.first),
            number(row.last),
            number(row.most),
            number(row.per_hour, sign=True),
            bound_of(row, unit),
            row.setting,
            row.verdict,
        )
    return table


def bound_of(row: Row, unit: str) -> str:
    """The bound in words."""
    parts = [] if row.at_most is None else [f"{number(row.at_most)}{unit}"]
    if row.per_hour_at_most is not None:
        parts.append(f"{number(row.per_hour_at_most, sign=True)}{unit}/h")
    return ", ".join(parts)


def number(value: float | None, *, sign: bool = False) -> str:
    """A figure.

    >>> number(1234.56), number(0.25), number(7.0, sign=True), number(None)
    ('1,235', '0.25', '+7', 'n/a')
    """
    if value is None:
        return "n/a"
    digits = 0 if abs(value) >= 100 or float(value).is_integer() else 2
    return f"{value:{'+' if sign else ''},.{digits}f}"
