"""`livetower inspect user`: all that a checkpoint knows of one user, and the list that follows from it.

It parses and prints; what is found stands in user_document.py.
"""

from pathlib import Path
from typing import Any

import click

from livetower.inspect import reading
from livetower.inspect.options import json_option, now_ms, path_argument, root_option, set_option, settings_option
from livetower.inspect.shown import print_facts, print_items, print_json, print_list, size, utc


@click.command(epilog="\b\nExample:\n  livetower inspect user /backup/savepoint-1a2b 328 --vector")
@path_argument
@click.argument("user_id")
@click.option("--vector", is_flag=True, help="The embedding too, and Adam's moments.")
@click.option("--all", "everything", is_flag=True, help="The consumed items and the event ids too.")
@click.option("--at", "at_ms", type=int, metavar="MS", help="When the list is asked for, since 1970. Default: now.")
@root_option
@settings_option
@set_option
@json_option
def user(
    uri: str,
    user_id: str,
    vector: bool,
    everything: bool,
    at_ms: int | None,
    snapshot_root: str | None,
    file: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show one user's whole state, and the list they would get now.

    The list is made from the item snapshot that the checkpoint names and with the settings that its job ran with, by
    the code of the job. With --at of the user's newest event it is the list that the job made then, unless that event
    asked for another strategy or excluded items.
    """
    # numpy and the kernels need not load for `livetower --help`.
    from livetower.inspect.user_document import user_document

    with reading.open_state(uri) as state:
        found = user_document(
            state,
            user_id,
            now_ms() if at_ms is None else at_ms,
            snapshot_root=snapshot_root,
            file=file,
            overrides=overrides,
            vector=vector,
            everything=everything,
        )
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    """The same, as far as a person wants it."""
    ratings = found["rating_count"]
    facts = {
        "user": f"{found['user_id']}: {size(found['blob_bytes'])}, version {found['blob_version']}",
        "checkpoint": f"{found['checkpoint']}, key group {found['key_group']} of subtask {found['subtask']}",
        "events": f"{found['user_seq']:,} since {utc(found['user_since_ms'])}; the newest is of "
        f"{utc(found['newest_event_ms'])}; {found['late']:,} were late, {found['no_table']:,} came before any snapshot",
        "positive": f"{found['positives']:,}, activity class {found['activity_class']}",
        "ratings": f"{ratings:,}, {found['rating_sum'] / ratings:.2f} on average" if ratings else "none",
        "vector": f"norm {found['norm']:.4f} of dimension {found['dimension']}{_unhealthy(found)}",
        "optimiser": _optimiser(found),
        "consumed": f"{found['consumed_count']:,} items held, {found['forgotten']:,} forgotten at the bound",
        "repetitions": f"{found['event_id_count']:,} event ids held against them",
        "lives": _lives(found),
    }
    print_facts(facts)
    if "embedding" in found:
        click.echo(f"\nembedding\n{' '.join(f'{number:.6g}' for number in found['embedding'])}")
    recent = [item | {"when": utc(item["event_time_ms"])} for item in found["recent"]]
    print_items("recent items, newest first", recent, {"when": "when"})
    print_items("the last list", found["last_list"])
    if "consumed" in found:
        consumed = [item | {"when": utc(item["day_begins_ms"])[:10]} for item in found["consumed"]]
        print_items("consumed items, oldest first", consumed, {"when": "day"})
    if found["list_now"] is None:
        click.echo(f"\nno list now: {found['no_list_because']}")
        return
    now = found["list_now"]
    snapshot = f"{now['snapshot']['epoch']}-{now['snapshot']['trained_events']}"
    print_list(f"the list at {utc(now['asked_ms'])}, strategy {now['strategy']}, snapshot {snapshot}", now["items"])


def _unhealthy(found: dict[str, Any]) -> str:
    return "" if found["finite"] else "; it holds numbers that are not finite"


def _optimiser(found: dict[str, Any]) -> str:
    if found["moments"] is None:
        return f"{found['optimizer']}, {found['steps']:,} steps, sum of squares {found['accumulator']:.6g}"
    moments = found["moments"]
    return (
        f"{found['optimizer']}, {found['steps']:,} steps, norm of the means {moments['means_norm']:.4g}, "
        f"mean of the squares {moments['squares_mean']:.4g}"
    )


def _lives(found: dict[str, Any]) -> str:
    if found["touched_ms"] is None:
        return "for ever: no time to live was set"
    until = "an unknown time" if found["dies_ms"] is None else utc(found["dies_ms"])
    return f"until {until}, if no event comes; written at {utc(found['touched_ms'])}"
