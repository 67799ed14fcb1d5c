"""A stream without end: users and items come, stay for a while and leave for good.

What is kept of it does not grow. An event's id is its number and when it was sent, so the list that answers it says how
long it took. The schedule is an open loop: a slow job does not slow the sender.
"""

import re
import threading
import time
from collections.abc import Iterator

import numpy as np
import orjson
from confluent_kafka import Producer

from flink_jobs.settings import TopicSettings
from livetower.demo.listener import open_consumer
from livetower.demo.replay import ORDERED
from livetower.soak.errors import SoakError
from livetower.soak.limits import Traffic
from livetower.watch.freshness import percentile_ms

TICK_S = 0.01
DRAWN_AT_ONCE = 4_096
TRIGGER = re.compile(rb'"trigger":"\d+-(\d+)"')
CATEGORIES = 8
BATCH = 500


def events(traffic: Traffic, seed: int = 0) -> Iterator[tuple[int, int]]:
    """User and item of one event after the other. Items are drawn with a popularity that falls with their rank."""
    rng = np.random.default_rng(seed)
    n = 0
    while True:
        users = rng.integers(traffic.users, size=DRAWN_AT_ONCE)
        items = (traffic.items * rng.random(DRAWN_AT_ONCE) ** 2).astype(np.int64)
        for user, item in zip(users.tolist(), items.tolist(), strict=True):
            at_s = n / traffic.rate
            yield int(traffic.users_per_s * at_s) + user, int(traffic.items_per_s * at_s) + item
            n += 1


def item_record(item: int) -> bytes:
    """What the catalogue says of an item."""
    described = {"item_id": f"item-{item}", "title": f"Item {item}", "category": f"c{item % CATEGORIES}"}
    return orjson.dumps({**described, "numbers": {"year": 1950 + item % 70}})


class Sender(threading.Thread):
    """Sends until `stop` is set; then `failure` says what went wrong, if anything."""

    def __init__(self, bootstrap_servers: str, topics: TopicSettings, traffic: Traffic, stop: threading.Event) -> None:
        super().__init__(name="soak-sender", daemon=True)
        self.sent = 0
        self.sent_bytes = 0
        self.failure: Exception | None = None
        self._topics, self._traffic, self._stop_set = topics, traffic, stop
        self._first_item = 0
        self._producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 1, **ORDERED})

    def load_items(self) -> None:
        """Send the items of the beginning."""
        for item in range(self._traffic.items):
            self._producer.produce(self._topics.items, item_record(item), f"item-{item}".encode())
        if self._producer.flush(60):
            raise SoakError(f"topic {self._topics.items}: the broker must take the items within 60 s")

    def run(self) -> None:
        try:
            self._send()
        except (BufferError, OSError) as error:
            self.failure = error

    def _send(self) -> None:
        stream, began_s = events(self._traffic), time.monotonic()
        while not self._stop_set.wait(TICK_S):
            due = int((time.monotonic() - began_s) * self._traffic.rate)
            for _ in range(due - self.sent):
                self._send_event(*next(stream))
            self._change_items()
            self._producer.poll(0)

    def _send_event(self, user: int, item: int) -> None:
        record = {
            "event_id": f"{self.sent}-{time.monotonic_ns()}",
            "user_id": f"soak-{user}",
            "item_id": f"item-{item}",
            "event_type": "view",
            "event_time_ms": time.time_ns() // 1_000_000,
        }
        value, key = orjson.dumps(record), f"soak-{user}".encode()
        while True:
            try:
                self._producer.produce(self._topics.interactions, value, key)
                break
            except BufferError:  # the broker is slow: wait for it, as the schedule does not
                self._producer.poll(0.05)
        self.sent += 1
        self.sent_bytes += len(value) + len(key)

    def _change_items(self) -> None:
        """List the items that come, and send tombstones for those that left."""
        first = int(self._traffic.items_per_s * self.sent / self._traffic.rate)
        for item in range(self._first_item, first):
            came = item + self._traffic.items
            self._producer.produce(self._topics.items, item_record(came), f"item-{came}".encode())
            self._producer.produce(self._topics.items, None, f"item-{item}".encode())
        self._first_item = first


class Listener(threading.Thread):
    """Reads lists, rejected records and announcements from their end on until `stop` is set."""

    def __init__(self, bootstrap_servers: str, topics: TopicSettings, stop: threading.Event) -> None:
        super().__init__(name="soak-listener", daemon=True)
        self.lists = 0
        self.list_bytes = 0
        self.rejected = 0
        self.items = 0
        self.failure: str | None = None
        self._topics, self._stop_set = topics, stop
        self._waits_ns: list[int] = []
        watched = (topics.recommendations, topics.rejected, topics.item_snapshots)
        self._consumer = open_consumer(bootstrap_servers, *watched, at_end=True)

    def run(self) -> None:
        while not self._stop_set.is_set():
            first = self._consumer.poll(0.05)
            if first is None:
                continue
            for message in [first, *self._consumer.consume(BATCH, 0)]:
                if (error := message.error()) is not None:
                    self.failure = error.str()
                elif message.topic() == self._topics.recommendations:
                    self._take_list(message.value(), len(message.key()))
                elif message.topic() == self._topics.rejected:
                    self.rejected += 1
                elif message.value() is not None:
                    self.items = int(orjson.loads(message.value())["items"])
        self._consumer.close()

    def _take_list(self, value: bytes, key_bytes: int) -> None:
        found = TRIGGER.search(value)
        if found is not None:
            self.lists += 1
            self.list_bytes += len(value) + key_bytes
            self._waits_ns.append(time.monotonic_ns() - int(found[1]))

    def p99_ms(self) -> float | None:
        """Of the lists since the last call."""
        waits, self._waits_ns = self._waits_ns, []
        return percentile_ms(sorted(waits), 99)
