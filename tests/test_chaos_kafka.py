"""What a chaos run sends and hears, on the broker that librdkafka brings."""

import time

import orjson
import pytest
from mock_kafka import MockKafka

from livetower.chaos.accepted import undisturbed
from livetower.chaos.leg import read_log
from livetower.chaos.listener import Listener, read_to_end
from livetower.chaos.sender import Sender
from livetower.chaos.stream import MadeUpStream
from models.settings import ModelSettings

EVENTS = 200


@pytest.fixture
def kafka():
    return MockKafka("interactions", "recommendations")


def until(condition) -> None:
    """Wait for the condition."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_every_event_is_accepted_once_and_requests_follow_for_as_long_as_it_sends(kafka):
    stream, again = MadeUpStream(3), MadeUpStream(3)
    with Sender(kafka.bootstrap_servers, "interactions", stream, EVENTS, per_s=1_000) as sender:
        until(sender.all_sent)
        # That requests are sent is seen in the topic.
        until(lambda: len(read_to_end(kafka.bootstrap_servers, "interactions", committed=False)) > 1.2 * EVENTS)
        sender.finish()
    sent = [record for _ in range(EVENTS) for record in again.event(0)]
    log, ends = read_log(kafka.bootstrap_servers, "interactions")
    expected = undisturbed(log, None, ModelSettings(dimension=8))
    assert sum(ends.values()) == len(log) > len(sent)
    assert len(expected.rejected) == EVENTS // 50
    learned = [rec_id for rec_id in expected.lists if int(rec_id.partition(":")[2]) <= EVENTS]
    assert len(learned) == EVENTS


def test_a_listener_keeps_what_it_needs_of_a_list_and_knows_equal_ones(kafka):
    def record(user_seq: int, kafka_ms: int, **fields: object) -> bytes:
        clock = {"event_time_ms": 1, "kafka_ms": kafka_ms, "learned_ms": kafka_ms + 1, "emitted_ms": kafka_ms + 2}
        named = {"rec_id": "u1:a", "user_id": "u1", "user_seq": user_seq, "snapshot": {"epoch": 0, "age_ms": kafka_ms}}
        return orjson.dumps(named | {"clock": clock, "items": []} | fields)

    for value in (record(1, 10), record(1, 20), record(2, 15, items=[1]), None):
        kafka.send("recommendations", "u1", value)
    listener = Listener(kafka.bootstrap_servers, "recommendations", committed=False)

    def came() -> bool:
        listener.poll()
        return len(listener.lists) == 3

    until(came)
    listener.close()
    first, second, third = listener.lists
    assert [(each.rec_id, each.user_id, each.user_seq) for each in listener.lists] == [
        ("u1:a", "u1", 1),
        ("u1:a", "u1", 1),
        ("u1:a", "u1", 2),
    ]
    assert first.digest == second.digest != third.digest  # times do not count
    assert listener.newest_ms == 20
