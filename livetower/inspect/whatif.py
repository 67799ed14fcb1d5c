"""`livetower inspect whatif`: what the job would make of further events of a user.

It parses and prints; the events are read in told_events.py, and what comes of them is found in whatif_document.py.
"""

from pathlib import Path
from typing import Any

import click

from livetower.inspect import reading
from livetower.inspect.options import json_option, now_ms, path_argument, root_option, set_option, settings_option
from livetower.inspect.shown import print_json, print_list, utc


@click.command(
    epilog="\b\nExamples:\n"
    "  livetower inspect whatif /backup/savepoint-1a2b 328 --event item=50,type=rating,value=5\n"
    "  livetower inspect whatif /backup/savepoint-1a2b 328 --event item=50 --event item=56,after=60\n"
    '  livetower inspect whatif /backup/savepoint-1a2b 328 --event \'{"item_id": "50", "event_type": "like"}\''
)
@path_argument
@click.argument("user_id")
@click.option(
    "--event",
    "--event-json",
    "told",
    multiple=True,
    required=True,
    metavar="item=ID[,NAME=VALUE…]",
    help="An event, after those before it: item, type (view), value, after (seconds since the one before), strategy, "
    "exclude, items and categories (several with |). Or the JSON of the topic `interactions`.",
)
@click.option("--event-id", "event_ids", multiple=True, metavar="ID", help="Id of the first event, of the second …")
@click.option(
    "--at",
    "at_ms",
    type=int,
    metavar="MS",
    help="When the first event reaches Kafka, since 1970. Default: its event_time_ms, or now.",
)
@click.option("--new-user", is_flag=True, help="Begin with a user whom the checkpoint does not know.")
@root_option
@settings_option
@set_option
@json_option
def whatif(
    uri: str,
    user_id: str,
    told: tuple[str, ...],
    event_ids: tuple[str, ...],
    at_ms: int | None,
    new_user: bool,
    snapshot_root: str | None,
    file: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show what the job would make of further events of a user.

    Each event is learned by the code of the job from the stored state, with the settings that the job ran with and the
    item snapshot that the checkpoint names. The list after it is the one that the job emits when it receives this very
    event and its snapshot is still the same; the list before it is what a request would have got at that moment.
    Nothing is sent and nothing is changed.
    """
    # numpy and the kernels need not load for `livetower --help`.
    from livetower.inspect.whatif_document import whatif_document

    with reading.open_state(uri) as state:
        found = whatif_document(
            state,
            user_id,
            told,
            at_ms,
            now_ms(),
            event_ids=event_ids,
            new_user=new_user,
            snapshot_root=snapshot_root,
            file=file,
            overrides=overrides,
        )
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    """The same, as far as a person wants it."""
    before = found["before"]
    known = "unknown so far" if before is None else f"{before['user_seq']:,} events so far, norm {before['norm']:.4f}"
    click.echo(f"user {found['user_id']} in {found['checkpoint']}: {known}")
    for step in found["steps"]:
        event = step["event"]
        what = f"{event['event_type']} {event['item_id']}".strip() + (f" ({step['title']})" if step["title"] else "")
        click.echo(f"\nevent {event['event_id']}: {what} at {utc(event['event_time_ms'])}")
        if step["duplicate"]:
            click.echo("  a repetition: the user's state knows this event_id, and nothing changes")
            continue
        click.echo(f"  {step['learned']}; norm {step['norm']:.4f}, moved by {step['moved_by']:.4f}")
        if step["recommendation"] is None:
            click.echo("  no list: no item snapshot had been announced")
            continue
        if not step["emitted"]:
            click.echo("  the list is as the last one was: with model.emit = changed it is not sent")
        places = {item["item_id"]: place for place, item in enumerate(step["list_before"], 1)}
        items = [item | {"was": places.get(item["item_id"], "new")} for item in step["list_after"]]
        print_list(f"the list after it, strategy {step['recommendation']['strategy']}", items, {"was": "was at"})
        gone = [item["title"] or item["item_id"] for item in step["moves"] if item["after"] is None]
        if gone:
            click.echo(f"gone from it: {', '.join(gone)}")
