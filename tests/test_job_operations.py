"""The operations on a running job: users' states and lists go on through savepoint, stop, resume, rescale, upgrade."""

import json
from pathlib import Path
from urllib.parse import urlparse

import pytest
from click.testing import CliRunner
from crowd import ITEM_IDS, SMALL, states_in
from proofs import Proof, prove
from running_job import RunningJob, wait_for
from savepoint_states import java_list, operators, user_blobs

from livetower.cli import main
from livetower.operations.metadata import read_metadata

pytestmark = pytest.mark.flink

USERS = tuple(f"user{n}" for n in range(20))
EVENTS_A_STEP = 5


class Crowd:
    """Some users who go on; every one of their events must have its list, with the next user_seq."""

    def __init__(self, job: RunningJob) -> None:
        self.job = job
        self.events = 0

    def goes_on(self) -> None:
        for n in range(self.events, self.events + EVENTS_A_STEP):
            for u, user in enumerate(USERS):
                self.job.event(f"{user}-{n}", user, ITEM_IDS[(7 * u + n) % len(ITEM_IDS)], event_type="like")
        self.job.flush()
        self.events += EVENTS_A_STEP
        wait_for("every list", lambda: len(self.lists()) == len(USERS) * self.events, patience_s=120)

    def lists(self) -> dict[str, set[int]]:
        found: dict[str, set[int]] = {}
        for each in self.job.lists():
            if each["user_id"] in USERS:
                found.setdefault(each["rec_id"], set()).add(each["user_seq"])
        return found

    def wrong(self) -> set[str]:
        """rec_ids whose user_seq is not the number of their event."""
        return {rec_id for rec_id, seqs in self.lists().items() if seqs != {int(rec_id.rsplit("-", 1)[1]) + 1}}


def test_a_job_goes_on_through_every_operation(sandbox, tmp_path):
    def livetower(name: str, *words: str, exit_code: int = 0) -> dict:
        result = CliRunner().invoke(main, [name, "--run-dir", str(sandbox.run_dir), "--json", *words])
        assert result.exit_code == exit_code, result.output
        answer = json.loads(result.stdout)
        job.job_id = answer.get("job_id", job.job_id)
        return answer

    with RunningJob(sandbox, tmp_path / "snapshots", *SMALL, "job.checkpoint_interval_s=1") as job:
        crowd = Crowd(job)
        job.load_items(*ITEM_IDS)
        crowd.goes_on()

        saved = livetower("savepoint", "--to", str(tmp_path / "savepoints"))
        assert saved["incomplete"] == ""
        assert saved["snapshots"]
        beside = {file.name for file in Path(urlparse(saved["savepoint"]).path, "snapshots").iterdir()}
        assert beside == set(saved["snapshots"])
        assert_flink_reads_the_same(saved["savepoint"])
        crowd.goes_on()  # the job has gone on

        stopped = livetower("stop")
        for file in (tmp_path / "snapshots").iterdir():
            file.unlink()  # as on another machine
        livetower("resume")
        assert restored_from(job) == Path(urlparse(stopped["savepoint"]).path)
        assert {file.name for file in (tmp_path / "snapshots").iterdir()} >= set(stopped["snapshots"])
        crowd.goes_on()

        job.wait_for_checkpoint()
        sandbox.cancel(job.job_id)
        retained = sorted((sandbox.run_dir / "checkpoints" / job.job_id).glob("chk-*"), key=number)
        newest = retained[-1] / "_metadata"
        newest.write_bytes(newest.read_bytes()[:1000])
        resumed = livetower("resume")
        assert [uri.rsplit("/", 1)[1] for uri, _ in resumed["stepped_over"]] == [retained[-1].name]
        assert restored_from(job) == retained[-2]
        crowd.goes_on()

        for parallelism in (2, 1):
            livetower("rescale", str(parallelism))
            assert len(set(job.taskmanagers("learn-and-recommend"))) == parallelism
            crowd.goes_on()

        change = ("--set", "model.top_k=3")
        dry = livetower("upgrade", "--dry-run", *change)
        assert [(each["name"], each["here"]) for each in dry["differences"]] == [("model.top_k", 3)]
        livetower("upgrade", "--dry-run", "--set", "model.dimension=16", exit_code=1)
        livetower("upgrade", *change)
        before = len(job.lists())
        crowd.goes_on()
        assert {len(each["items"]) for each in job.lists()[before:] if each["user_id"] in USERS} == {3}
        before = len(job.lists())

        livetower("rollback", "--savepoint", saved["savepoint"])  # the first one, with the settings it had
        wait_for(
            "the lists since then, again",
            lambda: len(again(job, before)) == len(USERS) * (crowd.events - EVENTS_A_STEP),
        )
        crowd.goes_on()
        states = states_in(user_blobs(livetower("stop")["savepoint"]))
        prove(
            Proof(
                "savepoint, stop, resume, broken checkpoint, rescale, upgrade, rollback",
                lost=len(USERS) * crowd.events - len(crowd.lists()),
                doubled=len(crowd.wrong()),
                wrong=sum(states[user].user_seq != crowd.events for user in USERS),
            )
        )


def again(job: RunningJob, before: int) -> set[str]:
    """rec_ids of the crowd's lists after so many."""
    return {r["rec_id"] for r in job.lists()[before:] if r["user_id"] in USERS}


def number(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("chk-"))


def restored_from(job: RunningJob) -> Path:
    restored = job.sandbox.rest(f"/jobs/{job.job_id}/checkpoints")["latest"]["restored"]
    return Path(urlparse(restored["external_path"]).path)


def assert_flink_reads_the_same(savepoint: str) -> None:
    """Flink's own reader finds the operators and the files that ours finds."""
    ours = read_metadata((Path(urlparse(savepoint).path) / "_metadata").read_bytes())
    theirs, files = set(), set()
    for operator in java_list(operators(savepoint)):
        theirs.add((operator.getOperatorUid().orElse(""), operator.getParallelism(), operator.getMaxParallelism()))
        for subtask in java_list(operator.getStates()):
            handles = [*java_list(subtask.getManagedKeyedState()), *java_list(subtask.getManagedOperatorState())]
            for handle in handles:
                stream = handle.getDelegateStateHandle()
                if stream.getClass().getSimpleName() == "RelativeFileStateHandle":
                    files.add((stream.getRelativePath(), stream.getStateSize()))
    assert {(each.uid, each.parallelism, each.max_parallelism) for each in ours.operators} == theirs
    assert {(file.path, file.size) for file in ours.files()} == files
    assert files
