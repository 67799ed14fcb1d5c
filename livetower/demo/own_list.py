"""A user of your own: sends events of one new user to the job and waits for the list that answers each.

Knows no film and prints nothing; name_films.py does.
"""

import time
import uuid
from typing import Any, Self

import orjson
from confluent_kafka import Message, Producer

from livetower.demo.errors import DemoError
from livetower.demo.listener import open_consumer
from livetower.demo.name_films import Reply
from livetower.demo.replay import ORDERED, PROMPT

WAIT_S = 10.0
POLL_S = 0.05


def event_of(
    user_id: str, number: int, item_id: str | None, now_ms: int, before: dict[str, Any] | None
) -> dict[str, Any]:
    """The user's interaction of this number: a like, or a request when there is no item. It names the list `before` in
    which the user met the item, if it was there.

    >>> event_of("you", 2, "50", 7, {"rec_id": "you:you-1", "items": [{"item_id": "9"}, {"item_id": "50"}]})["position"]
    1
    """
    event: dict[str, Any] = {"event_id": f"{user_id}-{number}", "user_id": user_id, "event_time_ms": now_ms}
    if item_id is None:
        return event | {"event_type": "request"}
    event |= {"event_type": "like", "item_id": item_id}
    shown = [] if before is None else [entry["item_id"] for entry in before["items"]]
    if before is not None and item_id in shown:
        event |= {"rec_id": before["rec_id"], "position": shown.index(item_id)}
    return event


class OwnList:
    """One new user; leave it as a context manager. Raises DemoError if a topic does not exist."""

    def __init__(self, bootstrap_servers: str, interactions: str, recommendations: str) -> None:
        self.user_id = f"you-{uuid.uuid4().hex[:8]}"
        self._topic = interactions
        self._sent = 0
        self._newest: dict[str, Any] | None = None
        self._consumer = open_consumer(bootstrap_servers, recommendations, at_end=True)
        self._producer = Producer({"bootstrap.servers": bootstrap_servers, **ORDERED, **PROMPT})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()
        self._producer.flush(1)

    def answer(self, item_id: str | None) -> Reply | None:
        """Send a like of the item (None: a request) and wait for its list; None if there is none after WAIT_S."""
        self._sent += 1
        event = event_of(self.user_id, self._sent, item_id, time.time_ns() // 1_000_000, self._newest)
        began_ns = time.monotonic_ns()
        self._producer.produce(self._topic, orjson.dumps(event), self.user_id.encode())
        self._producer.poll(0)
        while time.monotonic_ns() - began_ns < WAIT_S * 1e9:
            message = self._consumer.poll(POLL_S)
            if message is not None and (found := self._list_of(message, event["event_id"])) is not None:
                self._newest = found
                return Reply([entry["item_id"] for entry in found["items"]], (time.monotonic_ns() - began_ns) / 1e6)
        return None

    def _list_of(self, message: Message, event_id: str) -> dict[str, Any] | None:
        if (error := message.error()) is not None:
            raise DemoError(f"topic {message.topic()}: reading must go on; Kafka says: {error.str()}")
        if message.key() != self.user_id.encode() or message.value() is None:
            return None
        recommendation: dict[str, Any] = orjson.loads(message.value())
        return recommendation if recommendation["trigger"] == event_id else None
