"""librdkafka's own broker in this process: real clients without Kafka. It knows topics, offsets and groups' commits."""

from confluent_kafka import Consumer, Producer, TopicPartition


class MockBroker:
    """Lives as long as this object; `address` is for other clients."""

    def __init__(self, *topics: str) -> None:
        self.producer = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1, "linger.ms": 0})
        (broker,) = self.producer.list_topics(timeout=10).brokers.values()
        self.address = f"{broker.host}:{broker.port}"
        for topic in topics:
            self.producer.list_topics(topic, timeout=10)

    def send(self, topic: str, key: str, value: bytes | None, headers: dict[str, bytes] | None = None) -> None:
        self.producer.produce(topic, key=key.encode(), value=value, headers=headers)
        assert self.producer.flush(10) == 0

    def commit(self, group_id: str, *places: TopicPartition) -> None:
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": group_id})
        consumer.commit(offsets=list(places), asynchronous=False)
        consumer.close()
