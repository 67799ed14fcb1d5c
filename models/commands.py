"""What an operator of the job may ask of the item tower: the records of the topic `commands`.

    {"command": "full_refresh", "command_id": "2f0c"}
    {"command": "rollback", "command_id": "2f0d", "to": "0-18000"}

`command_id` names the command in logs. `to` names the full snapshot to go back to, <epoch>-<trained events>; without it
that is the one before the full snapshot now in use. What the commands do is tower_stream.py's and, as far as it needs
files, train_item_tower.py's.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import orjson

from models.records import ID_MAX_BYTES, InvalidRecord, Reason, parse_object
from models.shown import shown

_TO: Final = re.compile(r"(\d{1,18})-(\d{1,18})")


class CommandKind(StrEnum):
    """What is asked."""

    FULL_REFRESH = "full_refresh"
    """Learn the rows anew from the replay window."""
    ROLLBACK = "rollback"
    """Go back to the vectors of an earlier full snapshot."""


@dataclass(frozen=True, slots=True)
class Command:
    """One record of `commands`; `to` is (epoch, trained events), None unless a rollback names them."""

    kind: CommandKind
    command_id: str
    to: tuple[int, int] | None = None


def parse_command(value: bytes | None, *, max_bytes: int) -> Command:
    """The command in a Kafka value. Raises InvalidRecord."""
    fields = parse_object(value, max_bytes)
    for name in ("command", "command_id"):
        if name not in fields:
            raise InvalidRecord(Reason.MISSING_FIELD, f"{name} is missing")
    command_id, kind, to = fields["command_id"], fields["command"], fields.get("to")
    if not isinstance(command_id, str) or not 1 <= len(command_id.encode()) <= ID_MAX_BYTES:
        raise InvalidRecord(
            Reason.INVALID_FIELD, f"command_id must be a string of 1 to {ID_MAX_BYTES} bytes; got {shown(command_id)}"
        )
    if kind not in list(CommandKind):
        known = ", ".join(CommandKind)
        raise InvalidRecord(
            Reason.INVALID_FIELD, f"command {command_id!r}: command must be one of {known}; got {shown(kind)}"
        )
    if to is None:
        return Command(CommandKind(kind), command_id)
    try:
        if kind != CommandKind.ROLLBACK:
            raise ValueError("only a rollback has `to`")
        return Command(CommandKind(kind), command_id, parse_to(to))
    except ValueError as error:
        raise InvalidRecord(Reason.INVALID_FIELD, f"command {command_id!r}: {error}") from error


def parse_to(to: object) -> tuple[int, int]:
    """Epoch and trained events of the snapshot that a rollback names. Raises ValueError.

    >>> parse_to("0-18000")
    (0, 18000)
    """
    named = _TO.fullmatch(to) if isinstance(to, str) else None
    if named is None:
        raise ValueError(f"a snapshot is named <epoch>-<trained events>, such as 0-18000; got {shown(to)}")
    return int(named[1]), int(named[2])


def encode_command(command: Command) -> bytes:
    """The value of a record on `commands`; `parse_command` gives the same command back."""
    fields = {"command": str(command.kind), "command_id": command.command_id}
    return orjson.dumps(fields if command.to is None else fields | {"to": f"{command.to[0]}-{command.to[1]}"})
