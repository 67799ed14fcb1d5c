"""Retained checkpoints and savepoints below some directories, the newest first, and what is wrong with each.

Flink starts from the one it is told, and fails if that is broken; it does not step back to an older one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from flink_jobs.topology import LEARN_AND_RECOMMEND
from livetower.operations.metadata import Metadata, StateFile, UnreadableMetadata, read_metadata
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
class FileTrouble:
    """A file that is not there in its size."""

    uri: str
    needed: int
    there: int | None
    """Its size; None if it is missing or cannot be seen."""
    unseen: str = ""
    """Why it cannot be seen."""

    def __str__(self) -> str:
        if self.unseen:
            return f"{self.uri} cannot be seen: {self.unseen}"
        return f"{self.uri} is missing" if self.there is None else f"{self.uri} has {self.there} bytes of {self.needed}"


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
    if troubles := list(map(str, file_troubles(uri, metadata))):
        more = f", and {len(troubles) - SHOWN} more" if len(troubles) > SHOWN else ""
        raise BrokenState("; ".join(troubles[:SHOWN]) + more)
    return metadata


def file_troubles(uri: str, metadata: Metadata) -> Iterator[FileTrouble]:
    """The files of a state that are not there in their size, where Flink would look for them."""
    for file in metadata.files():
        place = recorded_place(uri, file)
        try:
            there = size_of(place)
        except OSError as error:
            yield FileTrouble(place, file.size, None, str(error))
        else:
            if there != file.size:
                yield FileTrouble(place, file.size, there)


def recorded_place(uri: str, file: StateFile) -> str:
    """The URI of a file of the state in this directory, as its metadata has it."""
    return file.path if ":" in file.path or file.path.startswith("/") else f"{uri}/{file.path}"


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
