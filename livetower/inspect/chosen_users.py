"""Users by simple conditions, in an order, some of them: a scan over columns that keeps what it must and no more."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import translate
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from livetower.inspect.reading import LearnedState
from livetower.inspect.user_columns import NO_TIME, UserColumns, column_batches
from livetower.progress import progress_bars

FIRST_BATCH: Final = 64
"""Users of a batch when the scan may end early: the first twenty need not wait for four thousand."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which users, and how many of them in which order."""

    at_ms: int
    pattern: str | None = None
    min_events: int = 0
    older_ms: int | None = None
    not_finite: bool = False
    order: str | None = None
    ascending: bool = False
    limit: int = 20
    """0: all."""


def chosen_users(
    state: LearnedState, wanted: Wanted, unreadable: Callable[[str, str], None]
) -> Iterator[dict[str, Any]]:
    """The users as programs want them. `unreadable` hears the id of a state that cannot be read, and why.

    Equal keys stand by user id. A norm that is not a number counts as infinite.
    """
    best: list[tuple[float, str, dict[str, Any]]] = []
    given = 0
    for columns in _batches(state, wanted):
        for user_id, cause in columns.unreadable:
            unreadable(user_id, cause)
        rows = np.flatnonzero(_mask(columns, wanted))
        if wanted.order is None:
            for user in _users(columns, rows[: wanted.limit - given] if wanted.limit else rows, wanted.at_ms):
                given += 1
                yield user
            if wanted.limit and given >= wanted.limit:
                return
            continue
        keys = _keys(columns, wanted)[rows]
        if wanted.limit and len(rows) > wanted.limit:  # no more than the best of this batch, with those that equal them
            last = np.partition(keys, wanted.limit - 1)[wanted.limit - 1]
            rows, keys = rows[keys <= last], keys[keys <= last]
        found = _users(columns, rows, wanted.at_ms)
        best += [(key, user["user_id"], user) for key, user in zip(keys.tolist(), found, strict=True)]
        if wanted.limit and len(best) > 2 * wanted.limit:
            best = sorted(best, key=lambda each: each[:2])[: wanted.limit]
    for _, _, user in sorted(best, key=lambda each: each[:2])[: wanted.limit or None]:
        yield user


def _batches(state: LearnedState, wanted: Wanted) -> Iterator[UserColumns]:
    """All users as columns, with progress on stderr where it is a terminal."""
    sizes = {"size": FIRST_BATCH} if wanted.order is None and wanted.limit else {}
    read = 0
    with progress_bars() as begin:
        update = begin("users", state.users_estimate() or 0)
        for columns in column_batches(state.users(), **sizes):
            yield columns
            read += len(columns)
            update(read)


def _mask(columns: UserColumns, wanted: Wanted) -> NDArray[np.bool_]:
    """Which users of a batch are wanted (n,)."""
    mask: NDArray[np.bool_] = columns.user_seq >= wanted.min_events
    if wanted.older_ms is not None:
        mask &= wanted.at_ms - columns.newest_event_ms > wanted.older_ms
    if wanted.not_finite:
        mask &= ~columns.finite
    if wanted.pattern is not None:
        matches = re.compile(translate(wanted.pattern)).match
        mask &= np.fromiter((matches(user_id) is not None for user_id in columns.ids), np.bool_, len(columns))
    return mask


def _keys(columns: UserColumns, wanted: Wanted) -> NDArray[np.float64]:
    """What the users of a batch are ordered by (n,), the wanted ones first when it ascends."""
    keys: NDArray[Any]
    if wanted.order == "norm":
        keys = np.nan_to_num(columns.norms, nan=np.inf, posinf=np.inf)
    elif wanted.order == "events":
        keys = columns.user_seq
    elif wanted.order == "age":
        keys = -columns.newest_event_ms
    elif wanted.order == "consumed":
        keys = columns.consumed_count
    else:
        keys = columns.blob_bytes
    signed: NDArray[np.float64] = keys.astype(np.float64) * (1 if wanted.ascending else -1)
    return signed


def _users(columns: UserColumns, rows: NDArray[np.int64], at_ms: int) -> list[dict[str, Any]]:
    """Some users of a batch as programs want them."""
    names = ("user_since_ms", "newest_event_ms", "positives", "late", "no_table", "forgotten")
    numbers = {name: columns.number(name)[rows].tolist() for name in names}
    numbers |= {
        "events": columns.user_seq[rows].tolist(),
        "norm": columns.norms[rows].tolist(),
        "finite": columns.finite[rows].tolist(),
        "consumed": columns.consumed_count[rows].tolist(),
        "bytes": columns.blob_bytes[rows].tolist(),
        "age_ms": (at_ms - columns.newest_event_ms[rows]).tolist(),
        "touched_ms": [None if ms == NO_TIME else ms for ms in columns.touched_ms[rows].tolist()],
    }
    return [
        {"user_id": columns.ids[row], **{name: values[n] for name, values in numbers.items()}}
        for n, row in enumerate(rows.tolist())
    ]
