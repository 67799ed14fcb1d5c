"""The priority lane: its events do not wait behind a backlog of the other lane, and a flood of it starves nobody.

LANES_BACKLOG=500000 python -m pytest tests/test_job_lanes.py      # the figures of docs/guarantees.md
"""

import os
import time

import orjson
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from crowd import ITEM_IDS
from made_up import interaction
from proofs import Proof, prove
from running_job import RunningJob, now_ms, wait_for

pytestmark = pytest.mark.flink

BACKLOG = int(os.environ.get("LANES_BACKLOG", "200000"))
FLOOD, PER_S, SECONDS = 20_000, 50, max(4, BACKLOG // 25_000)
USERS = 500


class Lists:
    """What came back, without keeping half a million lists: their number by lane, and the waits of paced events."""

    def __init__(self, job: RunningJob) -> None:
        self.waits_ms: dict[str, int] = {}
        self.normal, self.flood = 0, 0
        name = job.topics["recommendations"]
        self._consumer = Consumer({"bootstrap.servers": job.sandbox.bootstrap_servers, "group.id": "unused"})
        partitions = self._consumer.list_topics(name, timeout=10).topics[name].partitions
        ends = {n: self._consumer.get_watermark_offsets(TopicPartition(name, n))[1] for n in partitions}
        self._consumer.assign([TopicPartition(name, n, end) for n, end in ends.items()])

    def poll(self) -> "Lists":
        while batch := self._consumer.consume(1_000, timeout=0.02):
            for message in batch:
                assert message.error() is None, message.error()
                if message.key().startswith(b"vip"):
                    record = orjson.loads(message.value())
                    clock = record["clock"]
                    self.waits_ms.setdefault(record["trigger"], clock["emitted_ms"] - clock["kafka_ms"])
                elif message.key().startswith(b"flood"):
                    self.flood += 1
                else:
                    self.normal += 1
        return self

    def close(self) -> None:
        self._consumer.close()


class Sender:
    """Produces without keeping what it has sent."""

    def __init__(self, job: RunningJob) -> None:
        self._topics = job.topics
        options = {"linger.ms": 5, "queue.buffering.max.messages": 1_000_000}
        self._producer = Producer({"bootstrap.servers": job.sandbox.bootstrap_servers, **options})

    def send(self, topic: str, prefix: str, first: int, end: int) -> None:
        for n in range(first, end):
            user = f"{prefix}{n % USERS}"
            value = interaction(f"{prefix}-{n}", user, ITEM_IDS[n * n % len(ITEM_IDS)], event_time_ms=now_ms())
            self._producer.produce(self._topics[topic], key=user.encode(), value=value)
            self._producer.poll(0)

    def flush(self) -> None:
        assert self._producer.flush(120) == 0

    def paced(self, topic: str, prefix: str, seconds: int) -> int:
        """Send at PER_S for so long; returns how many."""
        began = time.monotonic()
        for n in range(PER_S * seconds):
            early_s = began + n / PER_S - time.monotonic()
            if early_s > 0:
                time.sleep(early_s)  # the pace itself, not a wait for anything
            self.send(topic, prefix, n, n + 1)
        self.flush()
        return PER_S * seconds


def test_priority_events_pass_a_backlog_and_a_flood_of_them_starves_nobody(sandbox, tmp_path):
    with RunningJob(sandbox, tmp_path / "snapshots", "job.checkpoint_interval_s=2") as job:
        job.load_items(*ITEM_IDS)
        lists, sender = Lists(job), Sender(job)
        sender.send("interactions", "user", 0, BACKLOG)
        sender.flush()
        assert lists.poll().normal < BACKLOG // 2  # what follows meets a backlog
        left_before = BACKLOG - lists.normal
        sent = sender.paced("interactions_priority", "vip", SECONDS)
        wait_for("the priority lists", lambda: len(lists.poll().waits_ms) == sent)
        left_after = BACKLOG - lists.normal
        waits = sorted(lists.waits_ms.values())
        p50, p99 = waits[len(waits) // 2], waits[len(waits) * 99 // 100]

        sender.send("interactions_priority", "flood", 0, FLOOD)
        sender.flush()
        wait_for("the flood", lambda: lists.poll().flood > 0)
        began = lists.normal, lists.flood
        wait_for("some of the flood", lambda: lists.poll().flood >= began[1] + FLOOD // 8)
        normal, flood = lists.normal - began[0], lists.flood - began[1]
        left_in_the_end = BACKLOG - lists.normal
        lists.close()
        prove(
            Proof(
                f"priority lane beside a backlog of {BACKLOG:,} events",
                lost=sent - len(waits),
                note=f"{left_before:,} to {left_after:,} waiting: p50 {p50} ms, p99 {p99} ms, longest {waits[-1]} ms; "
                f"under a flood of it the other lane got {normal / (normal + flood):.0%}",
            )
        )
    assert left_after > 0
    assert p99 <= 500
    assert left_in_the_end > 0
    assert 0.1 <= flood / (normal + flood) <= 0.75


def test_a_savepoint_from_before_the_lane_restores_into_a_job_that_has_it(sandbox, tmp_path):
    with RunningJob(sandbox, tmp_path / "snapshots", "topics.interactions_priority=") as job:
        job.load_items(*ITEM_IDS)
        job.event("e1", "ada", "i1")
        job.flush()
        wait_for("its list", lambda: any(r["rec_id"] == "ada:e1" for r in job.lists()))
        savepoint = job.stop_with_savepoint(tmp_path / "savepoints")
        lane = f"topics.interactions_priority={job.topics['interactions_priority']}"
        job.start(lane, from_savepoint=savepoint)
        job.send("interactions_priority", b"ada", interaction("e2", "ada", "i2", event_time_ms=now_ms()))
        job.flush()
        wait_for("its list", lambda: any(r["rec_id"] == "ada:e2" for r in job.lists()))
        seqs = {r["rec_id"]: r["user_seq"] for r in job.lists() if r["user_id"] == "ada"}
    assert seqs == {"ada:e1": 1, "ada:e2": 2}
