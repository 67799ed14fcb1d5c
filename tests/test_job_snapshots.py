"""A new item snapshot reaches every subtask of a running job, and without new ones the last stays in use."""

import pytest
from made_up import item
from running_job import RunningJob
from savepoint_states import subtask_of

pytestmark = pytest.mark.flink

PARALLELISM = 2
USERS = [f"u{n}" for n in range(12)]


@pytest.fixture
def job(sandbox, tmp_path):
    with RunningJob(sandbox, tmp_path, f"job.parallelism={PARALLELISM}", "tower.snapshot_interval_s=1") as job:
        for n in range(40):
            job.send("items", b"i%d" % n, item(f"i{n}"))
        yield job


def lists_of(job: RunningJob, ask: str) -> dict[str, dict]:
    """Ask for a list for every user under this name; user → list."""
    for user in USERS:
        job.request(f"{ask}-{user}", user)
    job.flush()
    triggers = {f"{ask}-{user}": user for user in USERS}

    def answers() -> dict[str, dict]:
        return {triggers[r["trigger"]]: r for r in job.lists() if r["trigger"] in triggers}

    job.topic("recommendations").wait_until(f"the answers to {ask}", lambda _: len(answers()) == len(USERS))
    return answers()


def test_every_subtask_takes_each_new_snapshot_and_keeps_the_last(job):
    subtasks = {subtask: [u for u in USERS if subtask_of(u, PARALLELISM) == subtask] for subtask in range(PARALLELISM)}
    assert all(len(users) >= 2 for users in subtasks.values())
    assert len(set(job.taskmanagers("learn-and-recommend"))) == PARALLELISM
    for user in ("u0", *[users[0] for users in subtasks.values()]):
        job.wait_for_first_list(user)

    trained = 0
    for change in range(1, 4):
        for user in USERS:
            job.event(f"view{change}-{user}", user, f"i{(5 * change + len(user)) % 40}")
        job.flush()
        trained += len(USERS)
        job.topic("item_snapshots").wait_until(
            "a snapshot of all examples",
            lambda _, n=trained: any(a.kind != "popularity" and a.trained_events == n for a in job.announcements()),
        )
        asks = iter(range(1_000))

        def named(change=change, asks=asks) -> dict[str, int]:
            """Number of examples in the snapshot that each user's list names now."""
            return {
                user: r["snapshot"]["trained_events"] for user, r in lists_of(job, f"{change}.{next(asks)}").items()
            }

        job.topic("recommendations").wait_until(
            f"lists of all subtasks with the snapshot of {trained} examples",
            lambda _, n=trained, named=named: set(named().values()) == {n},
        )

    # Requests teach nothing, so no snapshot follows: the last one stays.
    announced = len(job.announcements())
    (newest,) = {a.created_ms for a in job.announcements()[-1:]}
    for ask in ("first", "second", "third"):
        lists = lists_of(job, ask).values()
        assert {r["snapshot"]["trained_events"] for r in lists} == {trained}
        assert {r["clock"]["emitted_ms"] - r["snapshot"]["age_ms"] for r in lists} == {newest}
    assert len(job.announcements()) == announced
