"""Reads a topic of recommendations, record by record, and commits what the reader has done.

At least once: an offset is stored when `take_list` has returned, and stored offsets are committed every five seconds,
when partitions go to another member of the group, and at the end. So a reader that is killed gets the lists of its last
five seconds again; NewestLists, or the same rule in its store, makes that harmless.

Without a group the whole topic is read at every start and nothing is committed: the way to hold all lists in memory.
"""

import logging
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from livetower.consume.errors import ConsumeError
from livetower.consume.recommendation import Recommendation, parse_recommendation
from models.records import InvalidRecord

LOG = logging.getLogger(__name__)
TOPIC = "recommendations"
READ_COMMITTED = "read_committed"
POLL_S = 0.2
BROKER_S = 10.0
FRESHNESS_OF = 1_000
"""Lists over which freshness is told."""


@dataclass(frozen=True, slots=True)
class Received:
    """One list, where it stood in the topic, and when it came: in the topic, and here."""

    recommendation: Recommendation
    partition: int
    offset: int
    appended_ms: int
    received_ms: int

    @property
    def freshness_ms(self) -> int:
        """From the interaction in Kafka to its list here; two machines' clocks if they are two."""
        return self.received_ms - self.recommendation.clock.kafka_ms


class ListConsumer:
    """A member of the group `group_id`, or without one a reader of the whole topic. Use it from one thread; only
    `stop` may be called from others.

    `isolation`: with a job of kafka.delivery exactly-once, 'read_committed' gives each list once, after its checkpoint;
    'read_uncommitted' gives it when it is made, and those of aborted transactions too. With an idempotent job they are
    the same. `properties` are librdkafka's own (TLS, SASL, fetch sizes). Raises ConsumeError when the broker does not
    answer or has no such topic.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        group_id: str | None,
        *,
        topic: str = TOPIC,
        isolation: str = READ_COMMITTED,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        self.invalid = 0
        """Records that were no list; they are logged and left aside."""
        self._stopped = threading.Event()
        self._freshness_ms: deque[int] = deque(maxlen=FRESHNESS_OF)
        commits = {"enable.auto.commit": group_id is not None, "enable.auto.offset.store": False}
        group = {"group.id": group_id or "unused", "auto.offset.reset": "earliest", "isolation.level": isolation}
        self._consumer = open_consumer(bootstrap_servers, {**group, **commits, **(properties or {})})
        self._grouped = group_id is not None
        try:
            partitions = partitions_of(self._consumer, bootstrap_servers, topic)
            if self._grouped:
                self._consumer.subscribe([topic])
            else:
                self._consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        except ConsumeError:
            self._consumer.close()
            raise

    def run(self, take_list: Callable[[Received], None], forget_user: Callable[[str], None] | None = None) -> None:
        """Give every list to `take_list`, in the order of its partition, until `stop`; then commit and leave the group.

        A null value says that a user has no list any more: `forget_user`. An exception of either ends the run; its
        record is not committed and comes again. Raises ConsumeError for what Kafka will not cure by itself.
        """
        try:
            while not self._stopped.is_set():
                message = self._consumer.poll(POLL_S)
                if message is None:  # a message without a value is falsy
                    continue
                if message.error() is not None:
                    raise_unless_passing(message.error())
                    continue
                self._pass_on(message, take_list, forget_user)
                if self._grouped:
                    self._consumer.store_offsets(message)
        finally:
            self._consumer.close()

    def stop(self) -> None:
        """End `run` after the list in hand; from any thread, or from a signal handler."""
        self._stopped.set()

    def lag(self) -> int:
        """How many offsets lie between this reader and the end of its partitions, as far as the last fetch told."""
        return sum(self._lag_of(partition) for partition in self._consumer.assignment())

    def freshness_ms(self, share: float) -> int | None:
        """The freshness that this share of the latest 1,000 lists did not exceed (.5, .99); None before the first."""
        ordered = sorted(self._freshness_ms)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None

    def _pass_on(
        self, message: Message, take_list: Callable[[Received], None], forget_user: Callable[[str], None] | None
    ) -> None:
        if message.value() is None:
            if forget_user is not None:
                forget_user((message.key() or b"").decode("utf-8", "replace"))
            return
        try:
            received = received_of(message)
        except InvalidRecord as error:
            self.invalid += 1
            LOG.warning("left aside %s/%d/%d: %s", message.topic(), message.partition(), message.offset(), error)
            return
        self._freshness_ms.append(received.freshness_ms)
        take_list(received)

    def _lag_of(self, partition: TopicPartition) -> int:
        watermarks = self._consumer.get_watermark_offsets(partition, cached=True)
        low, high = watermarks if watermarks[1] >= 0 else self._watermarks(partition)
        (position,) = self._consumer.position([partition])
        if position.offset < 0 and self._grouped:  # nothing came yet: it stands where the group stood
            (position,) = self._consumer.committed([partition], timeout=BROKER_S)
        return max(0, int(high - max(position.offset, low)))

    def _watermarks(self, partition: TopicPartition) -> tuple[int, int]:
        low, high = self._consumer.get_watermark_offsets(partition, timeout=BROKER_S)
        return low, high


@contextmanager
def stop_on_signals(consumer: ListConsumer) -> Iterator[None]:
    """While inside, SIGTERM and SIGINT (Ctrl-C) stop the consumer after the list in hand. For the main thread."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        consumer.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ---- what find_list.py needs too -----------------------------------------------------------------


def open_consumer(bootstrap_servers: str, options: Mapping[str, Any]) -> Consumer:
    """A consumer that makes no topic and is quiet about a broker that is away. Raises ConsumeError."""
    try:
        return Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "allow.auto.create.topics": False,
                "socket.nagle.disable": True,
                "log_level": 2,
                **options,
            }
        )
    except KafkaException as error:
        raise ConsumeError(f"Kafka client: needed properties that librdkafka knows; {error.args[0].str()}") from error


def partitions_of(consumer: Consumer, bootstrap_servers: str, topic: str) -> list[int]:
    """Numbers of the topic's partitions. Raises ConsumeError when there is no broker or no such topic."""
    try:
        listed = consumer.list_topics(timeout=BROKER_S).topics
    except KafkaException as error:
        raise ConsumeError(
            f"Kafka at {bootstrap_servers}: needed an answer within {BROKER_S:g} s; got {error.args[0].str()!r}. Does "
            "the broker run, and do TLS and SASL fit?"
        ) from error
    if topic not in listed:
        raise ConsumeError(
            f"Kafka at {bootstrap_servers}: needed topic {topic!r}, which a submitted job makes; there are "
            f"{', '.join(sorted(listed)[:20]) or 'none'}"
        )
    return sorted(listed[topic].partitions)


def received_of(message: Message) -> Received:
    """The list in a message that has just come. Raises InvalidRecord."""
    recommendation = parse_recommendation(message.value())
    now_ms = time.time_ns() // 1_000_000
    return Received(recommendation, message.partition(), message.offset(), message.timestamp()[1], now_ms)


def raise_unless_passing(error: KafkaError) -> None:
    """Raise ConsumeError for what waiting does not cure; log the rest."""
    if error.fatal() or not (error.retriable() or error.code() < 0):  # below 0 are the client's own: it tries again
        raise ConsumeError(f"Kafka: {error.str()}")
    LOG.warning("Kafka: %s", error.str())
