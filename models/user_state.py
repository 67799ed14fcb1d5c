"""What Livetower knows of one user, and its bytes in Flink's keyed state.

The state is one immutable value; `advance` makes the next one. Layout of the blob, version 1, little-endian, no
padding:

    offset  size        field
    0       4           magic b"LTU1" (the digit is the version)
    4       2           k, length of the embedding
    6       1           R, recent items held
    7       1           T, items in the last list
    8       2           C, consumed items held
    10      2           D, event ids held against repetition
    12      4           class counter: positive events learned
    16      8           user_since_ms: Kafka timestamp of the first event of this state
    24      8           user_seq: accepted events, 1 after the first
    32      8           newest_event_ms: largest event_time_ms seen
    40      8           AdaGrad accumulator (float64)
    48      4           late: events older than newest_event_ms
    52      4           no_table: events before any item table
    56      4           forgotten: consumed items dropped at the bound
    60      4 k         embedding p_u (float32)
    ..      8 R         recent items, hash of item_id (int64), newest first
    ..      8 R         their event_time_ms (int64)
    ..      8 C         consumed items, hash of item_id (int64), oldest first
    ..      4 C         day (since 1970) on which each was consumed (uint32)
    ..      8 D         hash of the latest event ids (int64), oldest first
    ..      8 T         last list, hash of item_id (int64), best first

With k = 64, 20 recent items, 32 event ids and a list of 10 that is 972 bytes and 12 for each consumed item: 2,172 bytes
after 100 events, 13,260 at the bound of 1,024. Only learn-and-recommend reads it.
"""

import struct
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MAGIC: Final = b"LTU1"
INITIAL_ACCUMULATOR: Final = 1e-6
_HEADER: Final = struct.Struct("<4sHBBHHIqqqdIII")
_NO_IDS: Final[NDArray[np.int64]] = np.zeros(0, np.int64)
_NO_DAYS: Final[NDArray[np.uint32]] = np.zeros(0, np.uint32)
_NO_IDS.flags.writeable = _NO_DAYS.flags.writeable = False


class InvalidState(ValueError):
    """Bytes that are not a user state of a version this code reads, or a state of other settings."""


@dataclass(frozen=True, slots=True, eq=False)
class UserState:
    """One user. Arrays are read-only; equality compares every field bit for bit."""

    embedding: NDArray[np.float32]  # (k,)
    accumulator: float = INITIAL_ACCUMULATOR
    user_since_ms: int = 0
    user_seq: int = 0
    positives: int = 0
    newest_event_ms: int = 0
    late: int = 0
    no_table: int = 0
    forgotten: int = 0
    recent: NDArray[np.int64] = field(default_factory=lambda: _NO_IDS)  # (R,) newest first
    recent_ms: NDArray[np.int64] = field(default_factory=lambda: _NO_IDS)  # (R,)
    consumed: NDArray[np.int64] = field(default_factory=lambda: _NO_IDS)  # (C,) oldest first
    consumed_day: NDArray[np.uint32] = field(default_factory=lambda: _NO_DAYS)  # (C,)
    event_ids: NDArray[np.int64] = field(default_factory=lambda: _NO_IDS)  # (D,) oldest first
    last_list: NDArray[np.int64] = field(default_factory=lambda: _NO_IDS)  # (T,) best first

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, UserState):
            return NotImplemented
        return encode_user_state(self) == encode_user_state(other)

    __hash__ = None  # type: ignore[assignment]  # equality is by content, and nothing needs a state as a key


def new_user_state(dimension: int, since_ms: int) -> UserState:
    """The state of a user never seen: embedding (dimension,) of zeros."""
    embedding = np.zeros(dimension, np.float32)
    embedding.flags.writeable = False
    return UserState(embedding, user_since_ms=since_ms)


def encode_user_state(state: UserState) -> bytes:
    """The blob of the layout above."""
    s = state
    header = _HEADER.pack(
        MAGIC,
        len(s.embedding),
        len(s.recent),
        len(s.last_list),
        len(s.consumed),
        len(s.event_ids),
        s.positives,
        s.user_since_ms,
        s.user_seq,
        s.newest_event_ms,
        s.accumulator,
        s.late,
        s.no_table,
        s.forgotten,
    )
    arrays = (s.embedding, s.recent, s.recent_ms, s.consumed, s.consumed_day, s.event_ids, s.last_list)
    return header + b"".join([array.tobytes() for array in arrays])


def decode_user_state(blob: bytes) -> UserState:
    """The state in a blob; its arrays are views of the blob. Raises InvalidState."""
    if len(blob) < _HEADER.size or blob[:4] != MAGIC:
        raise InvalidState(
            f"a user state must start with {MAGIC!r} and hold {_HEADER.size} bytes or more; "
            f"got {len(blob)} bytes, {blob[:4]!r}"
        )
    _, k, n_recent, n_list, n_consumed, n_ids, positives, since, seq, newest, accumulator, late, no_table, forgotten = (
        _HEADER.unpack_from(blob)
    )
    needed = _HEADER.size + 4 * k + 16 * n_recent + 12 * n_consumed + 8 * (n_ids + n_list)
    if len(blob) != needed:
        raise InvalidState(f"a user state with these counts must have {needed} bytes; got {len(blob)}")
    at = _HEADER.size
    embedding = np.frombuffer(blob, "<f4", k, at)
    at += 4 * k
    recent = np.frombuffer(blob, "<i8", n_recent, at)
    at += 8 * n_recent
    recent_ms = np.frombuffer(blob, "<i8", n_recent, at)
    at += 8 * n_recent
    consumed = np.frombuffer(blob, "<i8", n_consumed, at)
    at += 8 * n_consumed
    consumed_day = np.frombuffer(blob, "<u4", n_consumed, at)
    at += 4 * n_consumed
    event_ids = np.frombuffer(blob, "<i8", n_ids, at)
    at += 8 * n_ids
    last_list = np.frombuffer(blob, "<i8", n_list, at)
    return UserState(
        embedding=embedding,
        accumulator=accumulator,
        user_since_ms=since,
        user_seq=seq,
        positives=positives,
        newest_event_ms=newest,
        late=late,
        no_table=no_table,
        forgotten=forgotten,
        recent=recent,
        recent_ms=recent_ms,
        consumed=consumed,
        consumed_day=consumed_day,
        event_ids=event_ids,
        last_list=last_list,
    )


def as_dict(state: UserState) -> dict[str, Any]:
    """Every field by its name, for people and for comparisons."""
    return {f.name: getattr(state, f.name) for f in fields(state)}
