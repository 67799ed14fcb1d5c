"""Snapshots that carry only what changed, on a running job: announced, ranked with, and restored as a chain."""

import pytest
from running_job import RunningJob, wait_for

pytestmark = pytest.mark.flink

ITEMS = tuple(f"i{n}" for n in range(400))


@pytest.fixture
def job(sandbox, tmp_path):
    settings = ("tower.snapshot_interval_s=1", "tower.negatives=2", "tower.replays=0", "tower.deltas_per_full=60")
    with RunningJob(sandbox, tmp_path, *settings, "job.checkpoint_interval_s=1") as job:
        job.load_items(*ITEMS)
        yield job


def learn(job: RunningJob, name: str) -> None:
    """Eight events on four items."""
    for n in range(8):
        job.event(f"{name}-{n}", f"u{n % 2}", ITEMS[n % 4])
    job.flush()


def newest(job: RunningJob, kind: str) -> int:
    """Trained examples of the newest announcement of this kind, -1 before the first."""
    return max((a.trained_events for a in job.announcements() if a.kind == kind), default=-1)


def wait_for_a_list_of(job: RunningJob, trained: int, name: str) -> None:
    """Ask until a list names a snapshot of so many trained examples."""
    asked = 0

    def came() -> bool:
        nonlocal asked
        job.request(f"{name}{asked}", "asker")
        asked += 1
        job.flush()
        return any(r["trigger"].startswith(name) and r["snapshot"]["trained_events"] == trained for r in job.lists())

    wait_for(f"a list of a snapshot of {trained} examples", came)


def test_a_chain_of_deltas_reaches_the_lists_and_a_restored_reader(job):
    for n in range(3):
        learn(job, f"round{n}")
        wait_for("a delta of it", lambda trained=8 * (n + 1): newest(job, "delta") == trained)
        wait_for_a_list_of(job, 8 * (n + 1), f"asked{n}-")
    vectors = [a for a in job.announcements() if a.kind != "popularity"]
    last_full = max(n for n, a in enumerate(vectors) if a.kind == "full")
    chain = vectors[last_full:]
    assert len(chain) >= 4
    assert [a.base_sha256 for a in chain[1:]] == [a.sha256 for a in chain[:-1]]  # each applies to the one before

    job.wait_for_checkpoint()
    job.lose_taskmanager(job.taskmanagers("learn-and-recommend")[0])
    wait_for_a_list_of(job, 24, "again")
    assert job.counter("learn-and-recommend", "snapshot_fallback") == 0
