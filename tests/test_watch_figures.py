"""Recorded messages in, a view out; and the reader on a broker that the test makes up."""

import threading
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from made_up import NOW_MS, interaction

from flink_jobs.settings import TopicSettings
from livetower.watch.click_through import Clicks
from livetower.watch.errors import WatchError
from livetower.watch.figures import Figures
from livetower.watch.hit_rates import HitRates
from livetower.watch.reader import CATCHING_UP, Committed, Reader
from livetower.watch.view import SnapshotSeen
from models.settings import ModelSettings

MS = 1_000_000


def figures(user_id: str | None = None) -> Figures:
    return Figures(ModelSettings(), user_id, began_s=100.0)


def recommendation(user: str, trigger: str, *items: str, seq: int = 1, **fields: Any) -> bytes:
    record = {
        "rec_id": f"{user}:{trigger}",
        "user_id": user,
        "user_since_ms": NOW_MS,
        "user_seq": seq,
        "items": [{"item_id": item} for item in items],
        "strategy": "hybrid",
        "snapshot": {"epoch": 0, "trained_events": 2_000, "age_ms": 40},
        "trigger": trigger,
        "clock": {"kafka_ms": NOW_MS},
    }
    return orjson.dumps(record | fields)


def test_before_anything_was_seen_the_view_is_empty():
    view = figures().view(100.0)
    assert (view.events_per_s, view.freshness_p50_ms, view.snapshot, view.lag, view.shown) == (
        0,
        None,
        None,
        None,
        None,
    )
    assert view.rates == HitRates(0, 0, 0)


def test_messages_become_speed_freshness_snapshot_hit_rates_clicks_and_a_list():
    seen = figures()
    seen.accept_item(b"x", orjson.dumps({"item_id": "x", "title": "The X"}))
    seen.accept_interaction(interaction("e1", "ann", "w"), NOW_MS, 0, 5)
    seen.accept_recommendation(recommendation("ann", "e1", "y", "x"), NOW_MS * MS + 3 * MS, 101.0)
    clicked = interaction("e2", "ann", "x", rec_id="ann:e1", position=1)
    seen.accept_interaction(clicked, NOW_MS, 0, 6)
    seen.accept_recommendation(recommendation("ann", "e2", "z", "x", seq=2), NOW_MS * MS + 5 * MS, 102.0)
    view = seen.view(102.0)
    assert (view.elapsed_s, view.events_per_s) == (2.0, 1.0)
    assert (view.freshness_p50_ms, view.freshness_p99_ms) == (3.0, 5.0)
    assert view.snapshot == SnapshotSeen("0-2000", 40)
    assert view.rates == HitRates(scored=1, live_hits=1, popularity_hits=0)
    assert view.by_strategy == (Clicks("hybrid", 2, 1),)
    assert view.by_snapshot == (Clicks("0-2000", 2, 1),)
    assert view.shown.user_id == "ann"
    assert [(e.title, e.move) for e in view.shown.entries] == [("z", "new"), ("The X", "")]


def test_speed_and_freshness_are_those_of_the_last_five_seconds():
    seen = figures()
    for n in range(20):
        seen.accept_recommendation(recommendation("ann", f"e{n}"), NOW_MS * MS + n * MS, 100.0 + n)
    view = seen.view(119.5)
    assert (view.events_per_s, view.freshness_p50_ms, view.freshness_p99_ms) == (1.0, 17.0, 19.0)
    assert seen.view(200.0).events_per_s == 0


def test_a_request_and_a_dislike_are_no_clicks_and_a_bad_position_none_either():
    seen = figures()
    seen.accept_recommendation(recommendation("ann", "e0", "x"), NOW_MS * MS, 101.0)
    named = {"rec_id": "ann:e0", "position": 0}
    seen.accept_interaction(interaction("e1", "ann", None, event_type="request", **named), NOW_MS, 0, 1)
    seen.accept_interaction(interaction("e2", "ann", "x", event_type="dislike", **named), NOW_MS, 0, 2)
    seen.accept_interaction(interaction("e3", "ann", "x", rec_id="ann:e0", position=-1), NOW_MS, 0, 3)
    seen.accept_interaction(interaction("e4", "ann", "x", rec_id=["ann:e0"]), NOW_MS, 0, 4)
    seen.accept_interaction(interaction("e5", "ann", "x", rec_id="ann:e9"), NOW_MS, 0, 5)
    seen.accept_interaction(interaction("e6", "ann", "y", rec_id="ann:e0"), NOW_MS, 0, 6)
    view = seen.view(102.0)
    assert view.by_strategy == (Clicks("hybrid", 1, 0),)
    assert (view.unknown_clicks, view.mistaken_clicks) == (1, 1)


def test_lag_counts_from_the_newest_answered_interaction_or_from_what_the_group_committed():
    seen = figures()
    for offset in range(10):
        seen.accept_interaction(interaction(f"e{offset}", "ann", "x"), NOW_MS, 3, offset)
    assert seen.view(101.0).lag is None
    seen.ends = {3: (0, 10), 4: (100, 150)}
    assert seen.view(101.0).lag == 10 + 50
    seen.accept_recommendation(recommendation("ann", "e6"), NOW_MS * MS, 101.0)
    seen.accept_recommendation(recommendation("ann", "e2"), NOW_MS * MS, 101.0)
    assert seen.view(101.0).lag == 3 + 50
    seen.committed = {3: 4, 4: 120}
    assert seen.view(101.0).lag == 3 + 30
    seen.committed = {3: 9, 4: 160}
    assert seen.view(101.0).lag == 1


def test_what_is_malformed_is_no_event_and_what_is_no_list_is_counted():
    seen = figures()
    for value in (b"{", b"[]", interaction("e", event_type="stare"), None):
        seen.accept_interaction(value, NOW_MS, 0, 1)
    for value in (b"{", b"[]", b"{}", b'{"rec_id": "a", "items": 5}', recommendation("ann", "e", snapshot=None)):
        seen.accept_recommendation(value, NOW_MS * MS, 101.0)
    seen.accept_recommendation(None, NOW_MS * MS, 101.0)  # a user that was erased
    seen.accept_item(b"x", b"{")
    view = seen.view(102.0)
    assert (view.unreadable, view.events_per_s, view.rates.scored) == (5, 0, 0)


def test_rejected_records_are_counted_by_reason():
    seen = figures()
    for headers in ([("reason", b"no_key")], [("detail", b"x"), ("reason", b"no_key")], None):
        seen.accept_rejected(headers)
    assert seen.view(101.0).rejected == {"no_key": 2, "no reason": 1}


# ---- the reader ----------------------------------------------------------------------------------


class Message:
    def __init__(self, topic: str, partition: int, offset: int, value: bytes | None, error: Any = None) -> None:
        self._place = topic, partition, offset
        self._value, self._error = value, error
        self.headed = [("reason", b"no_key")]

    def topic(self) -> str:
        return self._place[0]

    def partition(self) -> int:
        return self._place[1]

    def offset(self) -> int:
        return self._place[2]

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes | None:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return 1, NOW_MS

    def headers(self) -> list[tuple[str, bytes]]:
        return self.headed

    def error(self) -> Any:
        return self._error


class Broker:
    """Logs by topic, of one partition each, and a consumer of them that stops the reader when it has read all.

    `later` is appended when the first assignment has been read to its end.
    """

    def __init__(self, **logs: Sequence[bytes | None]) -> None:
        topics = TopicSettings()
        self.logs = {
            name: list(logs.get(name, [])) for name in ("interactions", "items", "rejected", "recommendations")
        }
        self.first = dict.fromkeys(self.logs, 0)
        self.later: dict[str, list[bytes | None]] = {}
        self.stop = threading.Event()
        self.assigned: list[dict[str, int]] = []
        self.closed = False
        self.topics = {getattr(topics, name): Partitions() for name in self.logs}

    def list_topics(self, timeout: float) -> "Broker":
        return self

    def get_watermark_offsets(self, place: TopicPartition, timeout: float = 0, cached: bool = False) -> tuple[int, int]:
        return self.first[place.topic], len(self.logs[place.topic])

    def assign(self, places: list[TopicPartition]) -> None:
        self.at = {place.topic: place.offset for place in places}
        self.assigned.append(dict(self.at))
        if len(self.assigned) == 2:
            for topic, values in self.later.items():
                self.logs[topic] += values

    def poll(self, timeout: float) -> Message | None:
        for topic, at in self.at.items():
            if at < len(self.logs[topic]):
                self.at[topic] += 1
                value = self.logs[topic][at]
                return (
                    Message(topic, 0, at, None, value)
                    if isinstance(value, KafkaError)
                    else Message(topic, 0, at, value)
                )
        if len(self.assigned) == 2:
            self.stop.set()
        return None

    def consume(self, most: int, timeout: float) -> list[Message]:
        return []

    def close(self) -> None:
        self.closed = True


class Partitions:
    partitions = (0,)


def read(broker: Broker, history: int = 100) -> Figures:
    seen = figures()
    Reader(broker, "kafka:9092", TopicSettings(), seen, history).read(broker.stop)
    return seen


def test_the_reader_knows_titles_and_history_before_it_reads_lists_and_lists_from_then_on():
    broker = Broker(
        items=[orjson.dumps({"item_id": "x", "title": "The X"})],
        interactions=[interaction("e0", "ann", "w"), interaction("e1", "ann", "v")],
        recommendations=[recommendation("ann", "e0", "x")],
        rejected=[b"old"],
    )
    broker.later = {
        "recommendations": [recommendation("ann", "e1", "x")],
        "interactions": [interaction("e2", "ann", "x")],
        "rejected": [b"new"],
    }
    seen = read(broker)
    assert broker.assigned[0] == {"items": 0, "interactions": 0}
    assert broker.assigned[1] == {"items": 1, "interactions": 2, "recommendations": 1, "rejected": 1}
    view = seen.view(101.0)
    assert view.rates == HitRates(scored=1, live_hits=1, popularity_hits=0)
    assert view.shown.entries[0].title == "The X"
    assert view.rejected == {"no_key": 1}
    assert (view.lag, view.part) == (1, "")  # of three interactions the second was answered
    assert broker.closed


@pytest.mark.parametrize(("history", "start"), [(2, 3), (0, 5), (100, 1)])
def test_history_is_what_is_asked_for_at_most(history: int, start: int):
    broker = Broker(interactions=[interaction(f"e{n}", "ann", "x") for n in range(5)])
    broker.first["interactions"] = 1
    read(broker, history)
    assert broker.assigned[0]["interactions"] == start


def test_the_end_of_a_compacted_partition_ends_the_catching_up():
    broker = Broker(items=[orjson.dumps({"item_id": "x", "title": "X"}), KafkaError(KafkaError._PARTITION_EOF)])
    assert read(broker).view(101.0).part == ""


def test_while_history_is_read_the_view_says_so():
    broker = Broker(items=[orjson.dumps({"item_id": "x"})] * 3)
    broker.stop.set()
    seen = figures()
    said = []
    broker.poll = lambda timeout: said.append(seen.view(101.0).part)
    reader = Reader(broker, "kafka:9092", TopicSettings(), seen, 10)
    threading.Thread(target=reader.read, args=(stopped_after(said, 1),)).run()
    assert said == [CATCHING_UP]


class stopped_after:  # noqa: N801
    """An event that is set once a list is as long."""

    def __init__(self, said: list[Any], length: int) -> None:
        self.said, self.length = said, length

    def is_set(self) -> bool:
        return len(self.said) >= self.length


def test_an_error_that_waiting_does_not_cure_ends_the_watch_and_one_that_it_does_is_waited_for():
    fatal = Broker(interactions=[KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)])
    with pytest.raises(WatchError, match="topic interactions: reading must go on; Kafka says: "):
        read(fatal)
    assert fatal.closed
    passing = Broker(interactions=[KafkaError(KafkaError._ALL_BROKERS_DOWN), interaction("e0", "ann", "x")])
    read(passing)
    assert passing.assigned[1]["interactions"] == 2


def test_a_missing_topic_is_named_with_its_cure():
    broker = Broker()
    del broker.topics["rejected"]
    with pytest.raises(WatchError, match=r"there is no rejected: start the job.*livetower submit"):
        read(broker)


def test_a_broker_that_does_not_answer_is_named_with_its_cure():
    broker = Broker()

    def refuse(timeout: float) -> None:
        raise KafkaException(KafkaError(KafkaError._TRANSPORT, "Broker transport failure"))

    broker.list_topics = refuse
    with pytest.raises(WatchError, match=r"Kafka at kafka:9092: .*livetower up"):
        read(broker)


class Group:
    """A consumer that is asked for committed offsets."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def committed(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return [TopicPartition("interactions", partition, offset) for partition, offset in answer.items()]


def test_committed_offsets_are_asked_for_every_five_seconds_and_kept_while_there_is_no_answer():
    group = Group({0: 7, 1: -1001}, KafkaException(KafkaError(KafkaError._TRANSPORT)), {0: 9, 1: 2})
    committed = Committed(group, [TopicPartition("interactions", 0)])
    assert [committed.offsets(now) for now in (100, 104.9, 105, 110)] == [{0: 7}, {0: 7}, {0: 7}, {0: 9, 1: 2}]
