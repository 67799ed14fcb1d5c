"""Commands to the item tower of a running job, through Kafka: what they do is announced, ranked with and kept."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from made_up import item
from running_job import RunningJob, wait_for

from models.snapshots import Announcement, decode_snapshot

pytestmark = pytest.mark.flink

ITEMS = [f"i{n}" for n in range(40)]


@pytest.fixture
def job(sandbox, tmp_path):
    settings = ("tower.snapshot_interval_s=1", "tower.deltas_per_full=0", "job.checkpoint_interval_s=1")
    with RunningJob(sandbox, tmp_path, *settings) as job:
        for item_id in ITEMS:
            job.send("items", item_id.encode(), item(item_id))
        job.wait_for_first_list()
        yield job


def command(job: RunningJob, name: str, **fields: Any) -> None:
    job.send("commands", None, orjson.dumps({"command": name, "command_id": "test"} | fields))
    job.flush()


def fulls(job: RunningJob) -> list[Announcement]:
    return [a for a in job.announcements() if a.kind == "full"]


def learn(job: RunningJob, name: str, n: int) -> Announcement:
    """Send n events; the full snapshot that holds them."""
    trained = fulls(job)[-1].trained_events + n
    for at in range(n):
        job.event(f"{name}-{at}", f"u{at % 9}", ITEMS[at * at % 40])
    job.flush()
    return wait_for(
        f"a full snapshot of {trained} examples",
        lambda: next((a for a in fulls(job) if a.trained_events == trained), None),
    )


def first_of_epoch(job: RunningJob, epoch: int) -> Announcement:
    return wait_for(
        f"a full snapshot of epoch {epoch}", lambda: next((a for a in fulls(job) if a.epoch == epoch), None)
    )


def epoch_of_a_list(job: RunningJob, event_id: str) -> int:
    """The epoch that a list made now names."""
    job.request(event_id, "asker")
    job.flush()
    answers = lambda: [r for r in job.lists() if r["trigger"] == event_id]  # noqa: E731
    return wait_for(f"the answer to {event_id}", answers)[0]["snapshot"]["epoch"]


def wait_for_epoch_in_lists(job: RunningJob, epoch: int) -> None:
    asked = iter(range(1_000))
    wait_for(f"lists of epoch {epoch}", lambda: epoch_of_a_list(job, f"ask{epoch}-{next(asked)}") == epoch)


def test_commands_reach_the_lists_and_outlive_a_killed_tower(job, tmp_path: Path):
    learn(job, "first", 60)
    command(job, "full_refresh")
    refreshed = first_of_epoch(job, 1)
    wait_for_epoch_in_lists(job, 1)
    learn(job, "second", 60)

    command(job, "rollback", to=f"1-{refreshed.trained_events}")
    back = first_of_epoch(job, 2)
    wait_for_epoch_in_lists(job, 2)
    files = [decode_snapshot((tmp_path / str(a.file)).read_bytes()) for a in (refreshed, back)]
    assert files[0].vectors.tolist() == files[1].vectors.tolist()
    for counter in ("refreshes", "rollbacks"):
        wait_for(counter, lambda name=counter: job.counter("train-item-tower", name) == 1)

    job.wait_for_checkpoint()
    before = len(fulls(job))
    job.lose_taskmanager(job.taskmanagers("train-item-tower")[0])
    restored = wait_for("a full snapshot of the restored tower", lambda: fulls(job)[before:])[0]
    assert restored.epoch == 2
    again = decode_snapshot((tmp_path / str(restored.file)).read_bytes())
    assert again.vectors.tolist() == files[1].vectors.tolist()


def test_a_command_that_cannot_be_done_changes_nothing_and_a_bad_one_is_rejected(job):
    learn(job, "first", 60)
    command(job, "rollback", to="7-7")
    command(job, "explode")
    rejected = job.topic("rejected").wait_until("the bad command", len)
    assert dict(rejected[0].headers())["reason"] == b"invalid_field"
    wait_for("the failed command", lambda: job.counter("train-item-tower", "command_failed") == 1)
    assert {a.epoch for a in job.announcements()} == {0}
