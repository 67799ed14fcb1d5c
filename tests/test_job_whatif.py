"""`livetower inspect` on a savepoint of a running, pinned job: it says what the job emitted, and what it will emit."""

import json
from typing import Any

import pytest
from click.testing import CliRunner
from crowd import ITEM_IDS, SMALL, pinned_snapshot, timeless
from proofs import Proof, prove
from running_job import RunningJob, now_ms, wait_for

from livetower.cli import main

pytestmark = pytest.mark.flink

USERS = tuple(f"user{n}" for n in range(12))
EVENTS = 25
TYPES = ("view", "like", "rating", "dislike", "skip", "purchase")


def inspect(command: str, savepoint: str, *words: str) -> dict[str, Any]:
    result = CliRunner().invoke(main, ["inspect", command, savepoint, *words, "--json"])
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def live(job: RunningJob) -> None:
    """EVENTS events of every user, of all types."""
    for n in range(EVENTS):
        for u, user in enumerate(USERS):
            kind = TYPES[(n + u) % len(TYPES)]
            job.event(f"{user}-{n}", user, ITEM_IDS[(7 * u + n) % len(ITEM_IDS)], event_type=kind, value=n % 6)
    job.flush()
    wait_for("every list", lambda: len(lists(job)) == len(USERS) * EVENTS, patience_s=120)


def lists(job: RunningJob) -> dict[str, dict[str, Any]]:
    """rec_id → list of our users so far."""
    return {record["rec_id"]: record for record in job.lists() if record["user_id"] in USERS}


def without_titles(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: field for name, field in item.items() if name != "title"} for item in items]


def test_what_a_savepoint_tells_is_what_the_job_emitted_and_what_it_then_emits(sandbox, tmp_path):
    pinned = tmp_path / "pinned.safetensors"
    pinned.write_bytes(pinned_snapshot())
    settings = (*SMALL, "job.parallelism=2", "job.checkpoint_interval_s=1", f"job.pin_snapshot={pinned}")
    with RunningJob(sandbox, tmp_path / "snapshots", *settings) as job:
        live(job)
        words = ["savepoint", "--run-dir", str(sandbox.run_dir), "--to", str(tmp_path / "savepoints"), "--json"]
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output
        savepoint = json.loads(result.stdout)["savepoint"]
        emitted = lists(job)

        told = inspect("summary", savepoint, "--exact", "--bootstrap-servers", sandbox.bootstrap_servers)
        assert told["users"] == {"number": len(USERS), "exact": True}
        assert told["settings"]["model"]["top_k"] == 5
        assert told["settings"]["job"]["pin_snapshot"] == str(pinned)
        assert sum(each["offset"] for each in told["offsets"] if each["topic"] == job.topics["interactions"]) == (
            len(USERS) * EVENTS
        )
        assert all(each["lag"] == 0 for each in told["offsets"] if each["topic"] == job.topics["interactions"])

        wrong = 0
        for user in USERS:
            last = emitted[f"{user}:{user}-{EVENTS - 1}"]
            found = inspect("user", savepoint, user, "--at", str(last["clock"]["event_time_ms"]))
            for name in ("user_seq", "user_since_ms"):
                wrong += found[name] != last[name]
            wrong += [item["item_id"] for item in found["last_list"]] != [item["item_id"] for item in last["items"]]
            wrong += without_titles(found["list_now"]["items"]) != last["items"]
            wrong += found["newest_event_ms"] != last["clock"]["event_time_ms"]
            wrong += not last["clock"]["kafka_ms"] <= found["touched_ms"] <= now_ms()

        foretold = {}
        for u, user in enumerate(USERS):
            kind, item = TYPES[u % len(TYPES)], ITEM_IDS[100 + u]
            at_ms = now_ms()
            event = {
                "event_id": f"{user}-next",
                "item_id": item,
                "event_type": kind,
                "event_time_ms": at_ms,
                "value": 4,
            }
            (step,) = inspect("whatif", savepoint, user, "--event-json", json.dumps(event))["steps"]
            foretold[f"{user}:{user}-next"] = step["recommendation"]
            job.event(event.pop("event_id"), user, event.pop("item_id"), **event)
        job.flush()
        wait_for("the lists after it", lambda: foretold.keys() <= lists(job).keys())
        came = {rec_id: timeless(record) for rec_id, record in lists(job).items() if rec_id in foretold}
        wrong += sum(came[rec_id] != record for rec_id, record in foretold.items())
        prove(
            Proof(
                "inspect user and whatif against what the job emitted",
                lost=0,
                doubled=0,
                wrong=wrong,
                note=f"{len(USERS)} users, a savepoint of a running job, pinned",
            )
        )
