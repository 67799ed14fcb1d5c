"""Many users with a hundred events each: how they are sent, what the job must make of them, and what went wrong."""

from dataclasses import replace
from typing import Any

import numpy as np
import orjson
from made_up import MODEL, snapshot
from running_job import RunningJob, now_ms
from savepoint_states import unframed

from models.item_table import ItemTable
from models.recommender import advance
from models.records import Clock, encode_recommendation, parse_interaction
from models.settings import ModelSettings
from models.snapshots import decode_snapshot, digest, table_of
from models.user_state import UserState, decode_user_state

USERS, EVENTS = 200, 100
TYPES = ("view", "click", "like", "purchase", "rating", "dislike", "skip")
ITEM_IDS = tuple(f"i{n}" for n in range(200))
TWICE_EVERY = 10  # every so many events of a user one is sent a second time

SMALL = [f"model.{name}={getattr(MODEL, name)}" for name in ("dimension", "negatives", "top_k")]
"""The settings by which the job learns as made_up.MODEL says, so that made_up.snapshot() can be pinned."""


def send_events(job: RunningJob, first: int, end: int) -> None:
    """Events [first, end) of every user, in turns; each names another item, and every fourth is late."""
    for n in range(first, end):
        for u in range(USERS):
            event_type = "view" if u == 0 else TYPES[(n + u) % len(TYPES)]
            time_ms = now_ms() - 60_000 * (n % 4 == 3)
            for _ in range(2 if n % TWICE_EVERY == 1 else 1):
                item_id = ITEM_IDS[(u + n) % len(ITEM_IDS)]
                job.event(f"{u}-{n}", f"user{u}", item_id, event_type=event_type, event_time_ms=time_ms)
    job.flush()


def answered(job: RunningJob) -> dict[str, set[int]]:
    """rec_id → user_seq of the crowd's lists so far."""
    found: dict[str, set[int]] = {}
    for r in job.lists():
        if r["user_id"].startswith("user"):
            found.setdefault(r["rec_id"], set()).add(r["user_seq"])
    return found


def doubled(lists: dict[str, set[int]]) -> int:
    """rec_ids that were given with two user_seq: an event learned twice."""
    return sum(len(seqs) > 1 for seqs in lists.values())


def pinned_snapshot() -> bytes:
    """The full snapshot that ranks in a pinned run."""
    return snapshot(trained_events=7, seed=7, items=ITEM_IDS)


def pinned_table() -> ItemTable:
    blob = pinned_snapshot()
    return table_of(decode_snapshot(blob), digest(blob), 0)


def undisturbed(
    job: RunningJob, table: ItemTable | None, settings: ModelSettings
) -> tuple[dict[str, UserState], dict[str, Any]]:
    """The crowd after the same events, without Flink: user → state, rec_id → list."""
    users: dict[str, UserState] = {}
    lists = {}
    for message in job.delivered:
        if message.topic() == job.topics["interactions"] and message.key().startswith(b"user"):
            _, kafka_ms = message.timestamp()
            event = parse_interaction(message.value(), kafka_ms, max_bytes=65_536, future_tolerance_ms=300_000)
            result = advance(users.get(event.user_id), event, table, kafka_ms, settings)
            users[event.user_id] = result.state
            if result.recommendation is not None:
                record = orjson.loads(encode_recommendation(result.recommendation, Clock(0, 0, 0, 0)))
                lists[record["rec_id"]] = timeless(record)
    return users, lists


def timeless(record: dict[str, Any]) -> dict[str, Any]:
    """The recommendation without what depends on when it was made."""
    named = {key: value for key, value in record["snapshot"].items() if key != "age_ms"}
    return {key: value for key, value in record.items() if key != "clock"} | {"snapshot": named}


def states_in(blobs: dict[str, bytes]) -> dict[str, UserState]:
    """The crowd's states in a savepoint (savepoint_states.user_blobs)."""
    return {user: decode_user_state(unframed(value)) for user, value in blobs.items() if user.startswith("user")}


def apart_from_the_table(state: UserState) -> UserState:
    """The state without what depends on the item table that an event meets, at other moments in a restored job."""
    return replace(
        state,
        embedding=np.zeros_like(state.embedding),
        accumulator=0.0,
        moments=state.moments[:0],
        steps=0,
        no_table=0,
        last_list=state.last_list[:0],
    )


def wrong_states(states: dict[str, UserState], job: RunningJob) -> int:
    """Users whose state, apart from the table's part, is not that of an undisturbed run."""
    expected, _ = undisturbed(job, None, ModelSettings(dimension=_dimension(states)))
    return sum(
        user not in states or apart_from_the_table(states[user]) != apart_from_the_table(expected[user])
        for user in expected.keys() | states.keys()
    )


def wrong_to_the_bit(states: dict[str, UserState], job: RunningJob) -> int:
    """Users of a pinned run whose state, or one of whose lists, is not that of an undisturbed run, bit for bit."""
    expected, lists = undisturbed(job, pinned_table(), MODEL)
    wrong = {user for user in expected.keys() | states.keys() if states.get(user) != expected.get(user)}
    for record in job.lists():
        if record["user_id"].startswith("user") and timeless(record) != lists[record["rec_id"]]:
            wrong.add(record["user_id"])
    return len(wrong)


def _dimension(states: dict[str, UserState]) -> int:
    return len(next(iter(states.values())).embedding)
