"""What `livetower inspect stats` prints: the JSON of stats.py as tables."""

from collections.abc import Mapping
from typing import Any, Final

from rich.table import Table

from livetower.inspect.shown import table_console, titled_table
from livetower.inspect.spread import PERCENTILES

SUBTASKS_SHOWN: Final = 64
USER_NUMBERS: Final = {
    "norm": "norm",
    "events": "events",
    "positives": "positive events",
    "consumed": "consumed items",
    "idle_days": "days idle",
    "blob_bytes": "bytes of state",
}
ITEM_NUMBERS: Final = {"norm": "norm", "bias": "bias", "events": "positive events"}
USER_TROUBLE: Final = {
    "unreadable": "not readable",
    "non_finite": "not finite",
    "dead": "dead: the vector is zero",
    "dead_though_learned": "… though it has learned",
    "outliers": "outliers of the norm",
}
ITEM_TROUBLE: Final = {
    "non_finite": "not finite",
    "dead": "dead: the vector is zero",
    "untrained": "untrained: no event yet",
    "outliers": "outliers of the norm",
}


def print_stats(found: Mapping[str, Any]) -> None:
    """All tables on stdout."""
    console = table_console()
    users, items, groups = found["users"], found["items"], found["key_groups"]
    console.print(f"{found['uri']}: checkpoint {found['checkpoint_id']}", highlight=False, soft_wrap=True)
    console.print(spread_table(f"{users['count']:,} users", users["spread"], USER_NUMBERS))
    console.print(trouble_table("Users' vectors", users, USER_TROUBLE))
    console.print(subtask_table(groups))
    if items is None:
        console.print("The item tower has not been written yet.")
        return
    console.print(spread_table(f"{items['count']:,} items", items["spread"], ITEM_NUMBERS))
    console.print(trouble_table("Items' vectors", items, ITEM_TROUBLE))


def spread_table(title: str, spreads: Mapping[str, Any], names: Mapping[str, str]) -> Table:
    """A row for each number, a column for each percentile."""
    table = titled_table(title)
    table.add_column("", no_wrap=True)
    for name in (*PERCENTILES, "mean"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, words in names.items():
        spread = spreads[name]
        table.add_row(words, *["–" if spread is None else short(spread[cut]) for cut in (*PERCENTILES, "mean")])
    return table


def trouble_table(title: str, found: Mapping[str, Any], kinds: Mapping[str, str]) -> Table:
    """A row for each kind of trouble, with names."""
    table = titled_table(title)
    table.add_column("", no_wrap=True)
    table.add_column("how many", justify="right", no_wrap=True)
    table.add_column("such as")
    for kind, words in kinds.items():
        of_kind = found[kind]
        table.add_row(words, f"{of_kind['count']:,}", ", ".join(called(each) for each in of_kind["named"]))
    return table


def subtask_table(groups: Mapping[str, Any]) -> Table:
    """How users fall to the subtasks."""
    skew = "" if groups["skew"] is None else f"; the fullest has {groups['skew']:.2f} times the mean"
    subtasks = "1 subtask" if groups["parallelism"] == 1 else f"{groups['parallelism']} subtasks"
    title = f"{groups['max_parallelism']} key groups on {subtasks}{skew}"
    table = titled_table(title)
    for name in ("subtask", "key groups", "users", "bytes"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in groups["subtasks"][:SUBTASKS_SHOWN]:
        table.add_row(*[f"{each[name]:,}" for name in ("subtask", "key_groups", "users", "bytes")])
    if len(groups["subtasks"]) > SUBTASKS_SHOWN:
        table.add_row("…", "", "", "", end_section=True)
    return table


def called(each: Mapping[str, Any]) -> str:
    """A user or an item, with how far outside it lies.

    >>> called({"user_id": "ada", "norm": 9.0, "z": 7.25}), called({"title": "Vertigo", "z": 0.0})
    ('ada (z +7.2)', 'Vertigo')
    """
    name: str = each.get("user_id") or each["title"]
    return f"{name} (z {each['z']:+.1f})" if each.get("z") else name


def short(number: float) -> str:
    """A number in few characters.

    >>> short(0.123456), short(12.0), short(1234567.8)
    ('0.123', '12', '1,234,568')
    """
    if abs(number) >= 1_000:
        return f"{number:,.0f}"
    return f"{number:.3g}"
