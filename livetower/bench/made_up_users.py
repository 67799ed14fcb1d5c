"""Users as they are after many events, made up: each a function of its number, with the sizes that real ones have."""

import numpy as np
from numpy.typing import NDArray

from models.hashing import hash_id
from models.settings import ModelSettings
from models.user_state import UserState

NEWEST_MS = 1_760_000_000_000
YEAR_MS = 365 * 86_400_000
DAY_MS = 86_400_000
EVENTS_MEDIAN, EVENTS_SPREAD = 85.0, 0.6
"""Of the log-normal number of events a user has: 102 in the mean, so that a blob has 2.2 KB at dimension 64."""


def user_name(number: int) -> str:
    """The id of a made-up user.

    >>> user_name(7)
    'user-0000007'
    """
    return f"user-{number:07d}"


def item_name(number: int) -> str:
    """The id of a made-up item.

    >>> item_name(7)
    'item-00007'
    """
    return f"item-{number:05d}"


def item_hashes(items: int) -> NDArray[np.int64]:
    """The hash of every made-up item: (items,) int64."""
    return np.array([hash_id(item_name(n)) for n in range(items)], np.int64)


def made_up_user(number: int, hashes: NDArray[np.int64], model: ModelSettings) -> UserState:
    """The state of one user: every array full of drawn values, as long as the model's bounds and its events let it be.

    hashes: (n_items,) int64, which the user's items are drawn from.
    """
    rng = np.random.Generator(np.random.SFC64(number))
    events = 1 + int(EVENTS_MEDIAN * np.exp(EVENTS_SPREAD * rng.standard_normal()))
    consumed = min(events, model.consumed_max, len(hashes))
    recents = min(events, model.recent_items)
    start = int(rng.integers(len(hashes)))
    own = hashes[(start + 7 * np.arange(consumed)) % len(hashes)]
    newest_ms = NEWEST_MS - int(rng.random() ** 3 * YEAR_MS)
    ages = np.sort(rng.integers(0, 30 * DAY_MS, recents))
    return UserState(
        embedding=rng.standard_normal(model.dimension, np.float32) * np.float32(0.1),
        accumulator=0.1 + 0.01 * events,
        user_since_ms=newest_ms - 30 * DAY_MS - events * 3_600_000,
        user_seq=events,
        positives=events - events // 5,
        newest_event_ms=newest_ms,
        late=events // 50,
        forgotten=events - consumed,
        recent=np.ascontiguousarray(own[::-1][:recents]),
        recent_ms=newest_ms - ages,
        consumed=own,
        consumed_day=np.full(consumed, newest_ms // DAY_MS, np.uint32),
        event_ids=rng.integers(-(1 << 63), (1 << 63) - 1, min(events, model.dedup_max)),
        last_list=hashes[(start + 11 * np.arange(1, 1 + model.top_k)) % len(hashes)],
        rating_sum=float(events),
        rating_count=events // 4,
    )
