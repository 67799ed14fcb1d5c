"""One user's newest list, found without reading the topic: in the one partition that can hold it, from its end.

The look goes on for ten minutes of the partition's time before the list that it found, since a restored job writes
lists again: until it has caught up, the newest is not the last. A user without a list costs the whole partition.
Titles of items come from the topic of items, which any producer may have partitioned, so all of it is read.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from livetower.consume.client import TOPIC, Received, open_consumer, partitions_of, raise_unless_passing, received_of
from livetower.consume.errors import ConsumeError
from livetower.consume.partition import partition_of
from models.records import InvalidRecord, parse_item

FIRST_WINDOW, LAST_WINDOW = 1_000, 64_000
"""Offsets that are read at once, at first and at most."""
LOOK_BACK_MS = 600_000
ITEM_BYTES = 2**31
READER = {"group.id": "unused", "enable.auto.commit": False, "enable.partition.eof": True}


def find_newest_list(
    bootstrap_servers: str,
    user_id: str,
    *,
    topic: str = TOPIC,
    timeout_s: float = 10.0,
    properties: Mapping[str, Any] | None = None,
) -> Received | None:
    """The user's newest list, None if there is none. Raises ConsumeError, also when the time was too short to tell."""
    consumer = open_consumer(bootstrap_servers, {**READER, **(properties or {})})
    try:
        numbers = partitions_of(consumer, bootstrap_servers, topic)
        partition = TopicPartition(topic, partition_of(user_id.encode(), len(numbers)))
        return _search(consumer, partition, user_id, time.monotonic() + timeout_s)
    finally:
        consumer.close()


def _search(consumer: Consumer, partition: TopicPartition, user_id: str, deadline: float) -> Received | None:
    low, high = _bounds(consumer, partition, deadline)
    end, window = high, FIRST_WINDOW
    newest: Received | None = None
    try:
        while end > low:
            start = max(low, end - window)
            found, erased, oldest_ms = _newest_in(consumer, partition, start, end, user_id, deadline)
            if found is not None and (newest is None or found.recommendation.version > newest.recommendation.version):
                newest = found
            if erased or (newest is not None and oldest_ms < newest.appended_ms - LOOK_BACK_MS):
                break
            end, window = start, min(2 * window, LAST_WINDOW)
    except TimeoutError as error:
        if newest is None:
            raise ConsumeError(
                f"topic {partition.topic!r}: the time was over when {high - end} of the {high - low} offsets of "
                f"partition {partition.partition} were read, and none was a list of user {user_id!r}: allow more time"
            ) from error
    return newest


def _newest_in(
    consumer: Consumer, partition: TopicPartition, start: int, end: int, user_id: str, deadline: float
) -> tuple[Received | None, bool, int]:
    """The user's newest list in [start, end), whether a null value ended all before, and the oldest timestamp."""
    found: Received | None = None
    erased, oldest_ms, key = False, 2**63, user_id.encode()
    for message in _messages(consumer, [TopicPartition(partition.topic, partition.partition, start)], [end], deadline):
        oldest_ms = min(oldest_ms, message.timestamp()[1])
        if message.key() != key:
            continue
        if message.value() is None:
            found, erased = None, True
            continue
        try:
            received = received_of(message)
        except InvalidRecord:
            continue
        if found is None or received.recommendation.version >= found.recommendation.version:
            found = received
    return found, erased, oldest_ms


def read_titles(
    bootstrap_servers: str,
    item_ids: Collection[str],
    *,
    topic: str,
    timeout_s: float,
    properties: Mapping[str, Any] | None = None,
) -> tuple[dict[str, str], bool]:
    """item_id → title as far as the topic of items has one, and whether all of the topic was read in time.

    Raises ConsumeError.
    """
    wanted = {item_id.encode(): item_id for item_id in item_ids}
    titles: dict[str, str] = {}
    deadline = time.monotonic() + timeout_s
    consumer = open_consumer(bootstrap_servers, {**READER, **(properties or {})})
    try:
        starts, ends = [], []
        for number in partitions_of(consumer, bootstrap_servers, topic):
            low, high = _bounds(consumer, TopicPartition(topic, number), deadline)
            if high > low:
                starts.append(TopicPartition(topic, number, low))
                ends.append(high)
        for message in _messages(consumer, starts, ends, deadline):
            item_id = wanted.get(message.key())
            if item_id is not None and message.value() is not None:
                try:
                    titles[item_id] = parse_item(message.key(), message.value(), max_bytes=ITEM_BYTES).title
                except InvalidRecord:
                    continue
    except TimeoutError:
        return titles, False
    finally:
        consumer.close()
    return titles, True


def _bounds(consumer: Consumer, partition: TopicPartition, deadline: float) -> tuple[int, int]:
    """The partition's first offset and the one after its last. Raises ConsumeError."""
    try:
        low, high = consumer.get_watermark_offsets(partition, timeout=max(1.0, deadline - time.monotonic()))
    except KafkaException as error:
        raise ConsumeError(f"topic {partition.topic!r}: needed its offsets; got {error.args[0].str()!r}") from error
    return low, high


def _messages(consumer: Consumer, starts: list[TopicPartition], ends: list[int], deadline: float) -> Iterator[Message]:
    """The messages from each start to before its end; compaction has left gaps. Raises TimeoutError at the deadline."""
    left = {start.partition: end for start, end in zip(starts, ends, strict=True)}
    if not left:
        return
    consumer.assign(starts)
    while left:
        message = consumer.poll(max(0.0, min(0.1, deadline - time.monotonic())))
        if time.monotonic() > deadline:
            raise TimeoutError
        if message is None:
            continue
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise_unless_passing(error)
            continue
        end = left.get(message.partition())
        if end is None:
            continue
        if error is not None or message.offset() >= end - 1:
            del left[message.partition()]
        if error is None and message.offset() < end:
            yield message
