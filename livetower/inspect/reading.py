"""What can be asked of a checkpoint or savepoint, whatever way it was written.

The commands know this file only. Behind it:

    opened_state.py      which operator and state answers which question
    rocksdb.py, full_snapshot.py, operator_state.py   the ways a state is written
    described_states.py, serialized.py, snappy_frames.py   Flink's bytes
    state_files.py       where the files are, also of a checkpoint that was moved
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from livetower.operations.metadata import Metadata


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user's blob (models/user_state.py) as Flink keeps it."""

    user_id: str
    blob: bytes
    touched_ms: int | None
    """When Flink wrote it, by the TaskManager's clock: its time to live runs from there. None without one."""


@dataclass(frozen=True, slots=True)
class StateSize:
    """One state of one operator."""

    uid: str
    name: str
    kind: str
    """'value', 'map', 'broadcast', 'list' or 'timers'."""
    bytes_: int
    """Of its files, as compressed as they are; a file of several states is divided by their entries."""
    entries: int | None
    """About so many; None if that cannot be told without reading all."""


class LearnedState(Protocol):
    """A checkpoint or savepoint that was opened. Use it as a context manager: it may hold links and open files."""

    uri: str
    metadata: Metadata

    def __enter__(self) -> "LearnedState": ...

    def __exit__(self, *exception: object) -> None: ...

    def sizes(self) -> list[StateSize]:
        """Every state of every operator."""

    def users(self) -> Iterator[StoredUser]:
        """Every user once, in the order of the files."""

    def user(self, user_id: str) -> StoredUser | None:
        """One user, without reading the others."""

    def users_estimate(self) -> int | None:
        """About so many users, from the files' own statistics; None if they have none."""

    def key_group_of(self, user_id: str) -> int:
        """Flink's key group of a user."""

    def progress(self) -> bytes | None:
        """The item tower's progress (models/tower_state.py); None before its first write."""

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """The item tower's rows: number of the block and its bytes (models/tower_rows.py), by number."""

    def catalogue(self) -> Iterator[tuple[int, bytes]]:
        """Hash of an item id and its catalogue entry (models/tower_state.py)."""

    def log(self) -> Iterator[tuple[int, bytes]]:
        """Place in the ring and the tower's input there (models/tower_stream.py)."""

    def announcements(self) -> Mapping[str, bytes]:
        """The broadcast state item-snapshots: 'full', 'popularity', 'delta-<n>' and the announcement as it came."""

    def offsets(self) -> Mapping[tuple[str, int], int]:
        """Topic and partition, and the offset that the job reads next."""


def open_state(uri: str) -> LearnedState:
    """The checkpoint or savepoint at a path or URI. Raises InspectError."""
    from livetower.inspect.opened_state import OpenedState  # it opens RocksDB; the commands' help need not

    return OpenedState(uri)
