"""A job continues from a savepoint: with an output more than before, and at another parallelism."""

from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from crowd import (
    EVENTS,
    ITEM_IDS,
    SMALL,
    USERS,
    answered,
    doubled,
    pinned_snapshot,
    send_events,
    states_in,
    wrong_states,
    wrong_to_the_bit,
)
from proofs import Proof, prove
from running_job import RunningJob, Topic, wait_for
from savepoint_states import user_blobs

from livetower.chaos import extra_output_job

pytestmark = pytest.mark.flink

HALF = EVENTS // 2
EXTRA_OUTPUT = Path(extra_output_job.__file__)


def all_answered(job: RunningJob, events: int) -> None:
    """Wait for the lists of so many events of every user."""
    wait_for("every list", lambda: len(answered(job)) == USERS * events, patience_s=120)


def test_a_savepoint_restores_into_a_job_with_an_output_added_before_the_others(sandbox, tmp_path):
    with RunningJob(sandbox, tmp_path / "snapshots") as job:
        job.load_items(*ITEM_IDS)
        send_events(job, 0, HALF)
        all_answered(job, HALF)
        positives = job.lists()[-1]["snapshot"]["trained_events"]
        savepoint = job.stop_with_savepoint(tmp_path / "savepoints")

        copies = f"{job.topics['recommendations']}-copies"
        admin = AdminClient({"bootstrap.servers": sandbox.bootstrap_servers})
        admin.create_topics([NewTopic(copies, 1, 1)])[copies].result(30)
        before = len(job.lists())
        job.start(from_savepoint=savepoint, file=EXTRA_OUTPUT)  # without --allowNonRestoredState
        send_events(job, HALF, EVENTS)
        all_answered(job, EVENTS)
        lists = answered(job)
        new = job.lists()[before:]
        copied = Topic(sandbox.bootstrap_servers, copies)
        copied.wait_until("a copy of every new list", lambda messages: len(messages) == len(new))
        copied.close()
        states = states_in(user_blobs(job.stop_with_savepoint(tmp_path / "savepoints")))
        prove(
            Proof(
                "savepoint, an output added first, restore",
                lost=USERS * EVENTS - len(lists),
                doubled=doubled(lists),
                wrong=wrong_states(states, job),
                note=f"{len(new):,} lists after it, no list anew",
            )
        )
    assert len({r["rec_id"] for r in new}) == len(new)  # offsets continued: nothing came again
    assert min(r["snapshot"]["trained_events"] for r in new) >= positives  # and the tower's learning did


def test_one_savepoint_gives_the_same_at_one_and_at_two_taskmanagers(sandbox, tmp_path):
    pinned = tmp_path / "pinned"
    pinned.write_bytes(pinned_snapshot())
    wrong, found = 0, []
    with RunningJob(sandbox, tmp_path / "snapshots", *SMALL, f"job.pin_snapshot={pinned}") as job:
        job.load_items(*ITEM_IDS)
        send_events(job, 0, HALF)
        all_answered(job, HALF)
        savepoint = job.stop_with_savepoint(tmp_path / "savepoints")
        send_events(job, HALF, EVENTS)
        for parallelism in (1, 2):
            before = len(job.lists())
            job.start(f"job.parallelism={parallelism}", from_savepoint=savepoint)
            wait_for("the second half", lambda b=before: len(job.lists()) == b + USERS * HALF, patience_s=120)
            assert len(set(job.taskmanagers("learn-and-recommend"))) == parallelism
            found.append(states_in(user_blobs(job.stop_with_savepoint(tmp_path / "savepoints"))))
            wrong += wrong_to_the_bit(found[-1], job)
        lists = answered(job)
        prove(
            Proof(
                "one savepoint at 1 and at 2 TaskManagers, pinned, to the bit",
                runs=2,
                lost=USERS * EVENTS - len(lists),
                doubled=doubled(lists),
                wrong=wrong,
            )
        )
    assert found[0] == found[1]
