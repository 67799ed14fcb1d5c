"""`livetower inspect ls`: the checkpoints and savepoints below a directory, and which of them can be restored."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table

from livetower.inspect.errors import InspectError
from livetower.operations.found_state import METADATA, BrokenState, FoundState, find_states, verify
from livetower.operations.metadata import UnreadableMetadata, read_metadata
from livetower.operations.places import parent_and_name, read_file

PLAIN_WIDTH = 240
"""Where no terminal says how wide it is, a line is not broken for it."""


@dataclass(frozen=True, slots=True)
class ListedState:
    """One line of the list."""

    uri: str
    checkpoint_id: int | None
    kind: str
    """As Metadata.kind says it; 'unreadable' without metadata that can be read."""
    written: str
    """UTC, ISO 8601."""
    bytes_: int
    """Of every file that a restore reads, and of `_metadata`; files that checkpoints share count in each."""
    trouble: str
    """Why a job cannot start from it; '' if it can."""
    newest_restorable: bool


@click.command(epilog="\b\nExample:\n  livetower inspect ls .livetower/sandbox/checkpoints")
@click.argument("path", metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout instead of the table.")
def ls(path: str, as_json: bool) -> None:
    """List the checkpoints and savepoints below DIR, the newest first.

    A state is complete when every file that it names is there in its size; the newest complete one is marked: from
    there `livetower resume` would go on.
    """
    listed = list_states(path)
    if as_json:
        click.echo(json.dumps([asdict(state) for state in listed], indent=2))
        return
    console = Console()
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    console.print(states_table(listed, path))


def list_states(path: str) -> list[ListedState]:
    """Every state below a directory, the newest first. Raises InspectError."""
    try:
        found = find_states([path])
    except OSError as error:
        raise InspectError(
            "LT-INS-105", f"{path} cannot be listed: {error}", "Check the path and your rights"
        ) from error
    if not found:
        raise InspectError(
            "LT-INS-101",
            f"{path} holds no checkpoint and no savepoint",
            "Name the directory of checkpoints or savepoints, as .livetower/sandbox/checkpoints",
        )
    listed: list[ListedState] = []
    for state in found:
        restorable_seen = any(each.newest_restorable for each in listed)
        listed.append(_listed(state, restorable_seen))
    return listed


def states_table(listed: list[ListedState], path: str) -> Table:
    """The list as a table."""
    table = Table(box=None)
    for column in ("", "state", "id", "kind", "written (UTC)", "MiB", "complete"):
        right, may_break = column in ("id", "MiB"), column in ("state", "complete")
        table.add_column(column, justify="right" if right else "left", no_wrap=not may_break, overflow="fold")
    for state in listed:
        table.add_row(
            "→" if state.newest_restorable else "",
            _below(path, state.uri),
            "" if state.checkpoint_id is None else str(state.checkpoint_id),
            state.kind,
            state.written[:19].replace("T", " "),
            f"{state.bytes_ / (1 << 20):,.1f}",
            state.trouble or "yes",
        )
    return table


def _listed(state: FoundState, restorable_seen: bool) -> ListedState:
    written = datetime.fromtimestamp(state.written_ns / 1e9, UTC).isoformat()
    try:
        verify(state.uri)
        trouble = ""
    except BrokenState as error:
        trouble = str(error)
    try:
        blob = read_file(state.uri, METADATA)
        metadata = read_metadata(blob)
    except (OSError, UnreadableMetadata):
        return ListedState(state.uri, None, "unreadable", written, 0, trouble, newest_restorable=False)
    size = len(blob) + sum(file.size for file in metadata.files())
    newest = not trouble and not restorable_seen
    return ListedState(state.uri, metadata.checkpoint_id, metadata.kind, written, size, trouble, newest)


def _below(path: str, uri: str) -> str:
    below = uri.removeprefix(path.rstrip("/")).lstrip("/")
    return below or parent_and_name(uri)[1]
