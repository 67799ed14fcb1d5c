"""What a running job answers: lists for good events, `rejected` for bad ones."""

from pathlib import Path

import orjson
import pytest
from made_up import bad_interactions, bad_items
from running_job import RunningJob, now_ms, wait_for

pytestmark = pytest.mark.flink

TASTES = {taste: [f"{taste}{n}" for n in range(20)] for taste in ("sea", "hill")}


def kept(user: int, taste: str) -> str:
    """The one item of its taste that the user never meets."""
    return TASTES[taste][user % 20]


def test_users_get_lists_of_their_taste_without_what_they_know(sandbox, tmp_path):
    users = {f"{taste}-{n}": taste for n in range(20) for taste in TASTES}
    known = {user: set() for user in users}
    with RunningJob(sandbox, tmp_path, "tower.snapshot_interval_s=1") as job:
        job.load_items(*TASTES["sea"], *TASTES["hill"])
        for step in range(20):
            for n, (user, taste) in enumerate(users.items()):
                item_id = TASTES[taste][(7 * n + 3 * step) % 20]
                if item_id != kept(n // 2, taste):
                    job.event(f"{user}-{step}", user, item_id)
                    known[user].add(item_id)
        job.flush()
        events = sum(map(len, known.values()))
        job.topic("item_snapshots").wait_until(
            "a snapshot of all examples",
            lambda _: any(a.kind != "popularity" and a.trained_events == events for a in job.announcements()),
        )
        for user in users:
            job.request(f"{user}-last", user)
        job.flush()
        answered = events + len(users)
        job.topic("recommendations").wait_until(
            "every list", lambda _: len({r["rec_id"] for r in job.lists() if r["user_id"] in users}) == answered
        )
        lists = [r for r in job.lists() if r["user_id"] in users]
        messages = job.topic("recommendations").messages
        modes = {o["key"]: o["value"] for o in sandbox.rest(f"/jobs/{job.job_id}/jobmanager/config")}
        started = {name: children(record.pid) for name, record in sandbox.running().items()}

    last = {r["user_id"]: r for r in lists if r["trigger"] == f"{r['user_id']}-last"}
    assert {user: r["user_seq"] for user, r in last.items()} == {user: len(known[user]) + 1 for user in users}
    first = [last[user]["items"][0]["item_id"] for user in users]
    withheld = [kept(n // 2, taste) for n, taste in enumerate(users.values())]
    assert sum(map(str.__eq__, first, withheld)) >= len(users) // 2  # one of 21 items each: by chance it would be 2
    shown = {user: {entry["item_id"] for entry in last[user]["items"]} for user in users}
    assert all(not shown[user] & known[user] for user in users)
    assert all(len(r["items"]) == 10 for r in last.values())
    assert all(message.key().decode() == orjson.loads(message.value())["user_id"] for message in messages)

    assert modes["python.execution-mode"] == "thread"
    assert [name for name in started if name.startswith("taskmanager-")]
    assert started == {name: [] for name in started}


def children(pid: int) -> list[str]:
    """Command lines of a process's children."""
    pids = [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    return [Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode() for child in pids]


def test_every_kind_of_bad_input_arrives_in_rejected_and_the_job_goes_on(sandbox, tmp_path):
    with RunningJob(sandbox, tmp_path) as job:
        job.load_items(*(f"i{n}" for n in range(20)))
        job.flush()
        good = len(job.delivered)

        bad = [("interactions", *record) for record in bad_interactions(now_ms()).values()]
        items = [record for record in bad_items().values() if record[0] is not None]  # a compacted topic needs keys
        bad += [("items", *record) for record in items]
        expected = {}
        for topic, key, value, reason in bad:
            job.send(topic, key, value)
            job.flush()
            place = job.delivered[-1]
            expected[place.topic(), place.partition(), place.offset()] = (key, value, str(reason))
        assert len(job.delivered) == good + len(bad)

        job.event("once", "u1", "i1", event_time_ms=1_000)
        job.event("once", "u1", "i1", event_time_ms=1_000)
        job.event("after", "u1", "i2")
        job.flush()
        rejected = job.topic("rejected").wait_until("every bad record", lambda m: len(m) >= len(bad))
        job.topic("recommendations").wait_until(
            "the list after the bad records", lambda _: any(r["trigger"] == "after" for r in job.lists())
        )
        triggers = [(r["trigger"], r["user_seq"]) for r in job.lists() if r["user_id"] == "u1"]
        assert triggers == [("once", 1), ("after", 2)]

        arrived = {}
        for message in rejected:
            headers = {name: header.decode() for name, header in message.headers()}
            assert headers.keys() == {"reason", "detail", "topic", "partition", "offset"}
            assert headers["detail"]
            place = (headers["topic"], int(headers["partition"]), int(headers["offset"]))
            arrived[place] = (message.key(), message.value(), headers["reason"])
        assert arrived == expected
        assert len(rejected) == len(bad)

        counted = {
            ("learn-and-recommend", "duplicate"): 1,
            ("learn-and-recommend", "internal_error"): 0,
            ("learn-and-recommend", "rejected"): len(bad_interactions()),
            ("train-item-tower", "rejected"): len(items),
        }
        wait_for(f"the counters {counted}", lambda: {name: job.counter(*name) for name in counted} == counted)
        assert job.sandbox.rest(f"/jobs/{job.job_id}/exceptions")["exceptionHistory"]["entries"] == []
