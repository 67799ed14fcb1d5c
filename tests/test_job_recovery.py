"""A TaskManager is killed among 5,000 events: afterwards every user is as if nothing had happened."""

from dataclasses import replace

import numpy as np
import pytest
from made_up import item
from running_job import RunningJob, now_ms, wait_for
from savepoint_states import unframed, user_blobs

from models.recommender import advance
from models.records import parse_interaction
from models.settings import ModelSettings
from models.user_state import UserState, decode_user_state

pytestmark = pytest.mark.flink

USERS, EVENTS = 50, 100
TYPES = ("view", "click", "like", "purchase", "rating", "dislike", "skip")


def send_events(job: RunningJob, first: int, end: int) -> None:
    """Events [first, end) of every user, in turns; each names another item, and every fourth is late."""
    for n in range(first, end):
        for u in range(USERS):
            event_type = "view" if u == 0 else TYPES[(n + u) % len(TYPES)]
            time_ms = now_ms() - 60_000 * (n % 4 == 3)
            job.event(f"{u}-{n}", f"user{u}", f"i{(u + n) % 150}", event_type=event_type, event_time_ms=time_ms)
    job.flush()


def undisturbed(job: RunningJob) -> dict[str, UserState]:
    """The users after the same events, without Flink."""
    settings, users = ModelSettings(), {}
    for message in job.delivered:
        if message.topic() == job.topics["interactions"] and not message.key().startswith(b"probe"):
            _, kafka_ms = message.timestamp()
            event = parse_interaction(message.value(), kafka_ms, max_bytes=65_536, future_tolerance_ms=300_000)
            users[event.user_id] = advance(users.get(event.user_id), event, None, kafka_ms, settings).state
    return users


def apart_from_the_table(state: UserState) -> UserState:
    """The state without what depends on the item table that an event meets, at other moments in a restored job."""
    return replace(
        state, embedding=np.zeros_like(state.embedding), accumulator=0.0, no_table=0, last_list=state.last_list[:0]
    )


def test_a_killed_taskmanager_costs_no_event_and_doubles_none(sandbox, tmp_path):
    with RunningJob(sandbox, tmp_path / "snapshots", "job.checkpoint_interval_s=1") as job:
        for n in range(150):
            job.send("items", b"i%d" % n, item(f"i{n}"))
        job.wait_for_first_list()

        def answered() -> dict[str, set[int]]:
            """rec_id → user_seq of the lists so far."""
            found: dict[str, set[int]] = {}
            for r in job.lists():
                if r["user_id"].startswith("user"):
                    found.setdefault(r["rec_id"], set()).add(r["user_seq"])
            return found

        send_events(job, 0, 30)
        wait_for("the first lists", lambda: len(answered()) == USERS * 30)
        completed = job.checkpoints()
        wait_for("a checkpoint after them", lambda: job.checkpoints() >= completed + 2)
        send_events(job, 30, 60)
        wait_for("lists after the checkpoint", lambda: len(answered()) >= USERS * 35)
        (victim,) = job.taskmanagers("learn-and-recommend")
        sandbox.kill(victim)
        send_events(job, 60, EVENTS)
        sandbox.start_taskmanager()
        wait_for("every list", lambda: len(answered()) == USERS * EVENTS)
        lists = answered()
        assert job.sandbox.rest(f"/jobs/{job.job_id}/checkpoints")["counts"]["restored"] >= 1
        blobs = user_blobs(job.stop_with_savepoint(tmp_path / "savepoints"))

    assert all(len(seqs) == 1 for seqs in lists.values())
    by_user: dict[str, list[int]] = {}
    for rec_id, seqs in lists.items():
        by_user.setdefault(rec_id.partition(":")[0], []).extend(seqs)
    assert {user: sorted(seqs) for user, seqs in by_user.items()} == {
        f"user{u}": list(range(1, EVENTS + 1)) for u in range(USERS)
    }

    states = {user: decode_user_state(unframed(value)) for user, value in blobs.items() if user.startswith("user")}
    expected = undisturbed(job)
    assert states.keys() == expected.keys()
    for user, state in states.items():
        assert apart_from_the_table(state) == apart_from_the_table(expected[user]), user
    assert states["user0"].positives == EVENTS
    assert len(blobs["user0"]) <= 2.25 * 1024
