"""Every list of a job as it comes, in as few bytes as its check needs."""

import time

import orjson
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from livetower.chaos.errors import ChaosError
from livetower.chaos.seen_list import SeenList, digest_of

PATIENCE_S = 180
AWAY = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._TIMED_OUT})
"""What a consumer says of a broker that is down; it goes on by itself."""


class Listener:
    """Reads a topic from its beginning; `committed` leaves aside what no transaction has committed."""

    def __init__(self, bootstrap_servers: str, topic: str, *, committed: bool) -> None:
        self.lists: list[SeenList] = []
        """In the order of each partition."""
        self.newest_ms = 0
        """Kafka's time of the newest event that has a list."""
        self._consumer = open_consumer(bootstrap_servers, topic, committed=committed)

    def poll(self) -> None:
        """Take in what has come."""
        for message in read_some(self._consumer):
            value = message.value()
            if value is None:
                continue
            record = orjson.loads(value)
            seen = SeenList(
                record["rec_id"],
                record["user_id"],
                record["user_seq"],
                record["clock"]["kafka_ms"],
                digest_of(record),
            )
            self.lists.append(seen)
            self.newest_ms = max(self.newest_ms, seen.kafka_ms)

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()


def read_to_end(bootstrap_servers: str, topic: str, *, committed: bool) -> list[Message]:
    """Every record of a topic, in the order of each partition. Raises ChaosError."""
    consumer = open_consumer(bootstrap_servers, topic, committed=committed, mark_ends=True)
    try:
        open_ends = {at.partition for at in consumer.assignment()}
        messages: list[Message] = []
        deadline = time.monotonic() + PATIENCE_S
        while open_ends:
            for message in consumer.consume(1_000, timeout=0.2):
                if message.error() is None:
                    messages.append(message)
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    open_ends.discard(message.partition())
            if time.monotonic() > deadline:
                raise ChaosError(
                    f"topic {topic}: its end was needed within {PATIENCE_S} s; {len(messages)} records came"
                )
    finally:
        consumer.close()
    return messages


def open_consumer(bootstrap_servers: str, topic: str, *, committed: bool, mark_ends: bool = False) -> Consumer:
    """A consumer of all partitions from their beginning, without a group."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "unused",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed" if committed else "read_uncommitted",
            "enable.partition.eof": mark_ends,
            "fetch.wait.max.ms": 50,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
            "error_cb": lambda _error: None,
        }
    )
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    return consumer


def read_some(consumer: Consumer) -> list[Message]:
    """The messages that are there, none while the broker is down. Raises ChaosError."""
    messages = []
    while batch := consumer.consume(1_000, timeout=0.02):
        for message in batch:
            error = message.error()
            if error is None:
                messages.append(message)
            elif error.code() not in AWAY:
                raise ChaosError(f"topic {message.topic()}: a record was needed; the consumer got {error}")
    return messages
