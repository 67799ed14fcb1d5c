"""The events of a chaos run, from a seed: many users, of whom some are busy, and what a real topic holds beside.

Of a hundred records some ten come twice in a row, a quarter are late, two cannot be read. It knows no Kafka and no
clock: the time of an event is given.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models.records import EventType

USERS: Final = 300
ITEM_IDS: Final = tuple(f"i{n}" for n in range(1_000))
TYPES: Final = tuple(
    EventType(name) for name in ("view", "view", "view", "click", "like", "purchase", "rating", "dislike", "skip")
)
TWICE_EVERY, LATE_EVERY, UNREADABLE_EVERY = 10, 4, 50
LATE_MS: Final = 60_000
FIRST_USER: Final = "first"
"""Asks until there is a list; some of what it asks comes before there is an item table."""


@dataclass(frozen=True, slots=True)
class Sent:
    """Key and value of a record."""

    key: bytes
    value: bytes


class MadeUpStream:
    """The same seed gives the same records, but for their times."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._shares = 1 / np.arange(10, 10 + USERS)
        self._shares /= self._shares.sum()
        self._number = 0

    def event(self, now_ms: int) -> list[Sent]:
        """The next event, sent a second time if it is its turn, and at times a record that cannot be read."""
        n, user = self._next_user()
        fields: dict[str, Any] = {"event_type": TYPES[int(self._rng.integers(len(TYPES)))]}
        if fields["event_type"] is EventType.RATING:
            fields["value"] = int(self._rng.integers(1, 6))
        fields["item_id"] = ITEM_IDS[int(self._rng.integers(len(ITEM_IDS)))]
        record = interaction(str(n), user, now_ms - LATE_MS * (n % LATE_EVERY == 0), **fields)
        records = [record, record] if n % TWICE_EVERY == 0 else [record]
        return [*records, Sent(record.key, b"{" + record.value)] if n % UNREADABLE_EVERY == 0 else records

    def request(self, now_ms: int) -> Sent:
        """A user who wants a list and has done nothing: nothing is learned from it."""
        n, user = self._next_user()
        return interaction(str(n), user, now_ms, event_type=EventType.REQUEST)

    def _next_user(self) -> tuple[int, str]:
        self._number += 1
        return self._number, f"user{int(self._rng.choice(USERS, p=self._shares))}"


def interaction(event_id: str, user_id: str, event_time_ms: int, **fields: Any) -> Sent:
    """One record of the topic `interactions`."""
    value = {"event_id": event_id, "user_id": user_id, "event_time_ms": event_time_ms} | fields
    return Sent(user_id.encode(), json.dumps(value).encode())
