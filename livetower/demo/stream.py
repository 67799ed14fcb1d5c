"""The interactions of one replay, encoded once and addressed by their position. Knows no data set and no Kafka."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from livetower.demo.errors import DemoError


@dataclass(frozen=True, slots=True)
class Stream:
    """Columns over the positions 0, 1, … in which the events are sent."""

    users: list[str]
    items: list[str]
    keys: list[bytes]  # Kafka keys: user_id in UTF-8
    values: list[bytes]  # the interaction as JSON
    positions: dict[str, int]  # event_id -> position

    def __len__(self) -> int:
        return len(self.users)


def encode_stream(interactions: Iterable[Mapping[str, Any]]) -> Stream:
    """The stream of `interactions` in the order given.

    Raises DemoError if an event_id occurs twice, since the answers could not be told apart.

    >>> stream = encode_stream([{"event_id": "e1", "user_id": "ann", "item_id": "x"}])
    >>> stream.keys, stream.values, stream.positions
    ([b'ann'], [b'{"event_id":"e1","user_id":"ann","item_id":"x"}'], {'e1': 0})
    """
    stream = Stream([], [], [], [], {})
    for position, interaction in enumerate(interactions):
        event_id = interaction["event_id"]
        if event_id in stream.positions:
            raise DemoError(f"stream: every event_id must be unique; {event_id!r} occurs twice")
        stream.positions[event_id] = position
        stream.users.append(interaction["user_id"])
        stream.items.append(interaction["item_id"])
        stream.keys.append(interaction["user_id"].encode())
        stream.values.append(orjson.dumps(interaction))
    return stream
