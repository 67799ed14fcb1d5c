"""The commands `livetower recommend` and `livetower why`: one user's newest list, and where it came from.

They read the one partition of the topic of recommendations that can hold it (livetower/consume/find_list.py) and the
titles from the topic of items. Nothing is asked of the job: what they show is what any consumer gets.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from livetower.command import bootstrap_option, run_dir_option
from livetower.kafka_options import kafka_client, settings_option

if TYPE_CHECKING:
    from livetower.consume import Received

STAGES = ("event", "kafka", "learned", "emitted", "topic")


class Refused(click.ClickException):
    """What the user can cure: one line, exit code 2."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Shown:
    """A list, the titles that are known, and when it is looked at."""

    received: "Received"
    titles: Mapping[str, str]
    now_ms: int

    def name(self, item_id: str) -> str:
        """The item as people know it."""
        return self.titles.get(item_id) or item_id


def lookup_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that both commands have."""
    for option in (
        click.argument("user_id"),
        click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout."),
        click.option(
            "--timeout", "timeout_s", type=click.FloatRange(min=0), default=10.0, show_default=True, help="Seconds."
        ),
        click.option("--no-titles", is_flag=True, help="Do not read the topic of items."),
        click.option("--items-topic", default="items", show_default=True, help="The job's topics.items."),
        click.option("--topic", default="recommendations", show_default=True, help="The job's topics.recommendations."),
        click.option(
            "--kafka", "properties", multiple=True, metavar="NAME=VALUE", help="A property of librdkafka (TLS, SASL)."
        ),
        settings_option,
        bootstrap_option,
        run_dir_option,
    ):
        command = option(command)
    return command


@click.command()
@lookup_options
def recommend(as_json: bool, **asked: Any) -> None:
    """Show the newest list of USER_ID.

    \b
      livetower recommend 328
      livetower recommend ada --json --bootstrap-servers kafka-1:9092
    """  # noqa: D301  # click wants the backspace: it keeps the lines of the examples
    shown = look_up(**asked)
    if as_json:
        click.echo(json.dumps(as_record(shown)))
    else:
        print_list(shown)


@click.command()
@lookup_options
def why(as_json: bool, **asked: Any) -> None:
    """Show why USER_ID has the list it has.

    The parts of each score, the past item that raised it, the event that the list followed, the item snapshot it was
    made with, and where each millisecond went.

    \b
      livetower why 328
      livetower why ada --json --no-titles
    """  # noqa: D301  # as above
    shown = look_up(**asked)
    if as_json:
        click.echo(json.dumps(as_record(shown) | {"stages_ms": stages(shown.received)}))
    else:
        print_reasons(shown)


def look_up(
    user_id: str,
    timeout_s: float,
    no_titles: bool,
    items_topic: str,
    topic: str,
    properties: tuple[str, ...],
    settings_file: Path | None,
    bootstrap_servers: str | None,
    run_dir: Path | None,
) -> Shown:
    """The user's newest list. Raises Refused when there is none, or no broker, or too little time."""
    # Kafka's client need not load for `livetower --help`.
    from livetower.consume import ConsumeError, find_newest_list
    from livetower.consume.find_list import read_titles
    from livetower.sandbox import SandboxError

    deadline = time.monotonic() + timeout_s
    try:
        brokers, client = kafka_client(run_dir, bootstrap_servers, settings_file, properties)
        received = find_newest_list(brokers, user_id, topic=topic, timeout_s=timeout_s, properties=client)
        if received is None:
            raise Refused(
                f"user {user_id!r} has no list on topic {topic!r} of {brokers}: a list follows each accepted event, "
                "once there is an item snapshot. Send an event of this user (event_type request needs no item)"
            )
        titles: dict[str, str] = {}
        if not no_titles:
            items = {entry.item_id for entry in received.recommendation.items}
            items |= {entry.because for entry in received.recommendation.items if entry.because is not None}
            left_s = max(1.0, deadline - time.monotonic())
            titles, complete = read_titles(brokers, items, topic=items_topic, timeout_s=left_s, properties=client)
            if not complete:
                click.echo(
                    f"titles: topic {items_topic!r} was not read to its end in time; allow more (--timeout) or do "
                    "without (--no-titles)",
                    err=True,
                )
    except (ConsumeError, SandboxError) as error:
        raise Refused(str(error)) from error
    return Shown(received, titles, time.time_ns() // 1_000_000)


def stages(received: "Received") -> dict[str, int]:
    """Where each millisecond went, from one stage to the next.

    Source, broker and TaskManager may have clocks of their own, so a stage can be negative.
    """
    clock = received.recommendation.clock
    times = (clock.event_time_ms, clock.kafka_ms, clock.learned_ms, clock.emitted_ms, received.appended_ms)
    names = [f"{before}_to_{after}" for before, after in pairwise(STAGES)]
    return dict(zip(names, (after - before for before, after in pairwise(times)), strict=True))


def as_record(shown: Shown) -> dict[str, Any]:
    """The list as programs want it: the record's own fields, each item's title, and where and when it stands."""
    received = shown.received
    record = asdict(received.recommendation)
    record["items"] = [entry | {"title": shown.titles.get(entry["item_id"])} for entry in record["items"]]
    return record | {
        "partition": received.partition,
        "offset": received.offset,
        "appended_ms": received.appended_ms,
        "list_age_ms": max(0, shown.now_ms - received.appended_ms),
    }


# ---- for people ----------------------------------------------------------------------------------


def print_list(shown: Shown) -> None:
    """The list as a table."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("item", overflow="fold")
    table.add_column("title", overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("because of", overflow="fold")
    for place, entry in enumerate(shown.received.recommendation.items, 1):
        because = "" if entry.because is None else shown.name(entry.because)
        table.add_row(str(place), entry.item_id, shown.titles.get(entry.item_id, ""), f"{entry.score:.3f}", because)
    click.echo(headline(shown))
    print_table(table)


def print_reasons(shown: Shown) -> None:
    """The list with the parts of each score, and the stage clock."""
    from rich.table import Table

    recommendation, snapshot = shown.received.recommendation, shown.received.recommendation.snapshot
    # Parts that no score has, such as the exploration that is off, say nothing.
    parts = list(dict.fromkeys(name for entry in recommendation.items for name, part in entry.parts.items() if part))
    scores = Table(box=None, header_style="bold", pad_edge=False)
    scores.add_column("", justify="right")
    scores.add_column("item", overflow="fold")
    for name in (*parts, "score"):
        scores.add_column(name, justify="right")
    scores.add_column("because of", overflow="fold")
    for place, entry in enumerate(recommendation.items, 1):
        numbers = [f"{entry.parts.get(name, 0.0):.3f}" for name in parts]
        because = "" if entry.because is None else shown.name(entry.because)
        scores.add_row(str(place), shown.name(entry.item_id), *numbers, f"{entry.score:.3f}", because)
    click.echo(headline(shown))
    click.echo(f"follows event    {recommendation.trigger}, the user's number {recommendation.user_seq}")
    click.echo(f"item snapshot    {snapshot.name}, {duration(snapshot.age_ms)} old when the list was made")
    print_table(scores)
    click.echo("where the time went")
    for name, spent_ms in stages(shown.received).items():
        click.echo(f"  {name.replace('_to_', ' → '):<18} {spent_ms:>10,} ms")


def headline(shown: Shown) -> str:
    """Whose list it is, how it was made and when."""
    made = shown.received.recommendation
    age = duration(max(0, shown.now_ms - shown.received.appended_ms))
    return f"user {made.user_id}: {len(made.items)} items, strategy {made.strategy}, {age} old"


def duration(ms: int) -> str:
    """A time span in the largest unit of which it has two.

    >>> duration(133), duration(80_377), duration(7_200_000), duration(864_000_000)
    ('133 ms', '80 s', '2 h', '10 days')
    """
    for unit, size_ms in (("days", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if ms >= 2 * size_ms:
            return f"{ms // size_ms} {unit}"
    return f"{ms} ms"


def print_table(table: object) -> None:
    """The table as wide as the terminal, or as it needs to be where there is none; titles may hold rich's markup."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 200
    Console(width=width, markup=False, emoji=False, highlight=False).print(table)
