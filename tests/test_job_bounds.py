"""Where a running job stops: the time to live of a user, and the longest record."""

import base64
import os
from contextlib import suppress
from pathlib import Path

import pytest
from made_up import interaction
from proofs import Proof, prove
from running_job import RunningJob, now_ms, wait_for
from savepoint_states import subtask_of

from models.settings import ModelSettings

pytestmark = pytest.mark.flink

TTL_S = 2


def checkpoint_files_with(sandbox, job: RunningJob, text: bytes) -> list[Path]:
    """Files of the job's retained checkpoints that hold this text; the test's sandbox does not compress them."""
    found = []
    for folder, _, names in os.walk(sandbox.run_dir / "checkpoints" / job.job_id):
        for name in names:
            with suppress(FileNotFoundError):  # Flink deletes what no retained checkpoint needs
                if text in (Path(folder) / name).read_bytes():
                    found.append(Path(folder) / name)
    return found


def test_an_expired_user_is_gone_from_the_checkpoints_and_starts_anew(sandbox, tmp_path):
    others = [f"other{n}" for n in range(20)]
    groups = sorted(subtask_of(user, 128) for user in [*others, "probe"])
    # RocksDB's manifest remembers the first and the last key of files that are gone: the user must be neither.
    user = next(u for n in range(1_000) if groups[0] < subtask_of(u := f"mortal-user-{n}", 128) < groups[-1])
    key = base64.b64encode(user.encode())
    asked = 0
    settings = ["job.checkpoint_interval_s=0.5", f"model.user_ttl_days={TTL_S / 86_400}"]
    with RunningJob(sandbox, tmp_path / "snapshots", *settings) as job:

        def others_go_on() -> None:
            nonlocal asked
            for other in others:
                job.event(f"{asked}-{other}", other, "i1")
            asked += 1
            job.flush()

        def gone() -> bool:
            others_go_on()
            return not checkpoint_files_with(sandbox, job, key)

        job.load_items(*(f"i{n}" for n in range(20)))
        others_go_on()
        job.event("first", user, "i1")
        job.event("second", user, "i2")
        job.flush()
        wait_for("the user in a checkpoint", lambda: checkpoint_files_with(sandbox, job, key))
        wait_for("checkpoints without the user", gone)
        with_crowd = job.state_bytes()
        crowd = [f"crowd{n}" for n in range(2_000)]
        for member in crowd:
            job.event(f"once-{member}", member, "i1")
        job.flush()
        peak = wait_for("the crowd in a checkpoint", lambda: (now := job.state_bytes()) > with_crowd + 200_000 and now)

        def smaller() -> bool:
            others_go_on()
            return job.state_bytes() < peak - 200_000

        wait_for("state without the crowd", smaller)
        job.event("third", user, "i3")
        job.event("fourth", user, "i1")
        job.flush()

        def lists() -> list[dict]:
            return [r for r in job.lists() if r["user_id"] == user]

        wait_for("the user's lists", lambda: len(lists()) == 4)
        seqs = [(r["trigger"], r["user_seq"]) for r in lists()]
        assert seqs == [("first", 1), ("second", 2), ("third", 1), ("fourth", 2)]
        assert len({r["user_since_ms"] for r in lists()}) == 2
        what = "key and bytes are gone from the checkpoints, the user starts anew"
        prove(Proof(f"user_ttl of {TTL_S} s: {what}"))


def test_a_record_at_the_limit_is_learned_and_one_byte_more_is_rejected(sandbox, tmp_path):
    limit = ModelSettings().max_record_bytes
    with RunningJob(sandbox, tmp_path / "snapshots") as job:
        job.load_items(*(f"i{n}" for n in range(20)))
        fields = {"event_time_ms": now_ms(), "context": ""}
        short = {event_id: len(interaction(event_id, "u", **fields)) for event_id in ("fits", "long")}
        fits = interaction("fits", "u", **fields | {"context": "x" * (limit - short["fits"])})
        long = interaction("long", "u", **fields | {"context": "x" * (limit - short["long"] + 1)})
        assert (len(fits), len(long)) == (limit, limit + 1)
        for value in (fits, long):
            job.send("interactions", b"u", value)
        job.flush()
        (rejected,) = job.topic("rejected").wait_until("the long record", bool)
        wait_for("the list of the other", lambda: any(r["trigger"] == "fits" for r in job.lists()))
        assert (rejected.key(), rejected.value()) == (b"u", long)
        assert dict(rejected.headers())["reason"] == b"oversized"
        assert [r["trigger"] for r in job.lists() if r["user_id"] == "u"] == ["fits"]
