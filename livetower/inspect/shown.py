"""How the commands write what they found: JSON for programs, times and items for people."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import orjson

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_json(document: Any) -> None:
    """One JSON document on stdout; numbers that are not finite are null, as JSON has no others."""
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode())


def utc(ms: int) -> str:
    """A time as people read it.

    >>> utc(1_760_000_000_123)
    '2025-10-09 08:53:20 UTC'
    """
    return f"{datetime.fromtimestamp(ms // 1_000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def size(number: float) -> str:
    """So many bytes in the largest unit of which there is one.

    >>> size(702), size(2_192), size(5 * 2**30)
    ('702 B', '2.1 KiB', '5.0 GiB')
    """
    for unit in ("B", "KiB", "MiB"):
        if number < 1_024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1_024
    return f"{number:.1f} GiB"


def table_console() -> "Console":
    """As wide as the terminal, or where there is none so wide that no number is cut."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 200, markup=False, emoji=False, highlight=False)


def titled_table(title: str) -> "Table":
    """A table without rules, below an empty line and its title; titles of items are no markup."""
    from rich.table import Table

    return Table(title=f"\n{title}", title_justify="left", box=None, header_style="bold", pad_edge=False)


# ---- for people ----------------------------------------------------------------------------------


def print_facts(facts: dict[str, str]) -> None:
    """One fact a line, behind its name."""
    width = max(map(len, facts)) + 2
    for name, fact in facts.items():
        click.echo(f"{name:<{width}}{fact}")


def print_items(title: str, items: list[dict[str, Any]], columns: dict[str, str] | None = None) -> None:
    """A table of items with place, id and title; `columns` are further ones, by their key: heading."""
    from rich.table import Table

    from livetower.recommend import print_table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("item", overflow="fold")
    table.add_column("title", overflow="fold")
    for heading in (columns or {}).values():
        table.add_column(heading, justify="right", overflow="fold")
    for place, item in enumerate(items, 1):
        named = item["item_id"] if item["item_id"] is not None else f"#{item['hash']}"
        table.add_row(str(place), named, item["title"] or "", *(str(item[key]) for key in columns or {}))
    click.echo(f"\n{title}")
    print_table(table)


def print_list(title: str, items: list[dict[str, Any]], more: dict[str, str] | None = None) -> None:
    """A recommendation's items with the parts of their scores; parts that no score has say nothing and are left out."""
    parts = list(dict.fromkeys(name for item in items for name, part in item["parts"].items() if part))
    shown = [
        item
        | {f"part_{name}": f"{item['parts'][name]:.3f}" for name in parts}
        | {"points": f"{item['score']:.3f}", "cause": item["because"] or ""}
        for item in items
    ]
    columns = {f"part_{name}": name for name in parts} | {"points": "score", "cause": "because of"}
    print_items(title, shown, columns | (more or {}))
