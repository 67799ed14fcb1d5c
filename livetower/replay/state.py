"""How far a replay has come: a small JSON file, replaced as a whole, by which the same command goes on.

It holds the last row up to which the broker has acknowledged every record, and what must be equal for its number to
mean anything: the file, that row's content, and the topic, by Kafka's own id of it.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import orjson

from livetower.replay.errors import ReplayError
from livetower.rows import Row


@dataclass(slots=True)
class ReplayState:
    """Everything up to row `number` has been acknowledged, or passed over as malformed. 0: nothing yet."""

    file: str
    topic: str
    topic_id: str
    shift_ms: int = 0
    number: int = 0
    fingerprint: str = ""  # of that row


def default_state_path(file: Path) -> Path:
    """Beside the file."""
    return file.with_name(f"{file.name}.replay.json")


def read_state(path: Path) -> ReplayState | None:
    """The state in a file; None when there is no such file. Raises ReplayError when it holds something else."""
    try:
        stored = json.loads(path.read_text("utf-8"))
        types = {f.name: type(f.default) if isinstance(f.default, int) else str for f in fields(ReplayState)}
        if {name: type(value) for name, value in stored.items()} != types:
            raise ValueError("other fields than those of a replay")
        return ReplayState(**stored)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as error:
        raise ReplayError(
            f"{path}: the state of a replay was needed; {error}: remove it, or name another with --state"
        ) from error


def write_state(path: Path, state: ReplayState) -> None:
    """Replace the file as a whole. Raises ReplayError when it cannot be written."""
    unfinished = path.with_name(f"{path.name}.tmp")
    try:
        unfinished.write_text(json.dumps(asdict(state), indent=2) + "\n", "utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise ReplayError(
            f"{path}: the replay's state must be writable; {error.strerror}: name another with --state"
        ) from error


def require_same(state: ReplayState, fresh: ReplayState, path: Path) -> None:
    """Refuse to go on from a state of another file or topic. Raises ReplayError."""
    for what, was, now in (
        ("file", state.file, fresh.file),
        ("topic", state.topic, fresh.topic),
        ("topic id (the topic was made anew, or it is another Kafka)", state.topic_id, fresh.topic_id),
    ):
        if was != now:
            raise ReplayError(
                f"{path}: it is of {what} {was}, and this is {now}: --restart sends everything from the first row, "
                "--state names another"
            )


def fingerprint_of(row: Row) -> str:
    """A digest of the row as it stands in the file."""
    content = row.raw or orjson.dumps(row.values, default=repr)
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def rows_after(rows: Iterable[Row], state: ReplayState, path: Path) -> Iterator[Row]:
    """The rows behind the one at which the state stands. Raises ReplayError when that one is not what it was."""
    reached = state.number == 0
    for row in rows:
        if reached:
            yield row
        elif row.number >= state.number:
            reached = row.number == state.number and fingerprint_of(row) == state.fingerprint
            if not reached:
                break
    if not reached:
        raise ReplayError(
            f"{state.file}: row {state.number}, the last one sent according to {path}, is not what it was: the file "
            "has changed. --restart sends everything from the first row"
        )
