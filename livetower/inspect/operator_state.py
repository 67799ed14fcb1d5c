"""Operator state: the broadcast state item-snapshots, and where the Kafka sources stand.

A source keeps one list, SourceReaderState: an element is its length, the serializer's version (4 bytes), a length, and
then, in KafkaPartitionSplitSerializer's version 0, topic, partition, the offset that is read next, and where to stop.
"""

import struct
from collections.abc import Iterator
from typing import Final

from livetower.inspect.errors import InspectError
from livetower.inspect.state_files import StateFiles
from livetower.operations.announced import entries_at
from livetower.operations.metadata import BROADCAST, OperatorInState, UnreadableMetadata

READERS: Final = "SourceReaderState"
SPLIT_VERSION: Final = 0
DAMAGED: Final = "Another version of Flink or of its Kafka connector wrote this, or it is damaged"


def offsets_of(operator: OperatorInState, files: StateFiles) -> Iterator[tuple[tuple[str, int], int]]:
    """Topic and partition, and the next offset, of every partition that a source reads; negative: not read yet (-1
    from the end, -2 from the beginning, -3 from where the group is). Raises InspectError.
    """
    for state in operator.lists:
        if state.name == READERS:
            content = files.read(state.file)
            for offset in state.offsets:
                yield _split_at(content, offset, operator.uid)


def broadcast_of(operator: OperatorInState, name: str, files: StateFiles) -> dict[str, bytes]:
    """A broadcast state, of which every subtask has the same copy. Raises InspectError."""
    for state in operator.lists:
        if state.name == name and state.mode == BROADCAST and state.offsets:
            try:
                return dict(entries_at(files.read(state.file), state.offsets[0]))
            except (UnreadableMetadata, UnicodeDecodeError, OverflowError, IndexError) as error:
                raise InspectError(
                    "LT-INS-202", f"{operator.uid}: its broadcast state {name!r} cannot be read: {error}", DAMAGED
                ) from error
    return {}


def _split_at(content: bytes, at: int, uid: str) -> tuple[tuple[str, int], int]:
    try:
        _, version, _, name_size = struct.unpack_from(">iiiH", content, at)
        if version != SPLIT_VERSION:
            raise InspectError("LT-INS-202", f"{uid}: a split in version 0 was needed; got {version}", DAMAGED)
        at += 14
        topic = content[at : at + name_size].decode()
        partition, offset = struct.unpack_from(">iq", content, at + name_size)
    except (struct.error, UnicodeDecodeError) as error:
        raise InspectError("LT-INS-202", f"{uid}: a Kafka split at byte {at} cannot be read", DAMAGED) from error
    return (topic, partition), offset
