"""livetower.consume on a real Kafka client and librdkafka's own mock broker."""

import json
import signal
import subprocess
import sys
import threading
import time
import zlib
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from mock_kafka import PARTITIONS, MockKafka, user_of
from restricted import ROOT

from livetower.consume import (
    ConsumeError,
    ListConsumer,
    NewestLists,
    Received,
    client,
    find_newest_list,
    parse_recommendation,
    stop_on_signals,
)
from livetower.consume import find_list as search
from livetower.consume.client import open_consumer
from livetower.consume.find_list import read_titles
from livetower.consume.partition import murmur2, partition_of
from models.records import Clock, Recommendation, RecommendedItem, encode_recommendation
from models.strategies import Strategy

TOPIC = "recommendations"


@pytest.fixture(scope="module")
def kafka():
    return MockKafka()


@pytest.fixture
def topic(request) -> str:
    """A topic of the test's own."""
    return f"lists-{zlib.crc32(request.node.name.encode())}"


def a_list(user_id: str, seq: int, since_ms: int = 10, *items: str, kafka_ms: int = 2) -> bytes:
    entries = tuple(RecommendedItem(item, 1.0, 0.5, 0.5, 0, 0, 0, 0, 0, "i0") for item in items)
    made = Recommendation(user_id, since_ms, seq, f"e{seq}", entries, Strategy.HYBRID, 0, 500, 900)
    return encode_recommendation(made, Clock(1, kafka_ms, kafka_ms + 1, kafka_ms + 2))


# ---- the newest list -----------------------------------------------------------------------------


def test_the_newest_list_has_the_highest_version_and_of_equal_ones_comes_later():
    newest = NewestLists()
    lists = [
        (a_list("u", 5), True),
        (a_list("u", 4), False),  # a restored job says again what it said before
        (a_list("u", 5, 10, "i1"), True),
        (a_list("u", 1, 11, "i2"), True),  # the state had died and began anew
        (a_list("u", 9, 10), False),
        (a_list("other", 1), True),
    ]
    assert [newest.accept(parse_recommendation(value)) for value, _ in lists] == [kept for _, kept in lists]
    assert [entry.item_id for entry in newest.of("u").items] == ["i2"]
    assert len(newest) == 2
    newest.forget("u")
    assert newest.of("u") is None


# ---- partitions ----------------------------------------------------------------------------------


def test_murmur2_is_that_of_kafkas_own_test():
    known = {  # org.apache.kafka.common.utils.UtilsTest.testMurmur2
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"a-little-bit-longer-string": -1486304829,
        b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
        b"abc": 479470107,
    }
    assert {key: murmur2(key) for key in known} == {key: number % 2**32 for key, number in known.items()}


def test_a_key_is_where_librdkafkas_murmur2_puts_it(kafka, topic):
    placed: dict[bytes, int] = {}
    options = {"bootstrap.servers": kafka.bootstrap_servers, "partitioner": "murmur2"}
    producer = Producer(options)
    for key in [f"é{n}" * (1 + n % 5) for n in range(60)]:
        producer.produce(topic, key=key.encode(), on_delivery=lambda _, m: placed.update({m.key(): m.partition()}))
    producer.flush(10)
    assert len(placed) == 60
    assert placed == {key: partition_of(key, PARTITIONS) for key in placed}
    assert set(placed.values()) == set(range(PARTITIONS))


# ---- the client ----------------------------------------------------------------------------------


def read(kafka: MockKafka, topic: str, group_id: str | None, count: int, fail_at: str = "") -> list[Received]:
    """What a consumer is given until it has `count` lists."""
    consumer = ListConsumer(kafka.bootstrap_servers, group_id, topic=topic)
    received: list[Received] = []
    patience = threading.Timer(60, consumer.stop)
    patience.start()

    def take_list(each: Received) -> None:
        if each.recommendation.user_id == fail_at:
            raise ZeroDivisionError
        received.append(each)
        if len(received) == count:
            consumer.stop()

    try:
        consumer.run(take_list)
    finally:
        patience.cancel()
    return received


def test_a_group_goes_on_where_it_stood_and_commits_what_it_was_given(kafka, topic):
    known, new = user_of(0, 0), [user_of(0, 1), user_of(1), user_of(2)]
    for user in (known, *new):
        kafka.send(topic, user, a_list(user, 1))
    kafka.commit("shop-1", topic, partition=0, offset=1)
    assert {r.recommendation.user_id for r in read(kafka, topic, "shop-1", 3)} == set(new)
    assert kafka.committed("shop-1", topic) == 4


def test_a_list_whose_reader_failed_is_not_committed(kafka, topic):
    first, second = user_of(0, 0), user_of(0, 1)
    kafka.send(topic, first, a_list(first, 1))
    kafka.send(topic, second, a_list(second, 1))
    with pytest.raises(ZeroDivisionError):
        read(kafka, topic, "shop-2", 2, fail_at=second)
    assert kafka.committed("shop-2", topic) == 1


def test_without_a_group_the_whole_topic_is_read_at_every_start(kafka, topic):
    users = [user_of(n) for n in range(PARTITIONS)]
    for user in users:
        kafka.send(topic, user, a_list(user, 1), timestamp=5_000)
    for _ in range(2):
        received = read(kafka, topic, None, PARTITIONS)
        assert {(r.recommendation.user_id, r.partition) for r in received} == {
            (user, n) for n, user in enumerate(users)
        }
        assert {(r.offset, r.appended_ms) for r in received} == {(0, 5_000)}


def test_lag_falls_to_nothing_and_freshness_is_from_kafka_to_here(kafka, topic):
    user = user_of(1)
    for seq in range(5):
        kafka.send(topic, user, a_list(user, seq, kafka_ms=1_000))
    consumer = ListConsumer(kafka.bootstrap_servers, None, topic=topic)
    assert (consumer.lag(), consumer.freshness_ms(0.5)) == (5, None)
    lags, received = [], []

    def take_list(each: Received) -> None:
        lags.append(consumer.lag())
        received.append(each)
        if len(received) == 5:
            consumer.stop()

    seen = {}
    stop = consumer.stop
    consumer.stop = lambda: (seen.update(lag=consumer.lag(), fresh=consumer.freshness_ms(0.99)), stop())
    consumer.run(take_list)
    assert lags == sorted(lags, reverse=True)
    assert seen["lag"] == 0
    assert seen["fresh"] == max(each.received_ms - 1_000 for each in received)


def test_a_group_lags_by_what_it_has_not_committed(kafka, topic):
    for user in (user_of(2), user_of(3, 0), user_of(3, 1)):
        kafka.send(topic, user, a_list(user, 1))
    kafka.commit("shop-3", topic, partition=2, offset=1)
    consumer = ListConsumer(kafka.bootstrap_servers, "shop-3", topic=topic)
    lags = []
    consumer.run(lambda _: (lags.append(consumer.lag()), len(lags) < 2 or consumer.stop()))
    assert lags == [1, 0]


def test_what_is_no_list_is_counted_and_left_aside_and_a_null_value_forgets_the_user(kafka, topic):
    user = user_of(0)
    kafka.send(topic, user, b"{")
    kafka.send(topic, user, None)
    kafka.send(topic, user, a_list(user, 1))
    consumer = ListConsumer(kafka.bootstrap_servers, None, topic=topic)
    received, forgotten = [], []
    consumer.run(lambda each: (received.append(each.offset), consumer.stop()), forgotten.append)
    assert (received, forgotten, consumer.invalid) == ([2], [user], 1)


def test_a_broker_that_is_not_there_is_said_so(monkeypatch):
    monkeypatch.setattr("livetower.consume.client.BROKER_S", 0.2)
    with pytest.raises(ConsumeError, match=r"Kafka at 127\.0\.0\.1:1: needed an answer within 0\.2 s"):
        ListConsumer("127.0.0.1:1", "shop")


def test_a_topic_that_is_not_there_is_said_so_and_not_made(kafka, topic):
    kafka.make_topic(topic)
    for _ in range(2):
        with pytest.raises(
            ConsumeError, match=rf"needed topic 'other', which a submitted job makes; there are .*{topic}"
        ):
            ListConsumer(kafka.bootstrap_servers, "shop", topic="other")


def test_a_property_that_librdkafka_does_not_know_is_said_so():
    with pytest.raises(ConsumeError, match=r'needed properties that librdkafka knows; No such .*"colour"'):
        ListConsumer("there:1", None, properties={"colour": "red"})


def test_sigterm_ends_the_run_and_the_handlers_before_come_back(kafka, topic):
    kafka.send(topic, user_of(0), a_list(user_of(0), 1))
    before = signal.getsignal(signal.SIGTERM)
    consumer = ListConsumer(kafka.bootstrap_servers, None, topic=topic)
    received: list[Received] = []
    with stop_on_signals(consumer):
        consumer.run(lambda each: (received.append(each), signal.raise_signal(signal.SIGTERM)))
    assert len(received) == 1
    assert signal.getsignal(signal.SIGTERM) is before


# ---- one user's list -----------------------------------------------------------------------------


def found(kafka: MockKafka, topic: str, user: str, **options: Any) -> Received | None:
    return find_newest_list(kafka.bootstrap_servers, user, topic=topic, **options)


def test_a_users_newest_list_is_found_among_others(kafka, topic, monkeypatch):
    monkeypatch.setattr(search, "FIRST_WINDOW", 2)
    monkeypatch.setattr(search, "LAST_WINDOW", 3)
    user, other = user_of(0, 0), user_of(0, 1)
    for seq in (1, 3, 2):  # 2 is a restored job's that has not caught up yet
        kafka.send(topic, user, a_list(user, seq), timestamp=1_000_000)
    for seq in range(7):
        kafka.send(topic, other, a_list(other, seq), timestamp=1_000_000)
    received = found(kafka, topic, user)
    assert (received.recommendation.user_seq, received.partition, received.offset) == (3, 0, 1)
    assert found(kafka, topic, other).recommendation.user_seq == 6
    assert found(kafka, topic, user_of(0, 2)) is None
    assert found(kafka, topic, user_of(1)) is None


def test_of_equal_versions_the_later_is_found(kafka, topic, monkeypatch):
    monkeypatch.setattr(search, "FIRST_WINDOW", 1)
    user = user_of(0)
    for item in ("i1", "i2"):
        kafka.send(topic, user, a_list(user, 1, 10, item))
    assert found(kafka, topic, user).recommendation.items[0].item_id == "i2"


def test_the_look_ends_ten_minutes_before_the_list_that_was_found(kafka, topic, monkeypatch):
    monkeypatch.setattr(search, "FIRST_WINDOW", 1)
    monkeypatch.setattr(search, "LAST_WINDOW", 1)
    user, other = user_of(0), user_of(0, 1)
    kafka.send(topic, user, a_list(user, 9), timestamp=1_000_000)
    kafka.send(topic, other, a_list(other, 1), timestamp=1_300_000)
    for seq, at_ms in ((8, 2_000_000), (7, 2_600_000)):
        kafka.send(topic, user, a_list(user, seq), timestamp=at_ms)
    assert found(kafka, topic, user).recommendation.user_seq == 8
    monkeypatch.setattr(search, "LOOK_BACK_MS", 10_000_000)
    assert found(kafka, topic, user).recommendation.user_seq == 9


@pytest.mark.parametrize("window", [1, 100])
def test_a_null_value_ends_what_was_before(kafka, topic, monkeypatch, window):
    monkeypatch.setattr(search, "FIRST_WINDOW", window)
    user = user_of(0)
    kafka.send(topic, user, a_list(user, 5))
    kafka.send(topic, user, None)
    assert found(kafka, topic, user) is None
    kafka.send(topic, user, b"no list")
    kafka.send(topic, user, a_list(user, 1, 20))
    assert found(kafka, topic, user).recommendation.user_seq == 1


class Compacted:
    """A partition of which only these offsets are left, as a consumer gives them."""

    def __init__(self, *offsets: int) -> None:
        self._offsets = offsets
        self.given: list[int] = []

    def assign(self, starts: list[TopicPartition]) -> None:
        self._left = [offset for offset in self._offsets if offset >= starts[0].offset]

    def poll(self, _timeout: float) -> "Compacted":
        self.given.append(self._left.pop(0))
        return self

    def error(self) -> None:
        return None

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.given[-1]


def test_where_compaction_left_a_gap_at_the_end_of_a_window_the_next_record_ends_it():
    consumer = Compacted(0, 1, 7, 8)
    start = TopicPartition(TOPIC, 0, 0)
    offsets = [message.offset() for message in search._messages(consumer, [start], [5], time.monotonic() + 60)]
    assert (offsets, consumer.given) == ([0, 1], [0, 1, 7])


def test_a_time_that_was_too_short_is_no_answer(kafka, topic):
    kafka.send(topic, user_of(0), a_list(user_of(0), 1))
    with pytest.raises(ConsumeError, match=r"the time was over when 0 of the 1 offsets of partition 0 were read"):
        found(kafka, topic, user_of(0), timeout_s=0)


def test_titles_are_the_last_ones_of_the_topic_of_items(kafka, topic):
    titles = [("i1", "Alien"), ("i2", "Heat"), ("i1", "Aliens"), ("i3", "Ran")]
    for item_id, title in titles:
        kafka.send(topic, item_id, json.dumps({"item_id": item_id, "title": title}).encode())
    kafka.send(topic, "i2", None)
    kafka.send(topic, "i4", b"{")
    asked = {"topic": topic, "timeout_s": 10}
    assert read_titles(kafka.bootstrap_servers, ["i1", "i2", "i4", "i5"], **asked) == (
        {"i1": "Aliens", "i2": "Heat"},
        True,
    )
    assert read_titles(kafka.bootstrap_servers, ["i1"], topic=topic, timeout_s=0) == ({}, False)


# ---- the example ---------------------------------------------------------------------------------


def test_the_example_of_the_documentation_prints_each_newest_list_and_stops_on_sigterm(kafka):
    ada, bob = user_of(0), user_of(0, 1)
    for value in (a_list(ada, 1, 10, "i1"), a_list(ada, 2, 10, "i2", "i3"), a_list(ada, 1, 10, "i1")):
        kafka.send(TOPIC, ada, value)
    kafka.send(TOPIC, bob, a_list(bob, 1, 10, "i4"))
    program = [sys.executable, str(ROOT / "docs" / "consumer_example.py"), kafka.bootstrap_servers, "example"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        patience = threading.Timer(60, running.kill)
        patience.start()
        lines = [running.stdout.readline().split(" (")[0] for _ in range(3)]
        running.send_signal(signal.SIGTERM)
        rest, errors = running.communicate()
        patience.cancel()
    assert lines == [f"{ada}: i1", f"{ada}: i2, i3", f"{bob}: i4"]
    assert (rest.splitlines()[-1], errors, running.returncode) == ("stopped; 2 users, 1 older list left aside", "", 0)
    assert kafka.committed("example", TOPIC) == 4


def test_a_received_list_is_a_value():
    received = Received(parse_recommendation(a_list("u", 1, kafka_ms=40)), 0, 0, 50, 60)
    assert replace(received, received_ms=65).freshness_ms == 25


@pytest.mark.parametrize(
    ("given", "asked"), [({}, "read_committed"), ({"isolation": "read_uncommitted"}, "read_uncommitted")]
)
def test_a_reader_sees_committed_lists_unless_it_asks_for_all(kafka, topic, monkeypatch, given, asked):
    options = []
    kafka.make_topic(topic)

    def noted(bootstrap_servers, chosen):
        options.append(chosen)
        return open_consumer(bootstrap_servers, chosen)

    monkeypatch.setattr(client, "open_consumer", noted)
    ListConsumer(kafka.bootstrap_servers, None, topic=topic, **given)
    assert [each["isolation.level"] for each in options] == [asked]
