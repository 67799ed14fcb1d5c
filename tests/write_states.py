"""Writes tests/fixtures/states: one small job's state in each of the four ways that Flink writes one.

    python tests/write_states.py

Six users, twelve items, dimension 8; parallelism 2, so that users lie in two subtasks. Beside the states stands what
they must hold, which models.recommender.advance says without Flink: expected.json. `canonical`, `native` and
`incremental` are of one run; `full` is of a second one, since it is the cluster that says how checkpoints are written.
"""

import json
import shutil
import tarfile
from pathlib import Path

import crowd
from made_up import MODEL, item, snapshot
from running_job import RunningJob, now_ms, wait_for

from livetower.operations.flink_job import FlinkJob
from livetower.sandbox import Sandbox
from models.item_table import ItemTable
from models.snapshots import decode_snapshot, digest, table_of
from models.user_state import encode_user_state

STATES = Path(__file__).parent / "fixtures" / "states"
RUN_DIR = Path("/tmp/livetower-states")
USERS = (*(f"user{n}" for n in range(5)), "userü☃😀")
ITEM_IDS = tuple(f"i{n}" for n in range(12))
EVENTS = 10


def main() -> None:
    STATES.mkdir(exist_ok=True)
    expected = {}
    for incremental in ("true", "false"):
        shutil.rmtree(RUN_DIR, ignore_errors=True)
        sandbox = Sandbox(RUN_DIR)
        sandbox.up(taskmanagers=3, flink_options={"execution.checkpointing.incremental": incremental})
        try:
            directories, holds = run_job(sandbox, "incremental" if incremental == "true" else "full")
        finally:
            sandbox.down()
        for name, directory in directories.items():
            expected[name] = holds
            pack(name, directory)
    (STATES / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    shutil.rmtree(RUN_DIR)


def run_job(sandbox: Sandbox, checkpoint: str) -> tuple[dict[str, Path], dict]:
    """Name → directory of each state, and what they hold."""
    table, pinned = pinned_table(RUN_DIR / "pinned.safetensors")
    settings = (*crowd.SMALL, "job.parallelism=2", f"job.pin_snapshot={pinned}", "job.checkpoint_interval_s=1")
    with RunningJob(sandbox, RUN_DIR / "snapshots", *settings) as job:
        for item_id in ITEM_IDS:
            job.send("items", item_id.encode(), item(item_id, title=f"The {item_id}", category="even"))
        for n in range(EVENTS):
            for u, user in enumerate(USERS):
                job.event(f"{u}-{n}", user, ITEM_IDS[(u + n) % len(ITEM_IDS)], event_type=crowd.TYPES[n % 3])
        job.flush()
        wait_for("every list", lambda: len(crowd.answered(job)) == len(USERS) * EVENTS)
        # With a command the tower writes its rows and its progress, which else waits for 8,000 inputs.
        job.send("commands", b"anew", json.dumps({"command": "full_refresh", "command_id": "anew"}).encode())
        job.flush()
        wait_for("the next epoch", lambda: any(each.epoch == 1 for each in job.announcements()))
        job.event("behind", USERS[0], ITEM_IDS[0], event_type="like")
        job.flush()
        wait_for("the last list", lambda: len(crowd.answered(job)) == len(USERS) * EVENTS + 1)
        job.wait_for_checkpoint()
        flink = FlinkJob(sandbox.rest_url, job.job_id)
        states = {}
        if checkpoint == "incremental":
            for written_as in ("canonical", "native"):
                place = flink.savepoint(f"{RUN_DIR}/savepoints", 60, written_as=written_as.upper())
                states[written_as] = Path(place.removeprefix("file:"))
        sandbox.cancel(job.job_id)
        retained = (RUN_DIR / "checkpoints" / job.job_id).glob("chk-*")
        states[checkpoint] = max(retained, key=lambda path: int(path.name.removeprefix("chk-")))
        return states, what_it_holds(job, table)


def what_it_holds(job: RunningJob, table: ItemTable) -> dict:
    expected = crowd.undisturbed(job, table, MODEL)
    users, lists = expected.states, [each.record for each in expected.lists.values()]
    offsets: dict[str, int] = {}
    for message in job.delivered:
        place = f"{message.topic()}/{message.partition()}"
        offsets[place] = max(offsets.get(place, 0), message.offset() + 1)
    newest = {record["user_id"]: record for record in sorted(lists, key=lambda record: record["user_seq"])}
    return {
        "users": {user: encode_user_state(state).hex() for user, state in users.items()},
        "last_lists": {user: [each["item_id"] for each in record["items"]] for user, record in newest.items()},
        "offsets": offsets,
        "written_before_ms": now_ms(),
    }


def pinned_table(file: Path) -> tuple[ItemTable, Path]:
    blob = snapshot(trained_events=7, seed=7, items=ITEM_IDS)
    file.write_bytes(blob)
    return table_of(decode_snapshot(blob), digest(blob), 0), file


def pack(name: str, directory: Path) -> None:
    """Keep the state, and the files that a checkpoint shares with others."""
    with tarfile.open(STATES / f"{name}.tar.gz", "w:gz") as archive:
        archive.add(directory, arcname=directory.name)
        shared = directory.parent / "shared"
        if shared.is_dir():
            archive.add(shared, arcname="shared")


if __name__ == "__main__":  # pytest imports it too, to look for doctests
    main()
