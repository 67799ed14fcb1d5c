"""Loads items into Kafka and waits until the item tower has published a snapshot that holds them all.

Knows no data set.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from confluent_kafka import Producer

from livetower.demo.errors import DemoError
from livetower.demo.job_health import ENDED, JobHealth
from livetower.demo.listener import open_consumer
from livetower.demo.replay import ORDERED


def load_catalogue(bootstrap_servers: str, topic: str, items: Sequence[Mapping[str, Any]]) -> None:
    """Send every item to `topic`, keyed by its item_id. Raises DemoError if the broker has not taken all after 60 s."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, **ORDERED, "linger.ms": 5})
    for item in items:
        producer.produce(topic, orjson.dumps(item), item["item_id"].encode())
    if (left := producer.flush(60)) > 0:
        raise DemoError(f"topic {topic}: the broker must take {len(items)} items within 60 s; {left} are still unsent")


def wait_for_snapshot(
    bootstrap_servers: str, topic: str, items: int, health: JobHealth, patience_s: float = 180
) -> None:
    """Return once an announcement in `topic` says that the table holds at least `items` items.

    Raises DemoError if the job ends, or after `patience_s`; then with what the tower had announced and what Flink says.
    """
    consumer = open_consumer(bootstrap_servers, topic)
    most = 0
    deadline = time.monotonic() + patience_s
    asked = time.monotonic()
    try:
        while most < items:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None and message.value() is not None:
                most = max(most, orjson.loads(message.value())["items"])
            if time.monotonic() > deadline:
                raise DemoError(
                    f"item tower: a snapshot with {items} items was needed within {patience_s:.0f} s; "
                    f"the largest holds {most}. {health.trouble()}"
                )
            if time.monotonic() - asked > 2:
                asked = time.monotonic()
                if health.state() in ENDED:
                    raise DemoError(health.trouble())
    finally:
        consumer.close()


def describe_first_rejection(bootstrap_servers: str, topic: str) -> str:
    """Why the first record in the topic of rejected records was refused, as a sentence; says so if there is none."""
    consumer = open_consumer(bootstrap_servers, topic)
    try:
        message = consumer.poll(3)
    finally:
        consumer.close()
    if message is None or message.error() is not None:
        return f"No record is in topic {topic}."
    headers = {name: (value or b"").decode(errors="replace") for name, value in message.headers() or []}
    return f"First record in topic {topic}: {headers.get('reason', 'no reason')}: {headers.get('detail', '')}"
