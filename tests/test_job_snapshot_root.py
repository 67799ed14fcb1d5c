"""A snapshot root that cannot be written, and snapshot files that are gone, cost no event and no learning."""

import pytest
from crowd import ITEM_IDS
from proofs import Proof, prove
from running_job import RunningJob, wait_for

pytestmark = pytest.mark.flink


@pytest.fixture
def job(sandbox, tmp_path):
    settings = ["job.checkpoint_interval_s=1", "tower.snapshot_interval_s=1", "tower.deltas_per_full=0"]
    with RunningJob(sandbox, tmp_path / "snapshots", *settings) as job:
        job.load_items(*ITEM_IDS)
        yield job


def fulls(job: RunningJob) -> list[int]:
    """Trained examples of the full snapshots announced so far."""
    return [a.trained_events for a in job.announcements() if a.kind == "full"]


def events(job: RunningJob, first: int, end: int) -> None:
    """Send events, and wait for the list of each."""
    for n in range(first, end):
        job.event(f"e{n}", f"user{n % 10}", ITEM_IDS[n % len(ITEM_IDS)])
    job.flush()
    wait_for("every list", lambda: len({r["rec_id"] for r in job.lists() if r["user_id"] != "probe"}) == end)


def test_a_root_that_cannot_be_written_delays_announcements_and_loses_nothing(job, tmp_path):
    root, aside = tmp_path / "snapshots", tmp_path / "aside"
    events(job, 0, 64)
    wait_for("a snapshot of them", lambda: 64 in fulls(job))
    root.rename(aside)
    root.touch()  # a file where the directory was: every write fails
    events(job, 64, 192)
    wait_for("failed writes", lambda: job.counter("train-item-tower", "snapshot_write_failed") > 0)
    assert max(fulls(job)) == 64
    root.unlink()
    aside.rename(root)
    wait_for("a snapshot of all", lambda: 192 in fulls(job))
    assert job.sandbox.rest(f"/jobs/{job.job_id}/exceptions")["exceptionHistory"]["entries"] == []
    prove(Proof("snapshot root not writable for a while", note="announcements delayed, every example trained"))


def test_missing_snapshot_files_are_replaced_by_the_restored_tower(job, tmp_path):
    events(job, 0, 64)
    wait_for("a snapshot of them", lambda: 64 in fulls(job))
    job.wait_for_checkpoint()
    for file in (tmp_path / "snapshots").iterdir():
        file.unlink()
    job.lose_taskmanager(job.taskmanagers("learn-and-recommend")[0])
    asked = 0

    def answered() -> bool:
        nonlocal asked
        job.request(f"again{asked}", "user1")
        asked += 1
        job.flush()
        return any(r["trigger"].startswith("again") for r in job.lists())

    wait_for("a list from the file that the restored tower wrote", answered)
    assert {r["snapshot"]["trained_events"] for r in job.lists() if r["trigger"].startswith("again")} == {64}
    prove(Proof("snapshot files deleted, then kill -9", note="the restored tower writes a full one at once"))
