"""Where the partitions of a job's topics end now, as its brokers say."""

from collections.abc import Iterable, Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from livetower.inspect.codes import inspect_error

WAIT_S: Final = 10.0


def kafka_ends(
    bootstrap_servers: str, partitions: Iterable[tuple[str, int]], properties: Mapping[str, str] | None = None
) -> dict[tuple[str, int], int]:
    """Topic and partition → the offset that the next record will get. Raises InspectError."""
    client = {"bootstrap.servers": bootstrap_servers, "group.id": "livetower-inspect", "log_level": 0}
    ends = {}
    try:
        consumer = Consumer(client | {"enable.auto.commit": False} | dict(properties or {}))
        try:
            for topic, partition in partitions:
                _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=WAIT_S)
                ends[topic, partition] = end
        finally:
            consumer.close()
    except KafkaException as error:
        raise inspect_error(
            "LT-INS-314", f"{bootstrap_servers}: the ends of the topics were needed; got {error}"
        ) from error
    return ends
