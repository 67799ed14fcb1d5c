"""The watch and the demo's own list with real Kafka clients, on the broker that librdkafka has inside."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from confluent_kafka import TopicPartition
from made_up import interaction
from mock_kafka import PARTITIONS, MockKafka
from test_watch_figures import recommendation

from flink_jobs.settings import load_settings
from livetower.demo.own_list import OwnList
from livetower.watch.reader import open_consumer
from livetower.watch.run import Watch
from livetower.watch.view import View

TOPICS = ("interactions", "items", "rejected", "recommendations")


@pytest.fixture
def kafka() -> MockKafka:
    return MockKafka(*TOPICS)


def settings_for(address: str) -> Any:
    return load_settings(None, ["job.snapshot_root=/unused", f"kafka.bootstrap_servers={address}"])


def wait_for(condition: Callable[[], Any], patience_s: float = 30.0) -> Any:
    end = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < end
        threading.Event().wait(0.02)
    return value


@pytest.fixture
def watching(kafka: MockKafka) -> Iterator[Callable[[], View]]:
    """A watch that runs, and has read what was on the topics before."""
    kafka.send("items", "x", orjson.dumps({"item_id": "x", "title": "The X"}))
    now_ms = time.time_ns() // 1_000_000
    for n in range(5):
        kafka.send("interactions", "ann", interaction(f"e{n}", "ann", f"w{n}", event_time_ms=now_ms))
    kafka.send("recommendations", "ann", recommendation("ann", "e3", "x"))
    watch = Watch(settings_for(kafka.bootstrap_servers), history=100)
    stop = threading.Event()
    thread = threading.Thread(target=watch.read, args=(stop,))
    thread.start()
    try:
        wait_for(lambda: watch.view().lag is not None)
        yield watch.view
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def test_what_comes_on_the_topics_is_seen_and_what_was_there_is_history(kafka: MockKafka, watching: Callable[[], View]):
    assert (watching().lag, watching().shown, watching().part) == (5, None, "")
    kafka_ms = time.time_ns() // 1_000_000
    kafka.send("recommendations", "ann", recommendation("ann", "e4", "x", clock={"kafka_ms": kafka_ms}))
    view = wait_for(lambda: (view := watching()).shown and view)
    assert [(entry.item_id, entry.title) for entry in view.shown.entries] == [("x", "The X")]
    assert 0 <= view.freshness_p50_ms < 30_000
    click = interaction("e5", "ann", "x", event_time_ms=kafka_ms, rec_id="ann:e4", position=0)
    kafka.send("interactions", "ann", click)
    kafka.send("rejected", "ann", b"{", headers={"reason": b"malformed_json"})
    view = wait_for(lambda: (view := watching()).rejected and view.rates.scored and view)
    assert view.rejected == {"malformed_json": 1}
    assert (view.rates.scored, view.rates.live_hits) == (1, 1)
    assert view.by_strategy[0].clicked == 1


def test_lag_is_what_lies_beyond_the_groups_commits(kafka: MockKafka):
    for n in range(5):
        kafka.send("interactions", "ann", interaction(f"e{n}", "ann", "x"))
    (partition,) = [p for p in range(PARTITIONS) if end_of(kafka, p) == 5]
    kafka.commit("livetower", "interactions", partition, offset=3)
    watch = Watch(settings_for(kafka.bootstrap_servers))
    stop = threading.Event()
    thread = threading.Thread(target=watch.read, args=(stop,))
    thread.start()
    try:
        assert wait_for(lambda: (view := watch.view()).lag is not None and view).lag == 2
    finally:
        stop.set()
        thread.join(30)


def end_of(kafka: MockKafka, partition: int) -> int:
    consumer = open_consumer(kafka.bootstrap_servers, "unused", {})
    try:
        return consumer.get_watermark_offsets(TopicPartition("interactions", partition), timeout=10)[1]
    finally:
        consumer.close()


def test_the_own_list_is_the_answer_to_the_own_event_and_knows_its_milliseconds(kafka: MockKafka):
    kafka.send("recommendations", "bob", recommendation("bob", "e0", "x"))
    with OwnList(kafka.bootstrap_servers, "interactions", "recommendations") as own:
        trigger = f"{own.user_id}-1"
        kafka.send("recommendations", own.user_id, recommendation(own.user_id, "another", "z"))
        kafka.send("recommendations", own.user_id, recommendation(own.user_id, trigger, "y", "x"))
        reply = own.answer("y")
    assert reply.item_ids == ["y", "x"]
    assert 0 < reply.ms < 10_000
