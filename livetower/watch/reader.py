"""Reads the job's topics into figures: first the catalogue and the newest interactions, then all that comes.

It belongs to no consumer group and commits nothing. Lists are read from the moment on at which the history is known, so
that none of them waits behind it and looks stale.

It runs in a thread of its own; `lock` is held while figures change.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from flink_jobs.settings import TopicSettings
from livetower.watch.errors import WatchError
from livetower.watch.figures import Figures

BATCH = 500
IDLE_S = 0.05
ANSWER_S = 10.0
COMMITTED_EVERY_S = 5.0
CATCHING_UP = "reading the history"


def open_consumer(brokers: str, group_id: str, properties: Mapping[str, str]) -> Consumer:
    """A consumer that only assigns and never commits. Raises WatchError for a property that is none."""
    ours = {
        "group.id": group_id,
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "allow.auto.create.topics": False,
        "socket.nagle.disable": True,
        "log_level": 2,
    }
    try:
        return Consumer({**ours, **properties, "bootstrap.servers": brokers})
    except KafkaException as error:
        raise WatchError(
            f"Kafka's client: properties that librdkafka knows were needed; {error.args[0].str()}"
        ) from error


class Reader:
    """Brings what is on the topics to `figures`; `history` is how many of the newest interactions it begins with.

    Raises WatchError when no broker answers or a topic is missing.
    """

    def __init__(self, consumer: Consumer, brokers: str, topics: TopicSettings, figures: Figures, history: int) -> None:
        self.lock = threading.Lock()
        self._consumer = consumer
        self._topics = topics
        self._figures = figures
        self._accept: dict[str, Callable[[Message], None]] = {
            topics.interactions: self._accept_interaction,
            topics.items: self._accept_item,
            topics.rejected: self._accept_rejected,
            topics.recommendations: self._accept_recommendation,
        }
        self._partitions = self._find_partitions(brokers)
        self._history = history
        self._received_ns, self._received_s = 0, 0.0  # when the messages in hand came, by both clocks

    def read(self, stop: threading.Event) -> None:
        """Read until `stop` is set. Raises WatchError if Kafka reports an error that waiting does not cure."""
        try:
            self._figures.part = CATCHING_UP
            positions = self._catch_up(stop)
            self._figures.part = ""
            now = {place: self._bounds(*place)[1] for place in self._places("recommendations", "rejected")}
            self._consumer.assign([TopicPartition(*place, offset) for place, offset in (positions | now).items()])
            while not stop.is_set():
                self._read_some()
                self._note_ends()
        except KafkaException as error:
            raise WatchError(f"Kafka: offsets were needed; it says: {error.args[0].str()}") from error
        finally:
            self._consumer.close()

    @property
    def interactions(self) -> list[TopicPartition]:
        """The partitions of the topic of interactions."""
        return [TopicPartition(*place) for place in self._places("interactions")]

    # ---- places ------------------------------------------------------------------------------------

    def _find_partitions(self, brokers: str) -> dict[str, list[int]]:
        try:
            known = self._consumer.list_topics(timeout=ANSWER_S).topics
        except KafkaException as error:
            raise WatchError(
                f"Kafka at {brokers}: an answer within {ANSWER_S:g} s was needed; got {error.args[0].str()}: start it "
                "(`livetower up`), or name its address with --bootstrap-servers and TLS or SASL with --settings"
            ) from error
        if missing := sorted(self._accept.keys() - known.keys()):
            raise WatchError(
                f"Kafka at {brokers}: the job's topics were needed; there is no {', '.join(missing)}: start the job, "
                "which makes them (`livetower submit`), or give its settings with --settings or --set"
            )
        return {topic: sorted(known[topic].partitions) for topic in self._accept}

    def _places(self, *names: str) -> list[tuple[str, int]]:
        topics = [getattr(self._topics, name) for name in names]
        return [(topic, partition) for topic in topics for partition in self._partitions[topic]]

    def _bounds(self, topic: str, partition: int) -> tuple[int, int]:
        low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ANSWER_S)
        return low, high

    def _note_ends(self) -> None:
        """What the last fetches told of the ends: no request."""
        ends = {}
        for place in self.interactions:
            low, high = self._consumer.get_watermark_offsets(place, cached=True)
            if high < 0:
                return
            ends[place.partition] = (max(0, low), high)
        self._figures.ends = ends

    # ---- messages ----------------------------------------------------------------------------------

    def _catch_up(self, stop: threading.Event) -> dict[tuple[str, int], int]:
        """Read all items and the newest interactions up to where they end now; returns the offsets to go on from."""
        positions, ends = {}, {}
        share = self._history // len(self._places("interactions"))
        for place in self._places("items", "interactions"):
            low, ends[place] = self._bounds(*place)
            positions[place] = low if place[0] == self._topics.items else max(low, ends[place] - share)
        unread = {place for place, position in positions.items() if position < ends[place]}
        self._consumer.assign([TopicPartition(*place, position) for place, position in positions.items()])
        while unread and not stop.is_set():
            for message in self._read_some():
                place = (message.topic(), message.partition())
                if message.error() is None:
                    positions[place] = message.offset() + 1
                elif message.error().code() != KafkaError._PARTITION_EOF:  # compaction may have taken the last offset
                    continue
                if message.error() is not None or positions[place] >= ends[place]:
                    unread.discard(place)
        return positions

    def _read_some(self) -> Sequence[Message]:
        # consume(n, timeout) waits for all n: the first record is polled for, the rest is what is there already.
        first = self._consumer.poll(IDLE_S)
        if first is None:
            return []
        messages = [first, *self._consumer.consume(BATCH, 0)]
        self._received_ns, self._received_s = time.time_ns(), time.monotonic()
        with self.lock:
            for message in messages:
                if (error := message.error()) is None:
                    self._accept[message.topic()](message)
                elif error.fatal() or (error.code() >= 0 and not error.retriable()):  # below 0: the client tries again
                    raise WatchError(f"topic {message.topic()}: reading must go on; Kafka says: {error.str()}")
        return messages

    def _accept_interaction(self, message: Message) -> None:
        self._figures.accept_interaction(message.value(), message.timestamp()[1], message.partition(), message.offset())

    def _accept_item(self, message: Message) -> None:
        self._figures.accept_item(message.key(), message.value())

    def _accept_rejected(self, message: Message) -> None:
        self._figures.accept_rejected(message.headers())

    def _accept_recommendation(self, message: Message) -> None:
        self._figures.accept_recommendation(message.value(), self._received_ns, self._received_s)


class Committed:
    """What the job's group has committed, asked again every five seconds, without becoming a member of it."""

    def __init__(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions = partitions
        self._asked_s = -COMMITTED_EVERY_S
        self._offsets: dict[int, int] = {}

    def offsets(self, now_s: float) -> dict[int, int]:
        """By partition; what was known last while the broker does not answer."""
        if now_s - self._asked_s >= COMMITTED_EVERY_S:
            self._asked_s = now_s
            try:
                told: Any = self._consumer.committed(self._partitions, timeout=1.0)
            except KafkaException:
                return self._offsets
            self._offsets = {each.partition: each.offset for each in told if each.error is None and each.offset >= 0}
        return self._offsets
