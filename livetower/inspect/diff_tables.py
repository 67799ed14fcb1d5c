"""What `livetower inspect diff` prints: the JSON of diff.py as tables."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from livetower.inspect.shown import table_console, titled_table
from livetower.inspect.stats_tables import called, short, spread_table

SPREADS = {"moved": "moved", "cosine": "cosine", "events": "events more"}


def print_diff(found: Mapping[str, Any]) -> None:
    """All tables on stdout."""
    console = table_console()
    for name in ("a", "b"):
        line = f"{name.upper()}  {found[name]['uri']}: checkpoint {found[name]['checkpoint_id']}"
        console.print(line, highlight=False, soft_wrap=True)
    console.print(job_table(found))
    console.print(settings_words(found["settings"]), highlight=False, soft_wrap=True)
    _print_part(console, "users", found["users"])
    if found["items"] is None:
        console.print("Items are not compared: one of the two has no item tower yet.")
    else:
        _print_part(console, "items", found["items"])


def _print_part(console: Console, what: str, part: Mapping[str, Any]) -> None:
    console.print(count_table(what, part))
    console.print(spread_table(f"How far {what} of both moved", part["spread"], SPREADS))
    if part["moved_most"]:
        console.print(moved_table(f"{what.capitalize()} that moved most", part["moved_most"]))


def job_table(found: Mapping[str, Any]) -> Table:
    """Training and offsets, before and after."""
    table = titled_table("The job")
    table.add_column("", no_wrap=True)
    for name in ("A", "B", "on"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, (before, after) in found["tower"].items():
        table.add_row(f"tower: {name}", *_numbers(before, after))
    for each in found["offsets"]:
        table.add_row(f"{each['topic']} {each['partition']}", *_numbers(each["before"], each["after"]))
    return table


def _numbers(before: int | None, after: int | None) -> list[str]:
    on = None if before is None or after is None else after - before
    return [*("–" if each is None else f"{each:,}" for each in (before, after)), "–" if on is None else f"{on:+,}"]


def settings_words(settings: Mapping[str, Any]) -> str:
    """Settings that changed, a line each."""
    if not settings["known"]:
        return "Settings: not known of both."
    lines = [f"  {name}: {before!r} → {after!r}" for name, (before, after) in settings["changed"].items()]
    return "\n".join(["Settings that changed:", *lines]) if lines else "Settings: the same."


def count_table(what: str, part: Mapping[str, Any]) -> Table:
    """How many came, went and changed, and which."""
    title = f"{part['before']:,} {what}, then {part['after']:,}"
    table = titled_table(title)
    table.add_column("", no_wrap=True)
    table.add_column("how many", justify="right", no_wrap=True)
    table.add_column("such as")
    for kind, words in {"added": "added", "gone": "gone", "began_anew": "began anew"}.items():
        if kind in part:
            of_kind = part[kind]
            table.add_row(words, f"{of_kind['count']:,}", ", ".join(called(each) for each in of_kind["named"]))
    table.add_row("changed", f"{part['changed']:,}", "")
    table.add_row("unchanged", f"{part['unchanged']:,}", "")
    for which, count in part.get("unreadable", {}).items():
        if count:
            table.add_row(f"not readable {which}", f"{count:,}", "")
    return table


def moved_table(title: str, moved: list[dict[str, Any]]) -> Table:
    """Those that moved most."""
    table = titled_table(title)
    table.add_column("", no_wrap=True)
    for name in ("moved", "cosine", "norm before", "after", "events more"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in moved:
        cosine = "–" if each["cosine"] is None else f"{each['cosine']:.3f}"
        norms = short(each["norm_before"]), short(each["norm_after"])
        table.add_row(called(each), short(each["moved"]), cosine, *norms, f"{each['events']:+,}")
    return table
