"""What tells the item tower to let go of a user: the hash of the user id, as bytes.

It travels in an example's place, behind all examples of the user, so that none can come after it. Layout: magic
b"LTE1" (the digit is the version), then the user's hash (int64, little-endian). What the tower does with it:
tower_stream.py.
"""

import struct
from typing import Final

MAGIC: Final = b"LTE1"
_LAYOUT: Final = struct.Struct("<4sq")


class InvalidErasure(ValueError):
    """Bytes that are not an erasure of a version this code reads."""


def encode_erasure(user: int) -> bytes:
    """The bytes of the layout above.

    >>> encode_erasure(-2).hex()
    '4c544531feffffffffffffff'
    """
    return _LAYOUT.pack(MAGIC, user)


def is_erasure(payload: bytes) -> bool:
    """Whether these bytes, where an example may stand, are an erasure."""
    return payload[:4] == MAGIC


def decode_erasure(blob: bytes) -> int:
    """The user's hash. Raises InvalidErasure.

    >>> decode_erasure(encode_erasure(-2))
    -2
    """
    if len(blob) != _LAYOUT.size or not is_erasure(blob):
        raise InvalidErasure(f"an erasure must be {MAGIC!r} and 8 bytes; got {len(blob)} bytes, {blob[:4]!r}")
    user: int = _LAYOUT.unpack(blob)[1]
    return user
