"""Every TaskManager is killed among 20,000 events: afterwards every user is as if nothing had happened."""

import time

import pytest
from crowd import (
    EVENTS,
    ITEM_IDS,
    SMALL,
    TWICE_EVERY,
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
from running_job import RunningJob, wait_for
from savepoint_states import user_blobs

pytestmark = pytest.mark.flink

CHUNK = EVENTS // 4


@pytest.mark.parametrize("pinned", [False, True], ids=["live", "pinned"])
def test_each_taskmanager_killed_costs_no_event_and_doubles_none(sandbox, tmp_path, pinned):
    settings = ["job.parallelism=2", "job.checkpoint_interval_s=1"]
    if pinned:
        file = tmp_path / "pinned.safetensors"
        file.write_bytes(pinned_snapshot())
        settings += [*SMALL, f"job.pin_snapshot={file}"]
    recovery_s = []
    with RunningJob(sandbox, tmp_path / "snapshots", *settings) as job:
        job.load_items(*ITEM_IDS)
        send_events(job, 0, CHUNK)
        twice = sum(n % TWICE_EVERY == 1 for n in range(CHUNK))
        wait_for("the duplicates", lambda: job.counter("learn-and-recommend", "duplicate") == USERS * twice)
        for kill in range(3):
            wait_for("the lists so far", lambda n=kill: len(answered(job)) == USERS * CHUNK * (n + 1))
            job.wait_for_checkpoint()
            send_events(job, CHUNK * (kill + 1), CHUNK * (kill + 2))
            wait_for("lists after it", lambda n=kill: len(answered(job)) >= USERS * CHUNK * (n + 1) + 500)
            victims = [*job.taskmanagers("learn-and-recommend"), *job.taskmanagers("train-item-tower")]
            recovery_s.append(seconds_to_recover(job, victims[kill]))
        wait_for("every list", lambda: len(answered(job)) == USERS * EVENTS)
        lists = answered(job)
        blobs = user_blobs(job.stop_with_savepoint(tmp_path / "savepoints"))

        states = states_in(blobs)
        expected = {f"user{u}:{u}-{n}" for u in range(USERS) for n in range(EVENTS)}
        prove(
            Proof(
                "kill -9 of each TaskManager" + (", pinned, to the bit" if pinned else ""),
                runs=3,
                lost=len(expected - lists.keys()),
                doubled=doubled(lists),
                wrong=wrong_to_the_bit(states, job) if pinned else wrong_states(states, job),
                recovery_s=max(recovery_s),
                note=f"among {USERS * EVENTS:,} events, parallelism 2",
            )
        )
    seqs_of: dict[str, list[int]] = {}
    for rec_id, seqs in lists.items():
        seqs_of.setdefault(rec_id.partition(":")[0], []).extend(seqs)
    assert all(sorted(seqs) == list(range(1, EVENTS + 1)) for seqs in seqs_of.values())
    assert states["user0"].positives == EVENTS
    if not pinned:
        assert len(blobs["user0"]) <= 2.25 * 1024


def seconds_to_recover(job: RunningJob, victim: str) -> float:
    """Kill the TaskManager and start another; how long it took until every task ran again and a list came."""
    began = time.monotonic()
    job.lose_taskmanager(victim)
    job.request(f"after {victim}", "probe")
    job.flush()
    wait_for("a list after it", lambda: any(r["trigger"] == f"after {victim}" for r in job.lists()))
    return time.monotonic() - began
