"""Many users with a hundred events each: how they are sent, what the job must make of them, and what went wrong."""

from made_up import MODEL, snapshot
from running_job import RunningJob, now_ms
from savepoint_states import unframed

from livetower.chaos import accepted
from livetower.chaos.accepted import Accepted, Expected, apart_from_the_table, timeless
from models.item_table import ItemTable
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


def undisturbed(job: RunningJob, table: ItemTable | None, settings: ModelSettings) -> Expected:
    """The crowd after the same events, without Flink."""
    log = [
        Accepted(message.value(), message.timestamp()[1], message.partition(), message.offset())
        for message in job.delivered
        if message.topic() == job.topics["interactions"] and message.key().startswith(b"user")
    ]
    return accepted.undisturbed(log, table, settings)


def states_in(blobs: dict[str, bytes]) -> dict[str, UserState]:
    """The crowd's states in a savepoint (savepoint_states.user_blobs)."""
    return {user: decode_user_state(unframed(value)) for user, value in blobs.items() if user.startswith("user")}


def wrong_states(states: dict[str, UserState], job: RunningJob) -> int:
    """Users whose state, apart from the table's part, is not that of an undisturbed run."""
    expected = undisturbed(job, None, ModelSettings(dimension=_dimension(states))).states
    return sum(
        user not in states or apart_from_the_table(states[user]) != apart_from_the_table(expected[user])
        for user in expected.keys() | states.keys()
    )


def wrong_to_the_bit(states: dict[str, UserState], job: RunningJob) -> int:
    """Users of a pinned run whose state, or one of whose lists, is not that of an undisturbed run, bit for bit."""
    undisturbed_run = undisturbed(job, pinned_table(), MODEL)
    expected, lists = undisturbed_run.states, undisturbed_run.lists
    wrong = {user for user in expected.keys() | states.keys() if states.get(user) != expected.get(user)}
    for record in job.lists():
        if record["user_id"].startswith("user") and timeless(record) != lists[record["rec_id"]].record:
            wrong.add(record["user_id"])
    return len(wrong)


def _dimension(states: dict[str, UserState]) -> int:
    return len(next(iter(states.values())).embedding)
