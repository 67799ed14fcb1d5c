"""What Livetower knows of one user, and its bytes in Flink's keyed state.

The state is one immutable value; `advance` makes the next one. Layout of the blob, version 2, little-endian:

    offset  size        field
    0       4           magic b"LTU2" (the digit is the version)
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
    48      8           rating_sum: of all ratings' values (float64)
    56      4           rating_count
    60      4           late: events older than newest_event_ms
    64      4           no_table: events before any item table
    68      4           forgotten: consumed items dropped at the bound
    72      4           steps that Adam's moments have seen
    76      1           optimiser: whose moments these are (0 sgd, 1 adagrad, 2 adam)
    77      3           zeros
    80      8 R         recent items, hash of item_id (int64), newest first
    ..      8 R         their event_time_ms (int64)
    ..      8 C         consumed items, hash of item_id (int64), oldest first
    ..      8 D         hash of the latest event ids (int64), oldest first
    ..      8 T         last list, hash of item_id (int64), best first
    ..      4 k         embedding p_u (float32)
    ..      4 k         only under Adam: means of the gradient (float32) …
    ..      4 k         … and of its squares (float32)
    ..      4 C         day (since 1970) on which each consumed item was (uint32)

Numbers lie at multiples of their size, so kernels are compiled once for states new and stored. Version 1 had no
ratings and no optimiser but AdaGrad; it is read and never written.

With k = 64, 20 recent items, 32 event ids and a list of 10 that is 992 bytes and 12 for each consumed item: 2,192 bytes
after 100 events, 13,280 at the bound of 1,024; Adam takes 512 more. Only learn-and-recommend reads it.
"""

import struct
from dataclasses import dataclass, field, fields
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.optimisers import ADAGRAD, ADAM, INITIAL_SQUARES, SGD

MAGIC: Final = b"LTU2"
_HEADER: Final = struct.Struct("<4sHBBHHIqqqddIIIIIB3x")
_MAGIC_1: Final = b"LTU1"
_HEADER_1: Final = struct.Struct("<4sHBBHHIqqqdIII")
_NO_IDS: Final[NDArray[np.int64]] = np.zeros(0, np.int64)
_NO_DAYS: Final[NDArray[np.uint32]] = np.zeros(0, np.uint32)
_NO_MOMENTS: Final[NDArray[np.float32]] = np.zeros(0, np.float32)
_NO_IDS.flags.writeable = _NO_DAYS.flags.writeable = _NO_MOMENTS.flags.writeable = False


class InvalidState(ValueError):
    """Bytes that are not a user state of a version this code reads, or a state of other settings."""


@dataclass(frozen=True, slots=True, eq=False)
class UserState:
    """One user. Arrays are read-only; equality compares every field bit for bit."""

    embedding: NDArray[np.float32]  # (k,)
    accumulator: float = INITIAL_SQUARES
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
    rating_sum: float = 0.0
    rating_count: int = 0
    optimizer: int = ADAGRAD  # whose moments these are: accumulator is AdaGrad's, the two below are Adam's
    moments: NDArray[np.float32] = field(default_factory=lambda: _NO_MOMENTS)  # (2k,) means, variances; else (0,)
    steps: int = 0

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
        s.rating_sum,
        s.rating_count,
        s.late,
        s.no_table,
        s.forgotten,
        s.steps,
        s.optimizer,
    )
    ids = (s.recent, s.recent_ms, s.consumed, s.event_ids, s.last_list)
    arrays: tuple[Any, ...] = (*ids, s.embedding, s.moments, s.consumed_day)
    return b"".join([header, *arrays])  # from the arrays' own memory


class Header(NamedTuple):
    """What stands before the arrays of a blob."""

    magic: bytes
    k: int
    n_recent: int
    n_listed: int
    n_consumed: int
    n_event_ids: int
    positives: int
    user_since_ms: int
    user_seq: int
    newest_event_ms: int
    accumulator: float
    rating_sum: float
    rating_count: int
    late: int
    no_table: int
    forgotten: int
    steps: int
    optimizer: int

    @property
    def n_moments(self) -> int:
        """Length of Adam's moments."""
        return 2 * self.k if self.optimizer == ADAM else 0

    @property
    def recent(self) -> slice:
        """Where the recent items lie in the blob."""
        return slice(_HEADER.size, _HEADER.size + 8 * self.n_recent)

    @property
    def embedding(self) -> slice:
        """Where the embedding lies."""
        at = _HEADER.size + 16 * self.n_recent + 8 * (self.n_consumed + self.n_event_ids + self.n_listed)
        return slice(at, at + 4 * self.k)


def checked_blob(blob: bytes) -> tuple[bytes, Header]:
    """The blob in the newest layout and its header: for who reads the arrays from the bytes. Raises InvalidState."""
    if blob[:4] == _MAGIC_1:
        blob = encode_user_state(_decode_version_1(blob))
    return blob, _checked_header(blob)


def _checked_header(blob: bytes) -> Header:
    if len(blob) < _HEADER.size or blob[:4] != MAGIC:
        raise InvalidState(
            f"a user state must start with {MAGIC!r} and hold {_HEADER.size} bytes or more; "
            f"got {len(blob)} bytes, {blob[:4]!r}"
        )
    header = Header._make(_HEADER.unpack_from(blob))
    if header.optimizer not in (SGD, ADAGRAD, ADAM):
        raise InvalidState(f"a user state's optimiser must be in [0, 2]; got {header.optimizer}")
    _require_size(blob, header.embedding.stop + 4 * header.n_moments + 4 * header.n_consumed)
    return header


def decode_user_state(blob: bytes) -> UserState:
    """The state in a blob; its arrays are views of the blob. Raises InvalidState."""
    if blob[:4] == _MAGIC_1:
        return _decode_version_1(blob)
    header = _checked_header(blob)
    k, n_recent, n_consumed, n_ids = header.k, header.n_recent, header.n_consumed, header.n_event_ids
    # Two views, cut up: cutting costs a third of a view (np.frombuffer 270 ns, a slice 80).
    ids = np.frombuffer(blob, "<i8", 2 * n_recent + n_consumed + n_ids + header.n_listed, _HEADER.size)
    consumed_at = 2 * n_recent
    ids_at = consumed_at + n_consumed
    list_at = ids_at + n_ids
    floats_at = _HEADER.size + ids.nbytes
    floats = np.frombuffer(blob, "<f4", k + header.n_moments, floats_at)
    consumed_day = np.frombuffer(blob, "<u4", n_consumed, floats_at + floats.nbytes)
    return UserState(
        embedding=floats[:k],
        accumulator=header.accumulator,
        user_since_ms=header.user_since_ms,
        user_seq=header.user_seq,
        positives=header.positives,
        newest_event_ms=header.newest_event_ms,
        late=header.late,
        no_table=header.no_table,
        forgotten=header.forgotten,
        recent=ids[:n_recent],
        recent_ms=ids[n_recent:consumed_at],
        consumed=ids[consumed_at:ids_at],
        consumed_day=consumed_day,
        event_ids=ids[ids_at:list_at],
        last_list=ids[list_at:],
        rating_sum=header.rating_sum,
        rating_count=header.rating_count,
        optimizer=header.optimizer,
        moments=floats[k:],
        steps=header.steps,
    )


def _decode_version_1(blob: bytes) -> UserState:
    """The state that version 1 wrote: a shorter header, the embedding first, days before event ids. Its arrays are
    copies, since in the blob they do not lie at multiples of their size.
    """
    if len(blob) < _HEADER_1.size:
        raise InvalidState(f"a user state of version 1 must hold {_HEADER_1.size} bytes or more; got {len(blob)}")
    _, k, n_recent, n_list, n_consumed, n_ids, *numbers = _HEADER_1.unpack_from(blob)
    positives, since, seq, newest, accumulator, late, no_table, forgotten = numbers
    _require_size(blob, _HEADER_1.size + 4 * k + 16 * n_recent + 12 * n_consumed + 8 * (n_ids + n_list))
    arrays, at = [], _HEADER_1.size
    counts = (k, n_recent, n_recent, n_consumed, n_consumed, n_ids, n_list)
    for dtype, n in zip(("<f4", "<i8", "<i8", "<i8", "<u4", "<i8", "<i8"), counts, strict=True):
        array = np.frombuffer(blob, dtype, n, at).copy()
        array.flags.writeable = False
        at += array.nbytes
        arrays.append(array)
    embedding, recent, recent_ms, consumed, consumed_day, event_ids, last_list = arrays
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


def _require_size(blob: bytes, needed: int) -> None:
    if len(blob) != needed:
        raise InvalidState(f"a user state with these counts must have {needed} bytes; got {len(blob)}")


def as_dict(state: UserState) -> dict[str, Any]:
    """Every field by its name, for people and for comparisons."""
    return {f.name: getattr(state, f.name) for f in fields(state)}
