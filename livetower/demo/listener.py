"""Reads lists, rejected records and probes back from Kafka and notes when each list and probe arrived.

It judges nothing: live_quality.py and freshness.py do.

Runs in one thread, which alone writes; other threads read the counters and lists, which only grow. Lists of events that
are not of the stream are ignored.
"""

import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, Protocol

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from livetower.demo.errors import DemoError
from livetower.demo.replay import PROBE, QUIET
from livetower.demo.stream import Stream
from livetower.watch.figures import reason_of
from livetower.watch.followed import FollowedUser

BATCH = 500
IDLE_S = 0.05


class Answers(Protocol):
    """Who is told of every list (LiveQuality, for one); False means that its event had one before."""

    def accept_list(self, event: int, item_ids: Collection[str]) -> bool: ...


class Listener:
    """What came back so far, by the positions of the stream."""

    def __init__(
        self,
        bootstrap_servers: str,
        stream: Stream,
        sent_ns: list[int],
        answers: Answers,
        topic: str,
        rejected_topic: str,
        probe_topic: str,
        start: Mapping[tuple[str, int], int] | None = None,
    ):
        self._stream = stream
        self._sent_ns = sent_ns
        self._answers = answers
        self._topic = topic
        self._rejected_topic = rejected_topic
        self._consumer = open_consumer(bootstrap_servers, topic, rejected_topic, probe_topic, start=start)
        self.arrivals: list[int] = []  # positions in the order in which their lists arrived, each once
        self.wait_ns = [0] * len(stream)  # from sending the event to having its list
        self.appended_ms = [0] * len(stream)  # Kafka's timestamp of the list
        self.probe_wait_ns: list[int] = []
        self.latest: dict[str, Any] | None = None  # the newest recommendation record
        self.followed = FollowedUser()
        self.rejected: Counter[str] = Counter()  # records by reason

    def listen(self, stop: threading.Event) -> None:
        """Read until `stop` is set. Raises DemoError if Kafka reports an error."""
        while not stop.is_set():
            # consume(n, timeout) waits for all n, so the first record is polled for and the rest is what is there
            # already.
            first = self._consumer.poll(IDLE_S)
            if first is not None:
                self._accept([first], time.monotonic_ns())
                rest = self._consumer.consume(BATCH, 0)
                self._accept(rest, time.monotonic_ns())
        self._consumer.close()

    def _accept(self, messages: list[Message], now_ns: int) -> None:
        for message in messages:
            if (error := message.error()) is not None:
                raise DemoError(f"topic {message.topic()}: reading must go on; Kafka says: {error.str()}")
            if message.topic() == self._topic:
                self.accept_recommendation(message.value(), message.timestamp()[1], now_ns)
            elif message.topic() == self._rejected_topic:
                self.rejected[reason_of(message.headers())] += 1
            else:
                self.probe_wait_ns.append(now_ns - PROBE.unpack(message.value())[0])

    def accept_recommendation(self, value: bytes, appended_ms: int, now_ns: int) -> None:
        """Take one record of the topic of recommendations that arrived at `now_ns`."""
        recommendation = orjson.loads(value)
        position = self._stream.positions.get(recommendation["trigger"])
        if position is None or recommendation["user_id"] != self._stream.users[position]:
            return
        item_ids = [item["item_id"] for item in recommendation["items"]]
        if self._answers.accept_list(position, item_ids):
            self.wait_ns[position] = now_ns - self._sent_ns[position]
            self.appended_ms[position] = appended_ms
            self.arrivals.append(position)
            self.latest = recommendation
            version = recommendation["user_since_ms"], recommendation["user_seq"]
            self.followed.accept_list(recommendation["user_id"], version, item_ids, now_ns / 1e9)


def open_consumer(
    bootstrap_servers: str,
    *topics: str,
    at_end: bool = False,
    start: Mapping[tuple[str, int], int] | None = None,
    tell_ends: bool = False,
) -> Consumer:
    """A consumer of all partitions of `topics`, outside any consumer group's bookkeeping: from their beginning, from
    what is their end now, or from the offset that `start` gives for (topic, partition). With `tell_ends` there is a
    message with the error _PARTITION_EOF at each end. It reads committed records, as the job's readers should.

    Raises DemoError if a topic does not exist.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "livetower-demo",
            "enable.auto.commit": False,
            "enable.partition.eof": tell_ends,
            "isolation.level": "read_committed",
            "allow.auto.create.topics": False,
            "socket.nagle.disable": True,
            **QUIET,
        }
    )
    known = consumer.list_topics(timeout=10).topics
    missing = [topic for topic in topics if topic not in known]
    if missing:
        raise DemoError(
            f"Kafka at {bootstrap_servers}: the job must have created {', '.join(missing)}; "
            f"there are {', '.join(sorted(known))}"
        )
    numbered = [(topic, partition) for topic in topics for partition in known[topic].partitions]
    places = [TopicPartition(*each, OFFSET_BEGINNING if start is None else start[each]) for each in numbered]
    if at_end:  # asked for now: OFFSET_END would be looked up later, and a list that came before would be missed
        for place in places:
            place.offset = consumer.get_watermark_offsets(place, timeout=10)[1]
    consumer.assign(places)
    return consumer
