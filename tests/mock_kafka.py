"""A broker without a cluster: the one that librdkafka brings for its own tests, on a port of loopback.

It knows topics of four partitions, made when they are first written to or asked for, groups, headers and timestamps;
no compaction and no configurations. A group's second member waits for the session of the first to end, 45 s: let one
join only.
"""

from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from livetower.consume.partition import partition_of

PARTITIONS = 4


class MockKafka:
    """Lives as long as this object."""

    def __init__(self, *topics: str) -> None:
        mock = {"test.mock.num.brokers": 1, "bootstrap.servers": "unused", "log_level": 0, "linger.ms": 0}
        self._producer = Producer(mock | {"partitioner": "murmur2_random"})
        (broker,) = self._producer.list_topics(timeout=10).brokers.values()
        self.bootstrap_servers = f"{broker.host}:{broker.port}"
        for topic in topics:
            self.make_topic(topic)

    def send(self, topic: str, key: str, value: bytes | None, **more: Any) -> None:
        """Write one record, where Kafka's default partitioner puts it, and wait for the broker."""
        self._producer.produce(topic, key=key.encode(), value=value, **more)
        assert self._producer.flush(10) == 0

    def make_topic(self, topic: str) -> None:
        """Make an empty topic."""
        self._producer.list_topics(topic, timeout=10)

    def commit(self, group_id: str, topic: str, partition: int, offset: int) -> None:
        """Commit for a group that nobody has joined."""
        asker = Consumer({"bootstrap.servers": self.bootstrap_servers, "group.id": group_id})
        asker.commit(offsets=[TopicPartition(topic, partition, offset)], asynchronous=False)
        asker.close()

    def committed(self, group_id: str, topic: str) -> int:
        """The sum of a group's committed offsets."""
        asker = Consumer({"bootstrap.servers": self.bootstrap_servers, "group.id": group_id})
        try:
            places = asker.committed([TopicPartition(topic, n) for n in range(PARTITIONS)], timeout=10)
            return sum(max(0, place.offset) for place in places)
        finally:
            asker.close()


def user_of(partition: int, n: int = 0) -> str:
    """The n-th user id whose lists are in this partition."""
    return [user for user in map("user{}".format, range(200)) if partition_of(user.encode(), PARTITIONS) == partition][
        n
    ]
