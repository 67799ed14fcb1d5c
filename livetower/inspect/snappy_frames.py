"""Flink's compressed key groups (execution.checkpointing.snapshot-compression): Snappy in its framing format.

A frame is its kind (1 byte), its length (3 bytes, little-endian) and its content: compressed (00) or plain (01) data
behind 4 bytes of checksum, or something to skip (80 to fe), the mark at the beginning (ff) among it. Source:
github.com/google/snappy, framing_format.txt.
"""

import pyarrow

COMPRESSED, PLAIN, FIRST_TO_SKIP = 0x00, 0x01, 0x80
HEAD, CHECKSUM = 4, 4


class BrokenFrames(ValueError):
    """Bytes that are not frames of Snappy, or end within one."""


def read_frames(data: bytes) -> bytes:
    """What was compressed. Raises BrokenFrames."""
    codec = pyarrow.Codec("snappy")
    parts: list[bytes] = []
    at = 0
    while at < len(data):
        kind, size = data[at], int.from_bytes(data[at + 1 : at + HEAD], "little")
        body = data[at + HEAD + CHECKSUM : at + HEAD + size]
        if at + HEAD + size > len(data):
            raise BrokenFrames(f"a frame of {size} bytes at byte {at} of {len(data)}")
        if kind == COMPRESSED:
            try:
                parts.append(codec.decompress(body, _size_of(body), asbytes=True))
            except (OSError, IndexError) as error:
                raise BrokenFrames(f"a frame at byte {at} cannot be decompressed") from error
        elif kind == PLAIN:
            parts.append(body)
        elif kind < FIRST_TO_SKIP:
            raise BrokenFrames(f"a frame of the unknown kind {kind:02x} at byte {at}")
        at += HEAD + size
    return b"".join(parts)


def _size_of(block: bytes) -> int:
    """The size before compression, which a block begins with as a varint."""
    size = shift = at = 0
    while True:
        size |= (block[at] & 0x7F) << shift
        if block[at] < 0x80:
            return size
        at, shift = at + 1, shift + 7
