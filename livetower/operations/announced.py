"""The item snapshots that a checkpoint or savepoint names: the broadcast state `item-snapshots` of learn-and-recommend.

A broadcast state is written as its number of entries, then each key and value; here the key is a text in Flink's own
form (length + 1, then its UTF-16 units, all as varints) and the value a length and a pickle of `bytes`, which is
unwrapped and not run.
"""

from collections.abc import Iterator

from flink_jobs.topology import LEARN_AND_RECOMMEND
from livetower.operations.metadata import Metadata, UnreadableMetadata
from livetower.operations.places import read_file
from models.snapshots import Announcement, InvalidSnapshot, decode_announcement

STATE = "item-snapshots"


def announcements_in(uri: str, metadata: Metadata) -> list[Announcement]:
    """What the ranking would read after a restore: the full snapshot, its deltas, the popularity update.

    Every subtask holds the same; the first copy is read. Raises UnreadableMetadata, OSError.
    """
    copies = [
        broadcast
        for operator in metadata.operators
        if operator.uid == LEARN_AND_RECOMMEND
        for broadcast in operator.broadcast
        if broadcast.name == STATE
    ]
    if not copies:
        return []
    file = copies[0].file
    if file.content is not None:
        content = file.content
    elif file.relative:
        content = read_file(uri, file.path)
    else:
        content = read_file(*file.path.rsplit("/", 1))
    try:
        return [decode_announcement(value) for _, value in entries_at(content, copies[0].offset)]
    except (IndexError, InvalidSnapshot) as error:
        raise UnreadableMetadata(f"{uri}: its state {STATE!r} cannot be read: {error}") from error


def entries_at(content: bytes, at: int) -> Iterator[tuple[str, bytes]]:
    """Key and value of every entry of the broadcast state that begins there. Raises UnreadableMetadata, IndexError."""

    def varint() -> int:
        nonlocal at
        number = shift = 0
        while True:
            byte = content[at]
            at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def int32() -> int:
        nonlocal at
        at += 4
        return int.from_bytes(content[at - 4 : at], "big")

    for _ in range(int32()):
        units = [varint() for _ in range(varint() - 1)]
        key = b"".join(unit.to_bytes(2, "little") for unit in units).decode("utf-16-le")
        size = int32()
        if at + size > len(content):
            raise UnreadableMetadata(f"a value of {size} bytes at byte {at} of {len(content)}")
        yield key, unpickled_bytes(content[at : at + size])
        at += size


def unpickled_bytes(pickled: bytes) -> bytes:
    """The bytes inside a pickle of `bytes`, found without running it. Raises UnreadableMetadata."""
    at = 11 if pickled[2:3] == b"\x95" else 2  # protocol, and a frame with its length in 8 bytes
    kind = pickled[at : at + 1]
    if pickled[:1] == b"\x80" and kind == b"C":  # length in one byte
        size, at = pickled[at + 1], at + 2
    elif pickled[:1] == b"\x80" and kind == b"B":
        size, at = int.from_bytes(pickled[at + 1 : at + 5], "little"), at + 5
    else:
        raise UnreadableMetadata(f"a pickle of bytes was needed; got {pickled[:16]!r}")
    if at + size > len(pickled):
        raise UnreadableMetadata(f"a pickle of {size} bytes was needed; got {len(pickled) - at}")
    return pickled[at : at + size]
