"""Reads the `_metadata` of a checkpoint or savepoint: which operators it holds, and which files it needs.

The layout is Flink's own, versions 5 and 6 (flink-runtime, package o.a.f.runtime.checkpoint.metadata), big-endian:

    magic 4960672d, version, checkpoint id, master states, operators, then the checkpoint's properties
    an operator: name, uid, 16 bytes id, parallelism, max parallelism, coordinator state, subtasks
    a subtask: index, managed and raw operator state, managed and raw keyed state, channel states (none of ours)

A state lies in a file (its URI, or its name beside `_metadata`, and its size) or, when it is small, in `_metadata`
itself. Keyed state is either one stream with an offset for each key group (a canonical savepoint) or the files of a
RocksDB directory (all else). No Java is needed to read it, and nothing in it is unpickled. Which of the files are there
is found_state.py's; what the files say is livetower/inspect's.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

MAGIC: Final = 0x4960672D
VERSIONS: Final = (5, 6)
MOST_GROUPS: Final = 1 << 15
"""Flink's largest max parallelism."""
MASTER_MAGIC: Final = 0xC96B1696
JAVA_STREAM: Final = b"\xac\xed"
"""What the properties, a Java object, begin with. It is not read, only searched for two names."""
SAVEPOINT_TYPE: Final = b"org.apache.flink.runtime.checkpoint.SavepointType"
NATIVE: Final = b"t\x00\x06NATIVE"
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


@dataclass(frozen=True, slots=True)
class ListState:
    """An operator state of one subtask: where its elements, or its copy of a broadcast state, begin in a file."""

    name: str
    mode: int  # 0 split, 1 union, 2 broadcast
    offsets: tuple[int, ...]
    file: StateFile


@dataclass(frozen=True, slots=True)
class StreamedGroups:
    """Keyed state of one subtask as one stream: every entry of a key group, then the next group's."""

    first_group: int
    offsets: tuple[int, ...]  # of each key group from the first on; 0 for one without entries
    file: StateFile
    of_savepoint: bool  # else the heap backend wrote it, in a layout of its own

    @property
    def groups(self) -> range:
        return range(self.first_group, self.first_group + len(self.offsets))


@dataclass(frozen=True, slots=True)
class RocksFiles:
    """Keyed state of one subtask as the files of a RocksDB directory."""

    groups: range  # the files may hold entries of others, which a change of parallelism left behind
    description: StateFile  # names and serializers of the states
    files: tuple[tuple[str, StateFile], ...]  # name in the directory, and where it is
    shared: int  # so many of them, the first ones, belong to several checkpoints


@dataclass(slots=True)
class OperatorInState:
    """What a checkpoint holds of one operator."""

    name: str
    uid: str  # '' for one that has none of its own
    parallelism: int
    max_parallelism: int
    files: list[StateFile] = field(default_factory=list)  # of all its states, bytes in _metadata among them
    broadcast: list[BroadcastState] = field(default_factory=list)
    lists: list[ListState] = field(default_factory=list)  # managed operator state of all subtasks, broadcast among it
    keyed: list[StreamedGroups | RocksFiles] = field(default_factory=list)  # managed keyed state of all subtasks


@dataclass(frozen=True, slots=True)
class Metadata:
    """The content of a `_metadata` file."""

    checkpoint_id: int
    operators: tuple[OperatorInState, ...]
    is_savepoint: bool = False
    savepoint_format: str = ""  # 'canonical' or 'native'; '' for a checkpoint

    @property
    def kind(self) -> str:
        """'canonical savepoint', 'native savepoint', 'incremental checkpoint' or 'full checkpoint'."""
        if self.is_savepoint:
            return f"{self.savepoint_format} savepoint"
        keyed = [state for operator in self.operators for state in operator.keyed]
        shares = any(isinstance(state, RocksFiles) and state.shared for state in keyed)
        return "incremental checkpoint" if shares else "full checkpoint"

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
    properties = data.rest()
    is_savepoint = SAVEPOINT_TYPE in properties
    written_as = "native" if NATIVE in properties else "canonical"
    return Metadata(checkpoint_id, operators, is_savepoint, written_as if is_savepoint else "")


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

    def rest(self) -> bytes:
        return self._blob[self._at :]

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

    def count_of_groups(self) -> int:
        """How many key groups: a number only, nothing of them follows."""
        if not 0 < (groups := self.int32()) <= MOST_GROUPS:
            raise UnreadableMetadata(f"{groups} key groups at byte {self._at - 4}")
        return groups

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
            if self.int32():
                found.lists += self._operator_state(found)
            if self.int32():
                self._operator_state(found)  # raw: none of ours
            if (managed := self._keyed_state(found)) is not None:
                found.keyed.append(managed)
            self._keyed_state(found)  # raw
            for _ in range(2):
                if self.count():
                    raise UnreadableMetadata("it holds the content of channels, which an aligned checkpoint never does")
        return found

    # ---- states ------------------------------------------------------------------------------

    def _operator_state(self, found: OperatorInState) -> list[ListState]:
        kind = self.byte()
        if kind == NOTHING:
            return []
        if kind != OPERATOR_STATE:
            raise UnreadableMetadata(f"an operator state of the unknown kind {kind} at byte {self._at - 1}")
        named = []
        for _ in range(self.count()):
            name, mode = self.text(), self.byte()
            named.append((name, mode, tuple(self.int64() for _ in range(self.count()))))
        file = self._stream(found)
        if file is None:
            return []
        found.broadcast += [
            BroadcastState(name, offset, file)
            for name, mode, offsets in named
            if mode == BROADCAST
            for offset in offsets
        ]
        return [ListState(name, mode, offsets, file) for name, mode, offsets in named]

    def _keyed_state(self, found: OperatorInState) -> StreamedGroups | RocksFiles | None:
        kind = self.byte()
        if kind == NOTHING:
            return None
        if kind in (KEY_GROUPS, KEY_GROUPS_2, SAVEPOINT_KEY_GROUPS):
            first, offsets, file = self._key_groups(found)
            if kind == KEY_GROUPS_2:
                self.text()
            if file is None:
                return None
            return StreamedGroups(first, offsets, file, of_savepoint=kind == SAVEPOINT_KEY_GROUPS)
        if kind not in (INCREMENTAL, INCREMENTAL_2):
            raise UnreadableMetadata(f"a keyed state of the unknown kind {kind} at byte {self._at - 1}")
        self.int64()  # the checkpoint it belongs to
        self.text()  # the backend
        first, groups = self.int32(), self.count_of_groups()
        if kind == INCREMENTAL_2:
            self.int64()  # size
        description = self._stream(found)
        shared, own = self._named_files(found), self._named_files(found)
        if kind == INCREMENTAL_2:
            self.text()
        if description is None:
            raise UnreadableMetadata(f"a keyed state without its description at byte {self._at}")
        return RocksFiles(range(first, first + groups), description, tuple(shared + own), len(shared))

    def _named_files(self, found: OperatorInState) -> list[tuple[str, StateFile]]:
        """Files of a RocksDB directory by their names there."""
        files = []
        for _ in range(self.count()):
            name, file = self.text(), self._stream(found)
            if file is not None:
                files.append((name, file))
        return files

    def _key_groups(self, found: OperatorInState) -> tuple[int, tuple[int, ...], StateFile | None]:
        first = self.int32()
        offsets = tuple(self.int64() for _ in range(self.count()))
        return first, offsets, self._stream(found)

    def _stream(self, found: OperatorInState) -> StateFile | None:
        """The file or the bytes that follow, noted with the operator."""
        kind = self.byte()
        if kind == NOTHING:
            return None
        if kind == KEY_GROUPS:
            return self._key_groups(found)[2]
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
