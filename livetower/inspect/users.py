"""`livetower inspect users`: the users of a checkpoint, those that are wanted and in the order that is wanted.

It parses and prints; who is chosen stands in chosen_users.py.
"""

import re
from typing import Any

import click

from livetower.inspect import reading
from livetower.inspect.options import json_option, now_ms, path_argument
from livetower.inspect.shown import print_json, size, utc

ORDERS = ("norm", "events", "age", "consumed", "bytes")
UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Duration(click.ParamType):
    """A number and a unit: 90s, 30m, 12h, 7d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The duration in milliseconds."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", value)
        if match is None:
            self.fail(f"a number with s, m, h or d was needed, such as 12h; got {value!r}", param, ctx)
        return round(float(match[1]) * UNITS_MS[match[2]])


@click.command(
    epilog="\b\nExamples:\n"
    "  livetower inspect users /backup/savepoint-1a2b --sort norm --limit 10\n"
    "  livetower inspect users /backup/savepoint-1a2b --match 'a*' --min-events 5 --older-than 30d --lines --limit 0"
)
@path_argument
@click.option("--match", "pattern", metavar="GLOB", help="Only ids that match: * any text, ? one letter, [ab] a or b.")
@click.option("--min-events", type=click.IntRange(min=0), default=0, help="Only with so many accepted events or more.")
@click.option(
    "--older-than", "older_ms", type=Duration(), metavar="DURATION", help="Only whose newest event is older: 12h, 30d."
)
@click.option("--not-finite", is_flag=True, help="Only whose numbers are not all finite.")
@click.option("--sort", "order", type=click.Choice(ORDERS), help="Largest first. Default: the order of the files.")
@click.option("--ascending", is_flag=True, help="Smallest first.")
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Users at most; 0: all.")
@click.option("--at", "at_ms", type=int, metavar="MS", help="When ages are taken, since 1970. Default: now.")
@click.option("--lines", is_flag=True, help="One JSON object a line instead of the table.")
@json_option
def users(
    uri: str,
    pattern: str | None,
    min_events: int,
    older_ms: int | None,
    not_finite: bool,
    order: str | None,
    ascending: bool,
    limit: int,
    at_ms: int | None,
    lines: bool,
    as_json: bool,
) -> None:
    """List users of a checkpoint: those that are wanted, in the order that is wanted.

    Without --sort it ends as soon as it has enough; with it, it reads every user and keeps --limit of them. A user
    whose state cannot be read is named on stderr.
    """
    # numpy need not load for `livetower --help`.
    import orjson

    from livetower.inspect.chosen_users import Wanted, chosen_users

    wanted = Wanted(
        pattern=pattern,
        min_events=min_events,
        older_ms=older_ms,
        not_finite=not_finite,
        order=order,
        ascending=ascending,
        limit=limit,
        at_ms=now_ms() if at_ms is None else at_ms,
    )
    with reading.open_state(uri) as state:
        chosen = chosen_users(state, wanted, lambda user_id, cause: click.echo(f"user {user_id!r}: {cause}", err=True))
        if lines:
            for user in chosen:
                click.echo(orjson.dumps(user))
            return
        found = list(chosen)
        estimate = state.users_estimate()
    if as_json:
        print_json({"checkpoint": uri, "users_estimate": estimate, "users": found})
    else:
        _print(found)


def _print(found: list[dict[str, Any]]) -> None:
    """The same, as far as a person wants it."""
    from rich.table import Table

    from livetower.recommend import duration, print_table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("user", overflow="fold")
    for heading in ("events", "positive", "norm", "consumed", "size", "age"):
        table.add_column(heading, justify="right")
    table.add_column("newest event", overflow="fold")
    for user in found:
        norm = f"{user['norm']:.4f}" if user["finite"] else "not finite"
        counts = (f"{user[name]:,}" for name in ("events", "positives"))
        age = duration(max(0, user["age_ms"]))
        newest = utc(user["newest_event_ms"])
        table.add_row(user["user_id"], *counts, norm, f"{user['consumed']:,}", size(user["bytes"]), age, newest)
    print_table(table)
    if not found:
        click.echo("no such user")
