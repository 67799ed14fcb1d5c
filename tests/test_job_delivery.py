"""Exactly once: in transactions, across the kill of a TaskManager, each list is seen once and none before its
checkpoint.
"""

from collections import Counter

import pytest
from crowd import ITEM_IDS, TWICE_EVERY, USERS, send_events
from proofs import Proof, prove
from running_job import RunningJob, Topic, wait_for

from livetower.bench.offsets import end_offsets, read_between
from livetower.demo.listener import open_consumer
from livetower.sandbox import SandboxError

pytestmark = pytest.mark.flink

EVENTS = 40  # of each user
SETTINGS = ("kafka.delivery=exactly-once", "job.checkpoint_interval_s=1", "kafka.transaction_timeout_s=120")


def times_seen(job: RunningJob) -> Counter[str]:
    """rec_id of the crowd's lists → how often a reader of committed records has seen it."""
    return Counter(r["rec_id"] for r in job.lists() if r["user_id"].startswith("user"))


def read_back(job: RunningJob) -> int:
    """How many lists the bench's reader finds up to the end, where the topic's last offset ends a transaction."""
    brokers, topic = job.sandbox.bootstrap_servers, job.topics["recommendations"]
    consumer = open_consumer(brokers, topic)
    end = end_offsets(consumer, (topic,))
    consumer.close()
    return sum(1 for _ in read_between(brokers, topic, dict.fromkeys(end, 0), end))


def test_a_killed_taskmanager_costs_no_list_and_doubles_none_for_readers_of_committed_records(sandbox, tmp_path):
    with RunningJob(sandbox, tmp_path / "snapshots", *SETTINGS) as job:
        job.load_items(*ITEM_IDS)
        raw = Topic(sandbox.bootstrap_servers, job.topics["recommendations"], "read_uncommitted")
        send_events(job, 0, EVENTS)
        wait_for("lists in the middle", lambda: len(raw.poll()) > USERS * EVENTS // 4)
        (victim,) = set(job.taskmanagers("learn-and-recommend"))
        job.lose_taskmanager(victim)
        wait_for("every list", lambda: len(times_seen(job)) == USERS * EVENTS)
        job.wait_for_checkpoint()
        seen = times_seen(job)
        written = len([message for message in raw.poll() if message.key().startswith(b"user")])
        raw.close()
        seqs: dict[str, list[int]] = {}
        for r in job.lists():
            seqs.setdefault(r["user_id"], []).append(r["user_seq"])
        prove(
            Proof(
                "exactly-once, a TaskManager killed in the middle",
                lost=USERS * EVENTS - len(seen),
                doubled=sum(n - 1 for n in seen.values()),
                note=f"{written - USERS * EVENTS:,} lists of aborted transactions, seen by nobody",
            )
        )
        with_probes = len(job.lists())
        assert read_back(job) == with_probes
    assert all(sorted(seqs[f"user{u}"]) == list(range(1, EVENTS + 1)) for u in range(USERS))
    assert TWICE_EVERY < EVENTS  # events came twice, too


def test_a_list_is_seen_after_its_checkpoint_and_the_mode_may_change_at_a_savepoint(sandbox, tmp_path):
    with RunningJob(sandbox, tmp_path / "snapshots", *SETTINGS) as job:
        job.load_items(*ITEM_IDS)
        raw = Topic(sandbox.bootstrap_servers, job.topics["recommendations"], "read_uncommitted")
        hidden = 0
        for n in range(3):  # a checkpoint may fall between the two looks, but not three times
            rec_id = f"ada:r{n}"
            job.request(f"r{n}", "ada")
            job.flush()
            wait_for("its list, made", lambda rec_id=rec_id: rec_id.encode() in b"".join(m.value() for m in raw.poll()))
            hidden += all(r["rec_id"] != rec_id for r in job.lists())
            wait_for("its list, committed", lambda rec_id=rec_id: any(r["rec_id"] == rec_id for r in job.lists()))
        raw.close()
        assert hidden
        job.start("kafka.delivery=idempotent", from_savepoint=job.stop_with_savepoint(tmp_path / "savepoints"))
        send_events(job, 0, 1)
        wait_for("every list", lambda: len(times_seen(job)) == USERS)
        job.start(from_savepoint=job.stop_with_savepoint(tmp_path / "savepoints"))
        send_events(job, 1, 2)
        wait_for("every list", lambda: len(times_seen(job)) == 2 * USERS)
        assert set(times_seen(job).values()) == {1}


def test_transactions_longer_than_the_broker_allows_are_refused_at_submission(sandbox, tmp_path):
    with pytest.raises(SandboxError, match=r"transaction_timeout_s: needed at most 900, the brokers' most; got 3600"):
        RunningJob(sandbox, tmp_path / "snapshots", *SETTINGS, "kafka.transaction_timeout_s=3600")
