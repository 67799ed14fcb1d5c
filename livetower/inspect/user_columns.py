"""Many users' blobs as columns: numbers of all of them at once, where a UserState each would take five times as long.

The blobs of a batch are joined; a header is a row of a structured array, and what follows it is gathered by offsets
(models/user_state.py has the layout, and `decode_user_state` is what every value here is tested against). Blobs of
version 1 are brought to version 2 first. A blob that cannot be read is named in `unreadable`, never raised.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from livetower.inspect.reading import StoredUser
from livetower.inspect.stored_tower import norms_of
from models.optimisers import ADAM
from models.user_state import MAGIC, InvalidState, decode_user_state, encode_user_state

BATCH: Final = 4_096
"""Users of one batch: at 2 KiB each, 8 MiB of blobs and as much of columns."""
NO_TIME: Final = -1
"""In `touched_ms`: without a time to live Flink does not keep it."""

_HEADER: Final = np.dtype(
    [
        ("magic", "S4"),
        ("k", "<u2"),
        ("n_recent", "u1"),
        ("n_list", "u1"),
        ("n_consumed", "<u2"),
        ("n_event_ids", "<u2"),
        ("positives", "<u4"),
        ("user_since_ms", "<i8"),
        ("user_seq", "<i8"),
        ("newest_event_ms", "<i8"),
        ("accumulator", "<f8"),
        ("rating_sum", "<f8"),
        ("rating_count", "<u4"),
        ("late", "<u4"),
        ("no_table", "<u4"),
        ("forgotten", "<u4"),
        ("steps", "<u4"),
        ("optimizer", "u1"),
        ("zeros", "V3"),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """Lists of different lengths: those of user n are values[offsets[n]:offsets[n + 1]]."""

    values: NDArray[Any]  # (offsets[-1],)
    offsets: NDArray[np.int64]  # (n + 1,)


@dataclass(frozen=True, eq=False)
class UserColumns:
    """n users; every array has a row for each, in the order of `ids`."""

    ids: Sequence[str]
    touched_ms: NDArray[np.int64]  # (n,) NO_TIME where Flink keeps none
    blob_bytes: NDArray[np.int64]  # (n,) as stored
    embedding: NDArray[np.float32]  # (n, k)
    header: NDArray[Any]  # (n,) structured
    unreadable: tuple[tuple[str, str], ...]
    """Id and cause of those without a row."""
    _blobs: NDArray[np.uint8]
    _at: NDArray[np.int64]  # (n,) where each blob begins

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def norms(self) -> NDArray[np.float64]:
        """Length of each embedding (n,)."""
        return norms_of(self.embedding)

    @property
    def user_seq(self) -> NDArray[np.int64]:
        """Accepted events (n,)."""
        return self.number("user_seq")

    @property
    def positives(self) -> NDArray[np.int64]:
        """Positive events learned (n,)."""
        return self.number("positives")

    @property
    def newest_event_ms(self) -> NDArray[np.int64]:
        """Largest event_time_ms seen (n,)."""
        return self.number("newest_event_ms")

    @property
    def user_since_ms(self) -> NDArray[np.int64]:
        """Kafka timestamp of the first event (n,)."""
        return self.number("user_since_ms")

    @property
    def consumed_count(self) -> NDArray[np.int64]:
        """Consumed items held (n,)."""
        return self.number("n_consumed")

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Whether embedding, accumulator and Adam's moments are all finite (n,)."""
        finite = np.isfinite(self.embedding).all(1) & np.isfinite(self.header["accumulator"])
        adam = np.flatnonzero(self.header["optimizer"] == ADAM)
        if len(adam):
            finite[adam] &= np.isfinite(self.moments().values.reshape(len(adam), -1)).all(1)
        return finite

    def number(self, name: str) -> NDArray[np.int64]:
        """A counter or time of the header as int64 (n,), by its name in models/user_state.py."""
        return self.header[name].astype(np.int64)

    # ---- lists -----------------------------------------------------------------------------------

    def recent(self) -> Ragged:
        """Hashes of the recent items, newest first."""
        return self._lists("n_recent", self._at + _HEADER.itemsize, "<i8")

    def recent_ms(self) -> Ragged:
        """Their event_time_ms."""
        return self._lists("n_recent", self._at + _HEADER.itemsize + 8 * self.number("n_recent"), "<i8")

    def consumed(self) -> Ragged:
        """Hashes of the consumed items, oldest first."""
        return self._lists("n_consumed", self._at + _HEADER.itemsize + 16 * self.number("n_recent"), "<i8")

    def consumed_day(self) -> Ragged:
        """Days since 1970 on which they were."""
        moments = np.where(self.header["optimizer"] == ADAM, 2, 0)
        floats = 4 * (1 + moments) * self.embedding.shape[1]
        return self._lists("n_consumed", _floats_at(self.header, self._at) + floats, "<u4")

    def moments(self) -> Ragged:
        """Adam's means, then its squares; empty under another optimiser."""
        adam, k = self.header["optimizer"] == ADAM, self.embedding.shape[1]
        offsets = np.zeros(len(self) + 1, np.int64)
        np.cumsum(np.where(adam, 2 * k, 0), out=offsets[1:])
        floats_at = _floats_at(self.header, self._at)[adam]
        return Ragged(_gather(self._blobs, floats_at + 4 * k, 8 * k).view("<f4").reshape(-1), offsets)

    def event_ids(self) -> Ragged:
        """Hashes of the latest event ids, oldest first."""
        before = 16 * self.number("n_recent") + 8 * self.number("n_consumed")
        return self._lists("n_event_ids", self._at + _HEADER.itemsize + before, "<i8")

    def last_list(self) -> Ragged:
        """Hashes of the last list, best first."""
        at = _floats_at(self.header, self._at) - 8 * self.number("n_list")
        return self._lists("n_list", at, "<i8")

    def _lists(self, counts: str, at: NDArray[np.int64], dtype: str) -> Ragged:
        lengths = self.number(counts)
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        # Blobs are whole multiples of 4 bytes: a window of the dtype begins at every fourth byte.
        size = np.dtype(dtype).itemsize
        places = max(0, (len(self._blobs) - size) // 4 + 1)
        windows: NDArray[Any] = np.ndarray((places,), dtype, self._blobs, strides=(4,))
        words = size // 4
        first = at // 4 - words * offsets[:-1]
        index = np.repeat(first, lengths) + np.arange(0, words * offsets[-1], words)
        return Ragged(windows[index], offsets)


def column_batches(users: Iterable[StoredUser], size: int = BATCH) -> Iterator[UserColumns]:
    """All users, some at a time, as columns of one dimension: that of the first one that can be read."""
    users, dimension = iter(users), None
    while batch := list(islice(users, size)):
        columns = user_columns(batch, dimension)
        if dimension is None and len(columns):
            dimension = columns.embedding.shape[1]
        yield columns


def user_columns(batch: Sequence[StoredUser], dimension: int | None = None) -> UserColumns:
    """The columns of some users; a state of another `dimension` (None: than the first one's) counts as unreadable."""
    blobs, unreadable = [user.blob for user in batch], {}
    for place, blob in enumerate(blobs):
        if blob[:4] != MAGIC or len(blob) < _HEADER.itemsize or len(blob) % 4:
            try:
                blobs[place] = encode_user_state(decode_user_state(blob))
            except InvalidState as error:
                unreadable[place] = str(error)
    if unreadable:
        return _without(batch, unreadable, dimension)
    lengths = np.fromiter(map(len, blobs), np.int64, len(blobs))
    at = np.cumsum(lengths) - lengths
    joined = np.frombuffer(b"".join(blobs), np.uint8)
    header = _gather(joined, at, _HEADER.itemsize).view(_HEADER)[:, 0]
    k = header["k"].astype(np.int64)
    if dimension is None:
        dimension = int(k[0]) if len(k) else 0
    wrong = (_needed_bytes(header) != lengths) | (header["optimizer"] > ADAM) | (k != dimension)
    for place in np.flatnonzero(wrong).tolist():
        unreadable[place] = _cause(blobs[place], dimension)
    if unreadable:
        return _without(batch, unreadable, dimension)
    return UserColumns(
        ids=[user.user_id for user in batch],
        touched_ms=np.array([NO_TIME if u.touched_ms is None else u.touched_ms for u in batch], np.int64),
        blob_bytes=np.array([len(user.blob) for user in batch], np.int64),
        embedding=_gather(joined, _floats_at(header, at), 4 * dimension).view("<f4"),
        header=header,
        unreadable=(),
        _blobs=joined,
        _at=at,
    )


def _without(batch: Sequence[StoredUser], unreadable: dict[int, str], dimension: int | None) -> UserColumns:
    """The columns of the others, and these ones named."""
    readable = [user for place, user in enumerate(batch) if place not in unreadable]
    columns = user_columns(readable, dimension)
    named = [(batch[place].user_id, cause) for place, cause in unreadable.items()]
    return UserColumns(
        ids=columns.ids,
        touched_ms=columns.touched_ms,
        blob_bytes=columns.blob_bytes,
        embedding=columns.embedding,
        header=columns.header,
        unreadable=(*named, *columns.unreadable),
        _blobs=columns._blobs,
        _at=columns._at,
    )


def _cause(blob: bytes, dimension: int) -> str:
    try:
        k = len(decode_user_state(blob).embedding)
    except InvalidState as error:
        return str(error)
    return f"a state of dimension {dimension} was needed, as the others are; got {k}"


def _needed_bytes(header: NDArray[Any]) -> NDArray[np.int64]:
    n = {name: header[name].astype(np.int64) for name in ("k", "n_recent", "n_list", "n_consumed", "n_event_ids")}
    floats = n["k"] * np.where(header["optimizer"] == ADAM, 3, 1)
    ids = 2 * n["n_recent"] + n["n_consumed"] + n["n_event_ids"] + n["n_list"]
    needed: NDArray[np.int64] = _HEADER.itemsize + 8 * ids + 4 * n["n_consumed"] + 4 * floats
    return needed


def _floats_at(header: NDArray[Any], at: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the embeddings begin."""
    n = {name: header[name].astype(np.int64) for name in ("n_recent", "n_list", "n_consumed", "n_event_ids")}
    ids = 2 * n["n_recent"] + n["n_consumed"] + n["n_event_ids"] + n["n_list"]
    where: NDArray[np.int64] = at + _HEADER.itemsize + 8 * ids
    return where


def _gather(blobs: NDArray[np.uint8], at: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
    """`size` bytes, a multiple of 4, from each of these places (n, size)."""
    words = blobs.view("<u4")
    index = (at // 4)[:, None] + np.arange(size // 4)
    return np.ascontiguousarray(words[index]).view(np.uint8)
