"""Reads the `_metadata` of a checkpoint or savepoint: which operators it holds, and which files it needs.

The layout is Flink's own, versions 5 and 6 (flink-runtime, package o.a.f.runtime.checkpoint.metadata), big-endian:

    magic 4960672d, version, checkpoint id, master states, operators, then the checkpoint's properties
    an operator: name, uid, 16 bytes id, parallelism, max parallelism, coordinator state, subtasks
    a subtask: index, managed and raw operator state, managed and raw keyed state, channel states (none of ours)

A state lies in a file (its URI, or its name beside `_metadata`, and its size) or, when it is small, in `_metadata`
itself. No Java is needed to read it, and nothing in it is unpickled. Which of the files are there is verify.py's.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

MAGIC: Final = 0x4960672D
VERSIONS: Final = (5, 6)
MASTER_MAGIC: Final = 0xC96B1696
JAVA_STREAM: Final = b"\xac\xed"
"""What the properties, a Java object that is not read, begin with."""
BROADCAST: Final = 2
"""Mode of an operator state that every subtask holds in whole."""

# The byte in front of each kind of state.
NOTHING, BYTES, FILE, KEY_GROUPS, OPERATOR_STATE, INCREMENTAL, RELATIVE_FILE, SAVEPOINT_KEY_GROUPS = range(8)
INCREMENTAL_2, KEY_GROUPS_2 = 11, 12


class UnreadableMetadata(ValueError):
    """Bytes that are not, or not wholly, the metadata of a checkpoint that this reader knows."""


@dataclass(frozen=True, slots=True)
class StateFile:
    """A file that a state lies in, or the bytes themselves."""

    path: str  # URI, or with `relative` a name beside _metadata; of bytes in _metadata a name that no file has
    size: int
    relative: bool = False
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class BroadcastState:
    """Where one copy of a broadcast state begins."""

    name: str
    offset: int
    file: StateFile


@dataclass(slots=True)
class OperatorInState:
    """What a checkpoint holds of one operator."""

    name: str
    uid: str  # '' for one that has none of its own
    parallelism: int
    max_parallelism: int
    files: list[StateFile] = field(default_factory=list)  # of all its states, bytes in _metadata among them
    broadcast: list[BroadcastState] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Metadata:
    """The content of a `_metadata` file."""

    checkpoint_id: int
    operators: tuple[OperatorInState, ...]

    def files(self) -> Iterator[StateFile]:
        """Every file that a restore reads, once."""
        seen: set[str] = set()
        for operator in self.operators:
            for each in operator.files:
                if each.content is None and each.path not in seen:
                    seen.add(each.path)
                    yield each

    def uids_with_state(self) -> set[str]:
        """The uids whose operators hold a state: a job without one of them would refuse to start."""
        return {operator.uid for operator in self.operators if operator.uid and operator.files}


def read_metadata(blob: bytes) -> Metadata:
    """The content of a `_metadata` file. Raises UnreadableMetadata."""
    data = _Reader(blob)
    if not blob:
        raise UnreadableMetadata("it is empty")
    if (magic := data.int32()) != MAGIC:
        raise UnreadableMetadata(f"it must begin with {MAGIC:08x}; got {magic:08x}")
    if (version := data.int32()) not in VERSIONS:
        raise UnreadableMetadata(f"version 5 or 6 was needed, as Flink 2 writes it; got {version}")
    checkpoint_id = data.int64()
    for _ in range(data.count()):
        data.master_state()
    operators = tuple(data.operator() for _ in range(data.count()))
    if data.take(2) != JAVA_STREAM:
        raise UnreadableMetadata("after its operators no properties follow")
    return Metadata(checkpoint_id, operators)


class _Reader:
    """The bytes of `_metadata`, read from front to end."""

    def __init__(self, blob: bytes) -> None:
        self._blob = blob
        self._at = 0

    def take(self, size: int) -> bytes:
        if size < 0 or self._at + size > len(self._blob):
            raise UnreadableMetadata(f"it ends too early: {size} bytes were needed at byte {self._at}")
        self._at += size
        return self._blob[self._at - size : self._at]

    def byte(self) -> int:
        return self.take(1)[0]

    def int32(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def int64(self) -> int:
        return int.from_bytes(self.take(8), "big", signed=True)

    def count(self) -> int:
        """How many of something follow, each at least a byte."""
        number = int.from_bytes(self.take(4), "big", signed=True)
        if not 0 <= number <= len(self._blob):
            raise UnreadableMetadata(f"a count of {number} at byte {self._at - 4}")
        return number

    def text(self) -> str:
        (size,) = struct.unpack(">H", self.take(2))
        try:
            return self.take(size).decode()  # Java's modified UTF-8 is UTF-8 but for NUL and surrogates
        except UnicodeDecodeError as error:
            raise UnreadableMetadata(f"a text at byte {self._at - size} is not UTF-8") from error

    # ---- operators ---------------------------------------------------------------------------

    def master_state(self) -> None:
        if (magic := self.int32()) != MASTER_MAGIC:
            raise UnreadableMetadata(f"a master state must begin with {MASTER_MAGIC:08x}; got {magic:08x}")
        self.take(self.count())

    def operator(self) -> OperatorInState:
        name, uid = self.text(), self.text()
        self.take(16)  # its id, a hash of the uid
        found = OperatorInState(name, uid, self.int32(), self.int32())
        self._stream(found)  # the coordinator's
        subtasks = int.from_bytes(self.take(4), "big", signed=True)
        for _ in range(subtasks):  # a negative number: it has finished
            if int.from_bytes(self.take(4), "big", signed=True) < 0:
                continue  # the subtask has finished
            for _ in range(2):
                if self.int32():
                    self._operator_state(found)
            for _ in range(2):
                self._keyed_state(found)
            for _ in range(2):
                if self.count():
                    raise UnreadableMetadata("it holds the content of channels, which an aligned checkpoint never does")
        return found

    # ---- states ------------------------------------------------------------------------------

    def _operator_state(self, found: OperatorInState) -> None:
        kind = self.byte()
        if kind == NOTHING:
            return
        if kind != OPERATOR_STATE:
            raise UnreadableMetadata(f"an operator state of the unknown kind {kind} at byte {self._at - 1}")
        broadcast = []
        for _ in range(self.count()):
            name, mode = self.text(), self.byte()
            offsets = [self.int64() for _ in range(self.count())]
            if mode == BROADCAST:
                broadcast += [(name, offset) for offset in offsets]
        file = self._stream(found)
        if file is not None:
            found.broadcast += [BroadcastState(name, offset, file) for name, offset in broadcast]

    def _keyed_state(self, found: OperatorInState) -> None:
        kind = self.byte()
        if kind == NOTHING:
            return
        if kind in (KEY_GROUPS, KEY_GROUPS_2, SAVEPOINT_KEY_GROUPS):
            self._key_groups(found)
            if kind == KEY_GROUPS_2:
                self.text()
        elif kind in (INCREMENTAL, INCREMENTAL_2):
            self.int64()  # the checkpoint it belongs to
            self.text()  # the backend
            self.take(8)  # key groups
            if kind == INCREMENTAL_2:
                self.int64()  # size
            self._stream(found)
            for _ in range(2):  # files that checkpoints share, and this one's own
                for _ in range(self.count()):
                    self.text()
                    self._stream(found)
            if kind == INCREMENTAL_2:
                self.text()
        else:
            raise UnreadableMetadata(f"a keyed state of the unknown kind {kind} at byte {self._at - 1}")

    def _key_groups(self, found: OperatorInState) -> StateFile | None:
        self.int32()
        self.take(8 * self.count())
        return self._stream(found)

    def _stream(self, found: OperatorInState) -> StateFile | None:
        """The file or the bytes that follow, noted with the operator."""
        kind = self.byte()
        if kind == NOTHING:
            return None
        if kind == KEY_GROUPS:
            return self._key_groups(found)
        if kind == BYTES:
            name, content = self.text(), self.take(self.count())
            file = StateFile(name, len(content), content=content)
        elif kind == FILE:
            size = self.int64()
            file = StateFile(self.text(), size)
        elif kind == RELATIVE_FILE:
            name = self.text()
            file = StateFile(name, self.int64(), relative=True)
        else:
            raise UnreadableMetadata(f"a state of the unknown kind {kind} at byte {self._at - 1}")
        found.files.append(file)
        return file
