"""`livetower inspect summary`: what a checkpoint holds, at one look.

It parses and prints; what is found stands in summary_document.py.
"""

from pathlib import Path
from typing import Any

import click

from livetower.inspect import reading
from livetower.inspect.options import json_option, path_argument
from livetower.inspect.shown import print_facts, print_json, size, utc
from livetower.kafka_options import kafka_client, settings_option


@click.command(epilog="\b\nExample:\n  livetower inspect summary /backup/savepoint-1a2b --exact")
@path_argument
@click.option("--exact", is_flag=True, help="Count the users and the inputs that the tower has logged since its write.")
@click.option(
    "--bootstrap-servers", metavar="HOST:PORT", help="Brokers of the job's Kafka: shows how far behind the offsets are."
)
@click.option(
    "--kafka", "properties", multiple=True, metavar="NAME=VALUE", help="A property of librdkafka (TLS, SASL)."
)
@settings_option
@json_option
def summary(
    uri: str,
    exact: bool,
    bootstrap_servers: str | None,
    settings_file: Path | None,
    properties: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show what a checkpoint holds.

    That is the operators and their states, the Kafka offsets that the job reads next, how many users there are, the
    item tower, the item snapshot that ranks, and the settings that the job ran with.
    """
    # numpy and Kafka's client need not load for `livetower --help`.
    from livetower.inspect.kafka_ends import kafka_ends
    from livetower.inspect.summary_document import summary_document

    with reading.open_state(uri) as state:
        ends = {}
        if bootstrap_servers is not None or settings_file is not None:
            brokers, client = kafka_client(None, bootstrap_servers, settings_file, properties)
            ends = kafka_ends(brokers, state.offsets(), client)
        found = summary_document(state, ends, exact=exact)
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    """The same, as far as a person wants it."""
    users, tower, snapshot = found["users"], found["tower"], found["snapshot"]
    number = "unknown: --exact counts them" if users["number"] is None else f"{users['number']:,}"
    print_facts(
        {
            "checkpoint": f"{found['checkpoint_id']}, {found['checkpoint']}",
            "users": number if users["exact"] or users["number"] is None else f"about {number}",
            "item tower": "not written yet" if tower is None else _tower(tower),
            "snapshot": _snapshot(snapshot),
        }
    )
    _print_states(found["operators"])
    _print_offsets(found["offsets"])
    if found["settings"] is None:
        click.echo("\nsettings: its job did not tell them")
    else:
        click.echo(f"\nsettings that are not the defaults: {len(found['settings_changed'])}")
        for name, value in found["settings_changed"].items():
            click.echo(f"  {name} = {value}")


def _tower(tower: dict[str, Any]) -> str:
    logged = "" if tower["logged_since"] is None else f" and {tower['logged_since']:,} more in its log"
    return (
        f"epoch {tower['epoch']}, {tower['items']:,} items, {tower['examples']:,} examples trained; "
        f"written at input {tower['inputs']:,}{logged}"
    )


def _snapshot(snapshot: dict[str, Any]) -> str:
    full, popularity = snapshot["full"], snapshot["popularity"]
    if full is None:
        return "none was announced yet"
    newer = f", and an update at {popularity['trained_events']:,} examples" if popularity is not None else ""
    where = full["file"] if full["file"] is not None else "in the state itself"
    return (
        f"{full['epoch']}-{full['trained_events']} of {full['items']:,} items, {utc(full['created_ms'])}, {where}; "
        f"{len(snapshot['deltas'])} deltas after it{newer}"
    )


def _print_states(operators: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from livetower.recommend import print_table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("operator", "parallelism", "of", "state", "kind"):
        table.add_column(heading, overflow="fold")
    table.add_column("size", justify="right")
    table.add_column("entries", justify="right")
    for operator in operators:
        unnamed = {"name": "", "kind": "", "bytes": operator["bytes"], "entries": None}
        states = [state for state in operator["states"] if state["bytes"]] or [unnamed]
        for number, state in enumerate(states):
            named = (
                operator["uid"] or operator["name"],
                f"{operator['parallelism']}",
                f"{operator['max_parallelism']}",
            )
            entries = "" if state["entries"] is None else f"{state['entries']:,}"
            head = named if number == 0 else ("", "", "")
            table.add_row(*head, state["name"], state["kind"], size(state["bytes"]), entries)
    click.echo("")
    print_table(table)


def _print_offsets(offsets: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from livetower.recommend import print_table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("topic", overflow="fold")
    for heading in ("partition", "reads next", "end", "behind"):
        table.add_column(heading, justify="right")
    for each in offsets:
        reads = "not yet" if each["offset"] is None else f"{each['offset']:,}"
        known = ("" if number is None else f"{number:,}" for number in (each["end"], each["lag"]))
        table.add_row(each["topic"], str(each["partition"]), reads, *known)
    click.echo("")
    print_table(table)
