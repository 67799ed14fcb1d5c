"""Retained checkpoints and savepoints below some directories, the newest first, and what is wrong with each.

Flink starts from the one it is told, and fails if that is broken; it does not step back to an older one.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from flink_jobs.topology import LEARN_AND_RECOMMEND
from livetower.operations.metadata import Metadata, UnreadableMetadata, read_metadata
from livetower.operations.places import entries, parent_and_name, read_file, size_of

METADATA = "_metadata"
CHECKPOINT = "chk-"
SHOWN = 3
"""So many missing files are named."""


class BrokenState(Exception):
    """A job cannot be started from this checkpoint or savepoint; the message says why."""


@dataclass(frozen=True, slots=True)
class FoundState:
    """A directory that is, or was to become, a checkpoint or a savepoint."""

    uri: str
    written_ns: int


@dataclass(frozen=True, slots=True)
class Verified:
    """A state from which a job can start, and the newer ones that are broken: their directory, and why."""

    uri: str
    metadata: Metadata
    stepped_over: tuple[tuple[str, str], ...]


def find_states(roots: Iterable[str]) -> list[FoundState]:
    """Everything below these directories that may be a state, the newest first.

    A root is the directory of all checkpoints (<job>/chk-<n> below it), of one job's, of savepoints, or one savepoint.
    Raises OSError.
    """
    found = {state.uri: state for root in roots for state in _states_at(root, levels=2)}
    return sorted(found.values(), key=lambda state: (state.written_ns, _number(state.uri), state.uri), reverse=True)


def verify(uri: str) -> Metadata:
    """The metadata of a state, once every file that it names is there in its size.

    Bytes that have changed inside a file are not seen here: RocksDB has checksums and Flink would fail to start.
    Raises BrokenState.
    """
    try:
        metadata = read_metadata(read_file(uri, METADATA))
    except FileNotFoundError as error:
        raise BrokenState("it has no _metadata: it was never completed, or is being removed") from error
    except OSError as error:
        raise BrokenState(f"its _metadata cannot be read: {error}") from error
    except UnreadableMetadata as error:
        raise BrokenState(f"its _metadata is broken: {error}") from error
    if LEARN_AND_RECOMMEND not in {operator.uid for operator in metadata.operators}:
        raise BrokenState(f"it is another job's: it has no {LEARN_AND_RECOMMEND}")
    troubles = [trouble for file in metadata.files() if (trouble := _trouble_of(uri, file.path, file.size))]
    if troubles:
        more = f", and {len(troubles) - SHOWN} more" if len(troubles) > SHOWN else ""
        raise BrokenState("; ".join(troubles[:SHOWN]) + more)
    return metadata


def newest_verified(states: Iterable[FoundState]) -> Verified:
    """The first state that verifies. Raises BrokenState, with a line for each, if none does."""
    stepped_over: list[tuple[str, str]] = []
    for state in states:
        try:
            return Verified(state.uri, verify(state.uri), tuple(stepped_over))
        except BrokenState as error:
            stepped_over.append((state.uri, str(error)))
    lines = "".join(f"\n  {uri}: {why}" for uri, why in stepped_over)
    raise BrokenState(f"none of {len(stepped_over)} checkpoints and savepoints can be started from{lines}")


def _states_at(directory: str, levels: int) -> Iterable[FoundState]:
    here = entries(directory)
    own = [entry for entry in here if entry.name == METADATA and not entry.is_directory]
    if own:
        yield FoundState(directory, own[0].written_ns)
        return
    for entry in here:
        if not entry.is_directory:
            continue
        inside = list(_states_at(entry.uri, levels - 1)) if levels else []
        yield from inside
        if not inside and entry.name.startswith((CHECKPOINT, "savepoint-")):  # never completed
            yield FoundState(entry.uri, entry.written_ns)


def _number(uri: str) -> int:
    """The number of a checkpoint, -1 for a savepoint: of two written in the same instant the later one wins."""
    name = parent_and_name(uri)[1]
    digits = name.removeprefix(CHECKPOINT)
    return int(digits) if name.startswith(CHECKPOINT) and digits.isdigit() else -1


def _trouble_of(directory: str, path: str, size: int) -> str:
    uri = path if ":" in path or path.startswith("/") else f"{directory}/{path}"
    try:
        there = size_of(uri)
    except OSError as error:
        return f"{uri} cannot be seen: {error}"
    if there is None:
        return f"{uri} is missing"
    return f"{uri} has {there} bytes of {size}" if there != size else ""
