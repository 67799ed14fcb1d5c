"""Who is too fast to be taught by: a rate from the times of a user's latest positive events, which the state holds.

    n = min(most, L)                  the latest n of L recent items stand for all
    too fast: t - t_n < T n / most    t: the event's time, or the user's newest if that is later; t_n: the n-th latest

With `most` up to L that is exact, a window of T; beyond, the same rate over the latest L. Times are the events' own
(event_time_ms), so a client that makes them up is not held by it.
"""

import struct
from typing import Final

from models.records import EventType, Interaction
from models.settings import ModelSettings
from models.user_state import Header

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
_TIME: Final = struct.Struct("<q")


def is_over_cap(blob: bytes, before: Header, event: Interaction, settings: ModelSettings) -> bool:
    """Whether the event comes beyond `user_events_per_minute` positive events that taught."""
    return _too_fast(blob, before, event, settings.user_events_per_minute, MINUTE_MS, settings.recent_items)


def looks_like_a_bot(blob: bytes, before: Header, event: Interaction, settings: ModelSettings) -> bool:
    """Whether the user's latest positive events came faster than `bot_events_per_hour`."""
    return _too_fast(blob, before, event, settings.bot_events_per_hour, HOUR_MS, settings.recent_items)


def _too_fast(blob: bytes, before: Header, event: Interaction, most: int, window_ms: int, recent_items: int) -> bool:
    n = min(most, recent_items)
    if n == 0 or before.n_recent < n or event.event_type in (EventType.REQUEST, EventType.PROFILE):
        return False
    (nth_ms,) = _TIME.unpack_from(blob, before.recent.stop + 8 * (n - 1))
    return bool((max(event.event_time_ms, before.newest_event_ms) - nth_ms) * most < window_ms * n)
