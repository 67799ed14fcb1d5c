"""The real producer against librdkafka's own mock of a broker, in this process."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from livetower.cli import main
from livetower.replay import kafka
from livetower.replay.errors import ReplayError


class Mock:
    """A broker that makes every topic that is named, of four partitions."""

    def __init__(self) -> None:
        self.host = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "log_level": 0})
        (broker,) = self.host.list_topics(timeout=10).brokers.values()
        self.address = f"{broker.host}:{broker.port}"

    def make(self, topic: str) -> None:
        self.host.produce(topic, b"first", partition=0)
        assert self.host.flush(10) == 0

    def records(self, topic: str, count: int) -> list[Message]:
        """So many records behind the one that made the topic."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "g", "log_level": 0})
        consumer.assign([TopicPartition(topic, number, 0) for number in range(4)])
        found: list[Message] = []
        while len(found) < count + 1:
            batch = consumer.consume(count + 1, timeout=10)
            assert batch, f"{len(found)} of {count + 1} records within 10 s"
            found += batch
        consumer.close()
        return [message for message in found if message.value() != b"first"]


@pytest.fixture
def mock() -> Iterator[Mock]:
    made = Mock()
    made.make("interactions")
    yield made
    del made.host


def test_a_file_arrives_whole_with_each_user_in_one_partition_and_in_order(mock, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(kafka, "topic_id", lambda *_: "id")  # the mock has none
    file = tmp_path / "plays.csv"
    file.write_text("user_id,item_id,event_time_ms\n" + "".join(f"u{n % 7},i{n},{n}\n" for n in range(500)))
    result = CliRunner().invoke(main, ["replay", str(file), "--bootstrap-servers", mock.address, "--json"])
    assert result.exit_code == 0, result.output
    record = orjson.loads(result.stdout)
    assert (record["acknowledged"], record["position"]) == (500, 501)

    records = mock.records("interactions", 500)
    assert len(records) == 500
    partitions: dict[bytes, set[int]] = {}
    times: dict[bytes, list[int]] = {}
    for message in records:
        partitions.setdefault(message.key(), set()).add(message.partition())
        times.setdefault(message.key(), []).append(orjson.loads(message.value())["event_time_ms"])
    assert {len(numbers) for numbers in partitions.values()} == {1}
    assert times == {b"u%d" % user: list(range(user, 500, 7)) for user in range(7)}


def test_a_topic_that_is_not_there_is_named_with_those_there_are(mock):
    with pytest.raises(ReplayError, match=r"topic 'plays' is not at .*submit.*; there are interactions"):
        kafka.topic_id(mock.address, "plays", {})


def test_a_property_that_librdkafka_does_not_know_is_named():
    with pytest.raises(ReplayError, match='--kafka-property: No such configuration property: "colour"'):
        kafka.open_producer("k:9092", {"colour": "red"})
