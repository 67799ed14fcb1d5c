"""How far the partitions of a topic have got, and the records between two such points. Knows no job."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, TopicPartition

from livetower.bench.errors import BenchError
from livetower.demo.listener import open_consumer

Offsets = Mapping[tuple[str, int], int]  # (topic, partition) -> offset of the next record
WAIT_S = 30.0
BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Appended:
    """One record of a topic."""

    value: bytes
    appended_ms: int  # Kafka's timestamp


def end_offsets(consumer: Consumer, topics: tuple[str, ...]) -> dict[tuple[str, int], int]:
    """Where the partitions of these topics end now."""
    return {
        (each.topic, each.partition): consumer.get_watermark_offsets(each, timeout=WAIT_S)[1]
        for each in consumer.assignment()
        if each.topic in topics
    }


def added(start: Offsets, end: Offsets, topic: str) -> int:
    """How many records the topic has got between two points.

    >>> added({("a", 0): 3, ("a", 1): 5, ("b", 0): 1}, {("a", 0): 4, ("a", 1): 9, ("b", 0): 7}, "a")
    5
    """
    return sum(offset - start[place] for place, offset in end.items() if place[0] == topic)


def read_between(bootstrap_servers: str, topic: str, start: Offsets, end: Offsets) -> Iterator[Appended]:
    """The records of the topic from `start` up to `end`, in the order of each partition.

    The last offsets may be no records but the ends of transactions, so a partition's own end counts too.

    Raises BenchError if Kafka stops giving them, DemoError if the topic does not exist.
    """
    wanted = {place: offset for place, offset in end.items() if place[0] == topic and offset > start[place]}
    consumer = open_consumer(bootstrap_servers, topic, tell_ends=True)
    try:
        consumer.assign([TopicPartition(*place, start[place]) for place in wanted])
        left = dict(wanted)
        while left:
            # consume(n, timeout) waits for all n, so the first record is polled for.
            first = consumer.poll(WAIT_S)
            if first is None:
                raise BenchError(f"topic {topic}: its records up to {left} were needed; Kafka gave none for {WAIT_S} s")
            messages = [first, *consumer.consume(BATCH, 0)]
            for message in messages:
                place = (topic, message.partition())
                if (error := message.error()) is not None:
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise BenchError(f"topic {topic}: reading must go on; Kafka says: {error.str()}")
                    if message.offset() >= wanted.get(place, 0):
                        left.pop(place, None)
                    continue
                if message.offset() < wanted[place]:
                    yield Appended(message.value(), message.timestamp()[1])
                if message.offset() >= wanted[place] - 1:
                    left.pop(place, None)
    finally:
        consumer.close()
