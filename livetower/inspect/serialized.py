"""Flink's bytes for keys and values, read without Java, and without running a pickle.

    key           1 or 2 bytes key group, 1 byte mask of the row, the text, 1 byte namespace; of a map 8 bytes more
    text          number of UTF-16 units + 1, then the units, all as varints
    value         8 bytes time of the last update if it has a time to live; of a map 1 byte 'is null'; the bytes
    the bytes     4 bytes length, then a pickle of `bytes`
    key group     murmur(hash of the row) modulo the max parallelism

All numbers are big-endian. Sources: RowSerializer, StringValue, TtlSerializer, BytePrimitiveArraySerializer, RowUtils,
MathUtils and KeyGroupRangeAssignment of Flink 2.2.
"""

from typing import Final

from livetower.inspect.errors import InspectError

WIDE_FROM: Final = 128
"""Above this max parallelism a key group takes two bytes."""
MAP_KEY: Final = 8
TIME: Final = 8
_WORD = 0xFFFFFFFF

# The opcodes of a pickle that carries bytes and does nothing else.
PROTO, FRAME, SHORT_BINBYTES, BINBYTES, BINBYTES8, MEMOIZE, STOP = 0x80, 0x95, 0x43, 0x42, 0x8E, 0x94, 0x2E


def foreign(what: str) -> InspectError:
    """Bytes that are not what our job writes."""
    return InspectError("LT-INS-201", what, "Another job wrote this state, or it is damaged: nothing of it was run")


# ---- keys ----------------------------------------------------------------------------------------


def group_bytes(group: int, max_parallelism: int) -> bytes:
    r"""How the keys of a key group begin.

    >>> group_bytes(5, 128), group_bytes(5, 720)
    (b'\x05', b'\x00\x05')
    """
    return group.to_bytes(2 if max_parallelism > WIDE_FROM else 1, "big")


def key_bytes(text: str, max_parallelism: int) -> bytes:
    """The key of a row of one text, in the key group it belongs to, of a state that is no map."""
    units = text.encode("utf-16-be")
    numbers = [len(units) // 2 + 1, *(units[n] << 8 | units[n + 1] for n in range(0, len(units), 2))]
    prefix = group_bytes(key_group_of(text, max_parallelism), max_parallelism)
    return prefix + b"\0" + b"".join(map(_varint, numbers)) + b"\0"


def text_of_key(key: bytes, wide: bool) -> str:
    """The text of such a key; `wide` if its key group takes two bytes. Raises InspectError."""
    at = 3 if wide else 2  # behind the key group and the mask
    size = key[at] - 1 if at < len(key) else -1
    if len(key) == at + size + 2 and size < 127:  # one byte a unit
        return key[at + 1 : -1].decode("latin-1")
    try:
        units, at = _read_varint(key, at)
        text = bytearray()
        for _ in range(units - 1):
            unit, at = _read_varint(key, at)
            text += unit.to_bytes(2, "big")
        if at + 1 != len(key):
            raise foreign(f"a key of one text was needed; got {key[:32]!r}")
        return text.decode("utf-16-be")
    except (IndexError, OverflowError, UnicodeDecodeError) as error:
        raise foreign(f"a key of one text was needed; got {key[:32]!r}") from error


def key_group_of(text: str, max_parallelism: int) -> int:
    """The key group of a row of one text.

    RowUtils: hash = 31 (31 · kind + 1) + 31 + hash of the text, with kind 0 for INSERT; then MathUtils.murmurHash.
    """
    units = text.encode("utf-16-be")
    code = 0
    for n in range(0, len(units), 2):
        code = (31 * code + (units[n] << 8 | units[n + 1])) & _WORD
    return _murmur((62 + code) & _WORD) % max_parallelism


def _murmur(code: int) -> int:
    """Flink's MathUtils.murmurHash of 32 bits: not negative."""
    code = code * 0xCC9E2D51 & _WORD
    code = (code << 15 | code >> 17) & _WORD
    code = code * 0x1B873593 & _WORD
    code = (code << 13 | code >> 19) & _WORD
    code = (code * 5 + 0xE6546B64) & _WORD
    code ^= 4
    code = (code ^ code >> 16) * 0x85EBCA6B & _WORD
    code = (code ^ code >> 13) * 0xC2B2AE35 & _WORD
    code ^= code >> 16
    signed = code - (code >> 31 << 32)
    return 0 if signed == -(1 << 31) else abs(signed)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


# ---- values --------------------------------------------------------------------------------------


def pickled_bytes(value: bytes, at: int) -> bytes:
    """The bytes inside a length and a pickle of `bytes` that begin there and fill the rest. Raises InspectError."""
    end = len(value)
    if int.from_bytes(value[at : at + 4], "big") != end - at - 4:
        raise foreign(f"a value of {end} bytes says {value[at : at + 4].hex()} of its length at byte {at}")
    # What Python 3.8 and later writes for up to 64 KiB: one frame around all, protocol 4 or 5.
    if value[at + 4 : at + 5] == b"\x80" and value[at + 6 : at + 7] == b"\x95" and value[end - 2 :] == b"\x94.":
        kind = value[at + 15]
        if kind == BINBYTES and int.from_bytes(value[at + 16 : at + 20], "little") == end - at - 22:
            return value[at + 20 : end - 2]
        if kind == SHORT_BINBYTES and value[at + 16] == end - at - 19:
            return value[at + 17 : end - 2]
    return unpickled(value[at + 4 :])


def unpickled(pickle: bytes) -> bytes:
    """The bytes inside a pickle that holds bytes and nothing else; nothing is run. Raises InspectError."""
    at, found = 0, None
    while at < len(pickle):
        opcode = pickle[at]
        at += 1
        if opcode == PROTO:
            at += 1
        elif opcode == FRAME:
            at += 8
        elif opcode in _LENGTHS and found is None:
            width = _LENGTHS[opcode]
            size = int.from_bytes(pickle[at : at + width], "little")
            at += width
            found = pickle[at : at + size]
            at += size
        elif opcode == STOP and found is not None and at == len(pickle):
            return found
        elif opcode != MEMOIZE or found is None:
            raise foreign(f"a pickle of bytes was needed; got the opcode {opcode:#04x} at byte {at - 1}")
    raise foreign(f"a pickle of bytes was needed; it ends too early, after {len(pickle)} bytes")


_LENGTHS: Final = {SHORT_BINBYTES: 1, BINBYTES: 4, BINBYTES8: 8}
