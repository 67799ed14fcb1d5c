"""A checkpoint or savepoint of our job, opened: which operator and state answers which question of reading.py.

Subtasks are opened when they are first asked for, so that a question about the tower opens no user.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping

from flink_jobs.topology import LEARN_AND_RECOMMEND, TRAIN_ITEM_TOWER
from livetower.inspect.errors import InspectError
from livetower.inspect.full_snapshot import FullState
from livetower.inspect.operator_state import broadcast_of, offsets_of
from livetower.inspect.reading import StateSize, StoredUser
from livetower.inspect.rocksdb import RocksState
from livetower.inspect.serialized import (
    MAP_KEY,
    TIME,
    WIDE_FROM,
    foreign,
    key_bytes,
    key_group_of,
    pickled_bytes,
    text_of_key,
)
from livetower.inspect.state_files import StateFiles
from livetower.operations.announced import STATE as ITEM_SNAPSHOTS
from livetower.operations.metadata import (
    BROADCAST,
    Metadata,
    OperatorInState,
    RocksFiles,
    UnreadableMetadata,
    read_metadata,
)
from livetower.operations.places import read_file
from models.records import user_key_of

METADATA = "_metadata"
USER, PROGRESS, BLOCKS, CATALOGUE, LOG = "user", "progress", "blocks", "catalogue", "log"


class OpenedState:
    """What livetower/inspect/reading.py says of LearnedState."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/").removesuffix(f"/{METADATA}")
        self.metadata = _metadata(self.uri)
        self._files = StateFiles(self.uri)
        self._learn = self._operator(LEARN_AND_RECOMMEND)
        self._tower = self._operator(TRAIN_ITEM_TOWER)
        self._opened: dict[tuple[str, int], RocksState | FullState] = {}

    def __enter__(self) -> "OpenedState":
        return self

    def __exit__(self, *exception: object) -> None:
        for subtask in self._opened.values():
            subtask.close()
        self._opened.clear()
        self._files.close()

    # ---- users -----------------------------------------------------------------------------------

    def users(self) -> Iterator[StoredUser]:
        wide = self._learn.max_parallelism > WIDE_FROM
        for subtask in self._subtasks(self._learn):
            timed = _has_time(subtask, USER)
            for key, value in subtask.entries(USER):
                yield _user(_user_id(text_of_key(key, wide)), value, timed)

    def user(self, user_id: str) -> StoredUser | None:
        group = self.key_group_of(user_id)
        for n, state in enumerate(self._learn.keyed):
            if group in state.groups:
                subtask = self._subtask(self._learn, n)
                value = subtask.get(USER, key_bytes(user_key_of(user_id), self._learn.max_parallelism))
                if value is not None:
                    return _user(user_id, value, _has_time(subtask, USER))
        return None

    def users_estimate(self) -> int | None:
        counts = [subtask.size_of(USER)[1] for subtask in self._subtasks(self._learn)]
        return None if None in counts else sum(count for count in counts if count is not None)

    def key_group_of(self, user_id: str) -> int:
        return key_group_of(user_key_of(user_id), self._learn.max_parallelism)

    # ---- the item tower --------------------------------------------------------------------------

    def progress(self) -> bytes | None:
        for subtask in self._subtasks(self._tower):
            for _, value in subtask.entries(PROGRESS):
                return pickled_bytes(value, TIME if _has_time(subtask, PROGRESS) else 0)
        return None

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        return self._map(BLOCKS)

    def catalogue(self) -> Iterator[tuple[int, bytes]]:
        return self._map(CATALOGUE)

    def log(self) -> Iterator[tuple[int, bytes]]:
        return self._map(LOG)

    def _map(self, name: str) -> Iterator[tuple[int, bytes]]:
        """Key and value of a MapState of LONG keys, of the one key that the tower has."""
        for subtask in self._subtasks(self._tower):
            for key, value in subtask.entries(name):
                if value[:1] != b"\0":
                    raise foreign(f"{TRAIN_ITEM_TOWER}: an entry of {name!r} that is null was not expected")
                yield int.from_bytes(key[-MAP_KEY:], "big", signed=True), pickled_bytes(value, 1)

    # ---- the rest --------------------------------------------------------------------------------

    def announcements(self) -> Mapping[str, bytes]:
        return broadcast_of(self._learn, ITEM_SNAPSHOTS, self._files)

    def offsets(self) -> Mapping[tuple[str, int], int]:
        return dict(sorted(each for operator in self.metadata.operators for each in offsets_of(operator, self._files)))

    def sizes(self) -> list[StateSize]:
        found: dict[tuple[str, str], StateSize] = {}
        for operator in self.metadata.operators:
            uid = operator.uid or operator.name
            for state in operator.lists:
                kind = "broadcast" if state.mode == BROADCAST else "list"
                entries = None if state.mode == BROADCAST else len(state.offsets)
                _add(found, StateSize(uid, state.name, kind, state.file.size, entries))
            for subtask in self._subtasks(operator):
                for each in subtask.description.states:
                    size, count = subtask.size_of(each.name)
                    _add(found, StateSize(uid, each.name, each.kind, size, count))
        return list(found.values())

    # ---- opening ---------------------------------------------------------------------------------

    def _operator(self, uid: str) -> OperatorInState:
        for operator in self.metadata.operators:
            if operator.uid == uid:
                return operator
        uids = ", ".join(sorted(each.uid for each in self.metadata.operators if each.uid)) or "none"
        raise InspectError(
            "LT-INS-102",
            f"{self.uri} is another job's: it has no operator {uid}, only {uids}",
            "Name a checkpoint or savepoint of Livetower's job",
        )

    def _subtasks(self, operator: OperatorInState) -> Iterator[RocksState | FullState]:
        for n in range(len(operator.keyed)):
            yield self._subtask(operator, n)

    def _subtask(self, operator: OperatorInState, n: int) -> RocksState | FullState:
        place = (operator.uid, n)
        if place not in self._opened:
            state, what = operator.keyed[n], f"{self.uri}: {operator.uid}, subtask {n + 1} of {len(operator.keyed)}"
            if isinstance(state, RocksFiles):
                self._opened[place] = RocksState(self._files, state, operator.max_parallelism, what)
            else:
                self._opened[place] = FullState(self._files, state, operator.max_parallelism, what)
        return self._opened[place]


def _metadata(uri: str) -> Metadata:
    try:
        return read_metadata(read_file(uri, METADATA))
    except FileNotFoundError as error:
        raise InspectError(
            "LT-INS-101",
            f"{uri} has no {METADATA}: it is no checkpoint or savepoint, or was never completed",
            "`livetower inspect ls` shows those below a directory",
        ) from error
    except OSError as error:
        raise InspectError("LT-INS-105", f"{uri}/{METADATA} cannot be read: {error}", "Check the path") from error
    except UnreadableMetadata as error:
        raise InspectError(
            "LT-INS-109", f"{uri}/{METADATA} is broken: {error}", "Take another checkpoint or savepoint"
        ) from error


def _has_time(subtask: RocksState | FullState, name: str) -> bool:
    return any(state.name == name and state.has_time_to_live for state in subtask.description.states)


def _user(user_id: str, value: bytes, timed: bool) -> StoredUser:
    if timed:
        return StoredUser(user_id, pickled_bytes(value, TIME), int.from_bytes(value[:TIME], "big"))
    return StoredUser(user_id, pickled_bytes(value, 0), None)


def _user_id(key: str) -> str:
    try:
        return base64.b64decode(key).decode()
    except (binascii.Error, UnicodeError) as error:
        raise foreign(f"a user's key in base64 was needed; got {key!r}") from error


def _add(found: dict[tuple[str, str], StateSize], more: StateSize) -> None:
    """Sum up what the subtasks hold of one state."""
    place = (more.uid, more.name)
    if (before := found.get(place)) is not None:
        entries = None if before.entries is None or more.entries is None else before.entries + more.entries
        more = StateSize(more.uid, more.name, more.kind, before.bytes_ + more.bytes_, entries)
    found[place] = more
