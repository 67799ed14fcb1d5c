"""Keyed state as one stream: canonical savepoints. One object is one subtask.

    description, then a stream for each key group that has entries, at the offset which the metadata names
    a group's stream: number of a state (2 bytes), then its entries sorted by key: length, key, length, value
    the last entry of a state has the first bit of its key set; the next state's number follows, ffff after the last

A key group is read whole, and nothing else is kept: 1/128 of a subtask's state at the default max parallelism.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

from livetower.inspect.described_states import read_description
from livetower.inspect.errors import InspectError
from livetower.inspect.serialized import group_bytes
from livetower.inspect.snappy_frames import BrokenFrames, read_frames
from livetower.inspect.state_files import StateFiles
from livetower.operations.metadata import StreamedGroups

END: Final = 0xFFFF
LAST: Final = 0x80
SAMPLE_BYTES: Final = 16 << 20
"""Sizes are told from so many bytes of whole key groups."""
DESCRIPTION_BYTES: Final = 1 << 20


class FullState:
    """The keyed state of one subtask."""

    def __init__(self, files: StateFiles, state: StreamedGroups, max_parallelism: int, what: str) -> None:
        self.groups = state.groups
        self._what = what
        self._wide = len(group_bytes(0, max_parallelism))
        if not state.of_savepoint:
            raise InspectError(
                "LT-INS-108",
                f"{what}: the heap backend wrote this checkpoint, with state.backend.type: hashmap",
                "Take a savepoint of that job with `livetower savepoint`: canonical savepoints can be read",
            )
        self._path = files.on_this_machine(state.file)
        self._size = state.file.size
        self._offsets = state.offsets
        self._borders = sorted({offset for offset in state.offsets if offset} | {self._size})
        self._file = self._path.open("rb")
        head = self._file.read(min(self._borders[0], DESCRIPTION_BYTES))
        self.description = read_description(head, what)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def entries(self, name: str) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of every entry of a state, in the order of the keys. Raises InspectError."""
        if (number := self.description.number_of(name)) is None:
            return
        for group in self.groups:
            yield from self._entries_of(group, number)

    def get(self, name: str, key: bytes) -> bytes | None:
        """The value of a key; None if there is none. Raises InspectError."""
        number = self.description.number_of(name)
        group = int.from_bytes(key[: self._wide], "big")
        if number is None or group not in self.groups:
            return None
        return next((value for found, value in self._entries_of(group, number) if found == key), None)

    def size_of(self, name: str) -> tuple[int, int | None]:
        """Bytes of a state and its entries: told from a sample, exactly if all is smaller than that."""
        return self._sizes().get(self.description.number_of(name), (0, 0))

    def _sizes(self) -> dict[int | None, tuple[int, int | None]]:
        """Number of a state → bytes and entries, from some key groups for all."""
        counted: dict[int, list[int]] = {}
        read = 0
        total = self._size - self._borders[0]
        for group in self.groups:
            if read >= SAMPLE_BYTES:
                break
            for number, key, value in self._all_of(group):
                mine = counted.setdefault(number, [0, 0])
                mine[0] += len(key) + len(value) + 8
                mine[1] += 1
            read += self._length_of(group)
        scale = total / read if read else 0.0
        return {number: (round(size * scale), round(entries * scale)) for number, (size, entries) in counted.items()}

    def _entries_of(self, group: int, number: int) -> Iterator[tuple[bytes, bytes]]:
        for its_number, key, value in self._all_of(group):
            if its_number == number:
                yield key, value

    def _length_of(self, group: int) -> int:
        offset = self._offsets[group - self.groups.start]
        return self._borders[bisect_right(self._borders, offset)] - offset if offset else 0

    def _all_of(self, group: int) -> Iterator[tuple[int, bytes, bytes]]:
        """Number of the state, key and value of every entry of a key group. Raises InspectError."""
        if not (length := self._length_of(group)):
            return
        self._file.seek(self._offsets[group - self.groups.start])
        data = self._file.read(length)
        try:
            if self.description.compressed:
                data = read_frames(data)
            yield from _entries_in(data)
        except (BrokenFrames, struct.error, IndexError) as error:
            raise InspectError(
                "LT-INS-107",
                f"{self._what}: key group {group} in {self._path} cannot be read: {error}",
                "The file was changed or swapped: take another savepoint",
            ) from error


def _entries_in(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    length = struct.Struct(">I").unpack_from
    (state,) = struct.unpack_from(">H", data, 0)
    at = 2
    while state != END:
        (size,) = length(data, at)
        key, at = data[at + 4 : at + 4 + size], at + 4 + size
        (size,) = length(data, at)
        value, at = data[at + 4 : at + 4 + size], at + 4 + size
        if key[0] < LAST:
            yield state, key, value
            continue
        yield state, bytes((key[0] & ~LAST,)) + key[1:], value
        (state,) = struct.unpack_from(">H", data, at)
        at += 2
