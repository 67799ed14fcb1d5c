"""The tower never holds recommendations back: not while its training is suspended, and what a frozen one costs."""

import signal
import time

import pytest
from crowd import ITEM_IDS
from proofs import Proof, prove
from running_job import RunningJob, wait_for

pytestmark = pytest.mark.flink

PER_S, SECONDS, USERS = 500, 5, 100


class Paced:
    """Sends events at PER_S and remembers which were sent when."""

    def __init__(self, job: RunningJob) -> None:
        self.job = job
        self.sent = 0

    def seconds(self, seconds: int) -> list[str]:
        """Send for so long; returns the rec_ids that must come back."""
        began, rec_ids = time.monotonic(), []
        for n in range(PER_S * seconds):
            early_s = began + n / PER_S - time.monotonic()
            if early_s > 0:
                time.sleep(early_s)  # the pace itself, not a wait for anything
            user = f"user{self.sent % USERS}"
            self.job.event(f"e{self.sent}", user, ITEM_IDS[self.sent * self.sent % len(ITEM_IDS)])
            rec_ids.append(f"{user}:e{self.sent}")
            self.sent += 1
        self.job.flush()
        return rec_ids

    def waits_ms(self, rec_ids: list[str]) -> list[int]:
        """From an event's Kafka timestamp to its list's, sorted; waits until all have come."""
        found: dict[str, int] = {}

        def all_there() -> bool:
            for record in self.job.lists():
                clock = record["clock"]
                found.setdefault(record["rec_id"], clock["emitted_ms"] - clock["kafka_ms"])
            return found.keys() >= set(rec_ids)

        wait_for("every list", all_there)
        return sorted(found[rec_id] for rec_id in rec_ids)


def p99(sorted_ms: list[int]) -> int:
    return sorted_ms[len(sorted_ms) * 99 // 100]


@pytest.fixture
def job(sandbox, tmp_path):
    switch = tmp_path / "suspended"
    with RunningJob(sandbox, tmp_path / "snapshots", f"tower.suspend_file={switch}") as job:
        job.load_items(*ITEM_IDS)
        job.switch = switch
        yield job


def test_suspended_training_is_not_felt(job):
    paced = Paced(job)
    paced.waits_ms(paced.seconds(SECONDS))  # compilers and caches get warm
    before = paced.waits_ms(paced.seconds(SECONDS))
    job.switch.touch()
    during = paced.waits_ms(paced.seconds(SECONDS))
    job.switch.unlink()
    after = paced.waits_ms(paced.seconds(SECONDS))
    untrained = wait_for("untrained batches", lambda: job.counter("train-item-tower", "untrained_batches"))
    wait_for("every example", lambda: job.counter("train-item-tower", "examples") >= paced.sent)
    trained = max(a.trained_events for a in job.announcements())
    prove(
        Proof(
            f"training suspended for {SECONDS} s at {PER_S}/s",
            note=f"freshness p99 {p99(before)} ms before, {p99(during)} during, {p99(after)} after; "
            f"{untrained} batches shed and counted",
        )
    )
    assert p99(during) <= 1.5 * max(p99(before), p99(after)) + 20
    assert untrained >= PER_S * SECONDS // 32 - 2
    assert trained >= paced.sent - 32 * untrained - 2_000  # a snapshot may lag behind by as much


def test_a_frozen_tower_holds_the_job_up_and_loses_nothing(job, sandbox):
    paced = Paced(job)
    before = paced.waits_ms(paced.seconds(SECONDS))
    (tower,) = job.taskmanagers("train-item-tower")
    sandbox.kill(tower, signal.SIGSTOP)
    try:
        frozen = paced.seconds(SECONDS)
    finally:
        sandbox.kill(tower, signal.SIGCONT)
    during = paced.waits_ms(frozen)
    after = paced.waits_ms(paced.seconds(SECONDS))
    lists = [r["rec_id"] for r in job.lists() if r["user_id"].startswith("user")]
    restored = job.checkpoints()["restored"]
    first_held = next((n for n, rec_id in enumerate(frozen) if _wait_of(job, rec_id) > 1_000), len(frozen))
    prove(
        Proof(
            f"tower frozen (SIGSTOP) for {SECONDS} s at {PER_S}/s",
            lost=paced.sent - len(set(lists)),
            doubled=len(lists) - len(set(lists)),
            note=f"held up after {first_held / PER_S:.1f} s, longest wait {during[-1]} ms; "
            f"freshness p99 {p99(before)} ms before, {p99(after)} after",
        )
    )
    assert restored == 0
    assert during[-1] <= 1_000 * SECONDS + 3_000


def _wait_of(job: RunningJob, rec_id: str) -> int:
    return next(r["clock"]["emitted_ms"] - r["clock"]["kafka_ms"] for r in job.lists() if r["rec_id"] == rec_id)
