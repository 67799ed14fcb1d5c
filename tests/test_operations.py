"""The operations on made-up directories and a made-up Flink: what they refuse, what they copy, what they submit."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from made_up import announcement, delta, snapshot
from made_up_state import (
    beside,
    broadcast,
    broadcast_bytes,
    checkpoint,
    in_bytes,
    metadata,
    operator,
    write_metadata,
)

from flink_jobs.job_facts import BLOB_VERSIONS, UIDS, job_facts
from flink_jobs.settings import InvalidSettings, JobSettings, load_settings
from livetower.cli import main
from livetower.operations.announced import announcements_in
from livetower.operations.differences import Difference, differences
from livetower.operations.found_state import verify
from livetower.operations.job_record import record_of
from livetower.operations.settings_again import flat, job_arguments, settings_again
from livetower.operations.snapshot_copies import IncompleteCopy, copy_back, copy_beside
from livetower.sandbox import Sandbox, SandboxError, rest
from operators.code_digest import code_digest

JOB = "a" * 32
FULL, DELTA = snapshot(), delta(5, 3, 0.5)


def settings(*overrides: str) -> JobSettings:
    return load_settings(None, ["job.snapshot_root=/snapshots", *overrides])


def recorded(*overrides: str) -> dict[str, Any]:
    return json.loads(job_facts(settings(*overrides))["livetower.settings"])


# ---- the same settings again ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["model.dimension=32", "tower.half_lives=[5.0, 50.0]", "job.user_key=payload"],
        ["model.event_weights.skip=-0.5", "model.user_ttl_days=0"],
        ["kafka.bootstrap_servers=a:1,b:2", "topics.rejected=bad records"],
    ],
)
def test_a_job_gets_the_settings_that_it_had(overrides):
    again = settings_again(recorded(*overrides), None, [], {})
    assert again == settings(*overrides)
    words = job_arguments(again, None)
    assert words[::2] == ["--set"] * (len(words) // 2)
    assert load_settings(None, words[1::2]) == again


def test_a_change_wins_over_the_file_and_the_file_over_what_was(tmp_path):
    file = tmp_path / "shop.toml"
    file.write_text("[model]\ntop_k = 20\nseed = 5\n")
    again = settings_again(recorded("model.top_k=30", "model.negatives=7"), file, ["model.seed=6"], {})
    assert (again.model.top_k, again.model.seed, again.model.negatives) == (20, 6, 7)
    words = job_arguments(again, file)
    assert words[:2] == ["--settings", str(file)]
    assert load_settings(file, words[3::2]) == again


def test_a_change_back_to_the_default_reaches_the_job_past_the_file(tmp_path):
    file = tmp_path / "shop.toml"
    file.write_text("[model]\ntop_k = 20\n")
    default = settings().model.top_k
    again = settings_again(recorded(), file, [f"model.top_k={default}"], {})
    assert load_settings(file, job_arguments(again, file)[3::2]).model.top_k == default


def test_kafka_properties_must_come_from_a_file_and_never_reach_a_command_line(tmp_path):
    secured = recorded("kafka.properties.sasl.jaas.config=secret")
    with pytest.raises(InvalidSettings, match=r"kafka\.properties: needed sasl\.jaas\.config, .* --settings FILE"):
        settings_again(secured, None, [], {})
    file = tmp_path / "shop.toml"
    file.write_text('[kafka.properties]\n"sasl.jaas.config" = "secret"\n')
    again = settings_again(secured, file, [], {})
    assert again.kafka.properties == {"sasl.jaas.config": "secret"}
    assert "secret" not in " ".join(job_arguments(again, file))
    with pytest.raises(InvalidSettings, match=r"no place for secrets"):
        job_arguments(again, None)


def test_a_setting_that_is_no_more_is_named():
    old = recorded()
    old["model"]["momentum"] = 3
    with pytest.raises(InvalidSettings, match=r"setting model\.momentum: no such setting"):
        settings_again(old, None, [], {})


# ---- differences ---------------------------------------------------------------------------------


def facts(**changed: str) -> dict[str, str]:
    return job_facts(settings()) | {f"livetower.{name}": value for name, value in changed.items()}


def compared(facts: dict[str, str], *overrides: str) -> list[Difference]:
    return differences(record_of(facts), flat(settings(*overrides)), code_digest())


def test_a_job_of_this_code_and_these_settings_differs_in_nothing():
    assert compared(facts()) == []


def test_other_code_and_another_setting_are_followed():
    found = compared(facts(code="0" * 64), "model.top_k=20")
    assert found == [
        Difference("code", "digest", "0" * 12, code_digest()[:12]),
        Difference("setting", "model.top_k", settings().model.top_k, 20),
    ]


@pytest.mark.parametrize(
    "override",
    [
        "model.dimension=8",
        "tower.half_lives=[1.0]",
        "job.max_parallelism=64",
        "topics.items=others",
        "topics.interactions_priority=",
    ],
)
def test_what_shapes_the_state_must_stay(override):
    (found,) = compared(facts(), override)
    assert found.name == override.split("=")[0]
    assert found.refused


def test_a_uid_that_is_lost_is_refused_and_a_new_one_is_not():
    found = compared(facts(uids=json.dumps([*UIDS[1:], "sink-audit"])))
    assert [(each.name, bool(each.refused)) for each in found] == [("sink-audit", True), (UIDS[0], False)]


def test_a_lane_may_be_added_to_a_job_that_had_none():
    without = job_facts(settings("topics.interactions_priority="))
    assert "source-interactions-priority" not in json.loads(without["livetower.uids"])
    found = compared(without)
    assert {each.name for each in found} == {"source-interactions-priority", "topics.interactions_priority"}
    assert not any(each.refused for each in found)


def test_a_newer_blob_is_refused_and_an_older_one_is_not():
    there = dict(BLOB_VERSIONS) | {"user state": BLOB_VERSIONS["user state"] + 1, "example": 1}
    found = {each.name: bool(each.refused) for each in compared(facts(blobs=json.dumps(there)))}
    assert found == {"user state": True, "example": False}


# ---- snapshots beside a savepoint ----------------------------------------------------------------


def savepoint_with(root: Path, content: bytes, *, in_metadata: bool) -> str:
    """A savepoint whose broadcast state holds these entries, behind a head of seven bytes."""
    stream = in_bytes(bytes(7) + content) if in_metadata else beside("own", 7 + len(content))
    root.mkdir(parents=True)
    (root / "own").write_bytes(bytes(7) + content)
    write_metadata(root, metadata(operator("learn-and-recommend", broadcast(stream, 7))), 1)
    return str(root)


ANNOUNCED = (
    announcement(FULL, 0, file="full-0-0.safetensors"),
    announcement(DELTA, 5, kind="delta", base=FULL, file="delta-0-5.safetensors"),
    announcement(b"inline bytes", 6, kind="popularity", base=DELTA),
)


@pytest.mark.parametrize("in_metadata", [True, False])
def test_the_announcements_in_a_savepoint_are_read(tmp_path, in_metadata):
    savepoint = savepoint_with(tmp_path / "savepoint-1", broadcast_bytes(*ANNOUNCED), in_metadata=in_metadata)
    assert announcements_in(savepoint, verify(savepoint)) == list(ANNOUNCED)


def test_a_long_announcement_is_read(tmp_path):
    long = announcement(b"x" * 70_000, 6, kind="popularity", base=FULL)
    savepoint = savepoint_with(tmp_path / "savepoint-1", broadcast_bytes(long), in_metadata=False)
    assert announcements_in(savepoint, verify(savepoint)) == [long]


def test_the_named_snapshots_are_copied_beside_a_savepoint_and_back(tmp_path):
    root = tmp_path / "snapshots"
    root.mkdir()
    (root / "full-0-0.safetensors").write_bytes(FULL)
    (root / "delta-0-5.safetensors").write_bytes(DELTA)
    (root / "full-0-9.safetensors").write_bytes(b"a later one")
    savepoint = savepoint_with(tmp_path / "savepoint-1", broadcast_bytes(*ANNOUNCED), in_metadata=False)
    named = ["full-0-0.safetensors", "delta-0-5.safetensors"]
    assert copy_beside(savepoint, verify(savepoint), str(root)) == named
    other = tmp_path / "other machine"
    other.mkdir()
    (other / "delta-0-5.safetensors").write_bytes(DELTA)
    assert copy_back(savepoint, str(other)) == ["full-0-0.safetensors"]
    assert sorted(file.name for file in other.iterdir()) == sorted(named)
    assert (other / "full-0-0.safetensors").read_bytes() == FULL


@pytest.mark.parametrize("there", [None, b"other bytes"])
def test_a_snapshot_that_is_gone_or_damaged_is_named_and_the_others_are_copied(tmp_path, there):
    root = tmp_path / "snapshots"
    root.mkdir()
    (root / "delta-0-5.safetensors").write_bytes(DELTA)
    if there is not None:
        (root / "full-0-0.safetensors").write_bytes(there)
    savepoint = savepoint_with(tmp_path / "savepoint-1", broadcast_bytes(*ANNOUNCED), in_metadata=False)
    with pytest.raises(IncompleteCopy, match=r"^full-0-0\.safetensors: "):
        copy_beside(savepoint, verify(savepoint), str(root))
    assert [file.name for file in (tmp_path / "savepoint-1" / "snapshots").iterdir()] == ["delta-0-5.safetensors"]


# ---- the commands, on a made-up Flink ------------------------------------------------------------


class MadeUpFlink:
    """Answers what Flink's REST API answers about one job, which writes its savepoint when it is asked to."""

    def __init__(self, savepoints: Path, facts: dict[str, str]) -> None:
        self.savepoints = savepoints
        self.jobs = {JOB: "RUNNING"}
        self.facts = facts
        self.asked: list[tuple[str, str, Any]] = []
        self.failure: str | None = None

    def __call__(self, _url: str, path: str, method: str = "GET", body: Any = None, timeout_s: float = 10) -> Any:
        self.asked.append((method, path, body))
        if path == "/jobs/overview":
            return {"jobs": [{"jid": job, "state": state, "name": "livetower"} for job, state in self.jobs.items()]}
        if path == "/jobs":
            return {"jobs": [{"id": job, "status": state} for job, state in self.jobs.items()]}
        if path == f"/jobs/{JOB}/config":
            return {"execution-config": {"user-config": self.facts}}
        if method == "POST":
            if path.endswith("/stop") and self.failure is None:
                self.jobs[JOB] = "FINISHED"
            return {"request-id": "t"}
        assert path == f"/jobs/{JOB}/savepoints/t"
        if self.failure is not None:
            failure = {"failure-cause": {"stack-trace": f"java.lang.Exception: x\nCaused by: {self.failure}\n\tat a"}}
            return {"status": {"id": "COMPLETED"}, "operation": failure}
        place = self.savepoints / f"savepoint-{JOB[:6]}-1"
        if not place.exists():
            savepoint_with(place, broadcast_bytes(*ANNOUNCED), in_metadata=False)
        return {"status": {"id": "COMPLETED"}, "operation": {"location": f"file:{place}"}}


@pytest.fixture
def flink(tmp_path, monkeypatch):
    root = tmp_path / "snapshots"
    root.mkdir()
    (root / "full-0-0.safetensors").write_bytes(FULL)
    (root / "delta-0-5.safetensors").write_bytes(DELTA)
    here = settings(f"job.snapshot_root={root}", "kafka.bootstrap_servers=127.0.0.1:1")
    made_up = MadeUpFlink(tmp_path / "run" / "savepoints", job_facts(here))
    monkeypatch.setattr(rest, "request_json", made_up)
    monkeypatch.setattr(Sandbox, "rest_url", "http://flink")
    monkeypatch.setattr(Sandbox, "bootstrap_servers", "127.0.0.1:9")
    return made_up


@pytest.fixture
def submitted(monkeypatch):
    """What was submitted, and from where; and how many TaskManagers were asked for."""
    calls: list[Any] = []

    def submit(_self: Sandbox, *words: str, from_savepoint: str) -> str:
        calls.append((from_savepoint, words))
        return "b" * 32

    monkeypatch.setattr(Sandbox, "submit", submit)
    monkeypatch.setattr(Sandbox, "up", lambda _self, taskmanagers: calls.append(taskmanagers))
    return calls


@pytest.fixture
def run(tmp_path):
    def call(*words: str) -> Result:
        return CliRunner().invoke(main, [words[0], "--run-dir", str(tmp_path / "run"), *words[1:]])

    return call


def set_of(words: tuple[str, ...]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words[1::2])


@pytest.mark.parametrize(("name", "goes_on"), [("savepoint", True), ("stop", False)])
def test_a_savepoint_is_complete_in_itself(flink, run, tmp_path, name, goes_on):
    result = run(name, "--json")
    assert result.exit_code == 0, result.output
    place = tmp_path / "run" / "savepoints" / f"savepoint-{JOB[:6]}-1"
    assert json.loads(result.stdout) == {
        "job_id": JOB,
        "savepoint": f"file:{place}",
        "snapshots": ["full-0-0.safetensors", "delta-0-5.safetensors"],
        "incomplete": "",
    }
    assert json.loads((place / "livetower.json").read_text()) == flink.facts
    assert (flink.jobs[JOB] == "RUNNING") == goes_on


def test_a_savepoint_without_one_of_its_snapshots_is_said_to_be_incomplete(flink, run, tmp_path):
    (tmp_path / "snapshots" / "delta-0-5.safetensors").unlink()
    result = run("savepoint")
    assert result.exit_code == 1
    assert "incomplete delta-0-5.safetensors: " in result.output


def test_a_savepoint_that_fails_says_why_and_that_the_job_goes_on(flink, run):
    flink.failure = "java.io.IOException: No space left on device"
    result = run("stop")
    assert result.exit_code == 2
    assert "failed, and the job goes on: Caused by: java.io.IOException: No space left on device" in result.output
    assert "\tat" not in result.output


def test_a_stopped_job_is_resumed_with_its_settings_and_its_snapshots(flink, run, submitted, tmp_path):
    assert run("stop").exit_code == 0
    (tmp_path / "snapshots" / "full-0-0.safetensors").unlink()
    result = run("resume", "--set", "model.top_k=20", "--json")
    assert result.exit_code == 0, result.output
    ((state, words),) = submitted
    assert state == json.loads(result.stdout)["state"]
    assert state.endswith("/savepoint-aaaaaa-1")
    assert set_of(words) == {
        "kafka.bootstrap_servers": "127.0.0.1:9",  # the sandbox's, which has come up on another port
        "job.snapshot_root": str(tmp_path / "snapshots"),
        "model.top_k": "20",
    }
    assert (tmp_path / "snapshots" / "full-0-0.safetensors").read_bytes() == FULL


def test_a_checkpoints_settings_are_those_that_the_sandbox_kept(flink, run, submitted, tmp_path):
    checkpoint(tmp_path / "run" / "checkpoints", 3, job=JOB)
    flink.jobs[JOB] = "FAILED"
    kept = tmp_path / "run" / "jobs" / f"{JOB}.json"
    kept.parent.mkdir()
    kept.write_text(json.dumps(job_facts(settings("model.dimension=32"))))
    assert run("resume").exit_code == 0
    ((state, words),) = submitted
    assert state.endswith("chk-3")
    assert set_of(words)["model.dimension"] == "32"


def test_a_checkpoint_of_unknown_settings_needs_a_file(flink, run, submitted, tmp_path):
    checkpoint(tmp_path / "run" / "checkpoints", 3, job=JOB)
    flink.jobs.clear()
    result = run("resume")
    assert (result.exit_code, submitted) == (2, [])
    assert "the settings of the job that wrote" in result.output
    assert "give them with --settings FILE" in result.output
    file = tmp_path / "shop.toml"
    file.write_text("[model]\ndimension = 32\n")
    assert run("resume", "--settings", str(file)).exit_code == 0
    assert submitted[0][1][:2] == ("--settings", str(file))


def test_resume_beside_a_running_job_is_refused(flink, run, submitted, tmp_path):
    checkpoint(tmp_path / "run" / "checkpoints", 3, job=JOB)
    result = run("resume")
    assert (result.exit_code, submitted) == (2, [])
    assert f"no running job was needed; got {JOB}: `livetower stop` first" in result.output


def test_resume_names_what_it_steps_over(flink, run, submitted, tmp_path):
    for number in (2, 3):
        checkpoint(tmp_path / "run" / "checkpoints", number, job=JOB)
    broken = tmp_path / "run" / "checkpoints" / JOB / "chk-3" / "own"
    broken.unlink()
    dry = run("resume", "--dry-run")
    assert dry.exit_code == 0, dry.output
    lines = dry.stdout.splitlines()
    assert lines[0].startswith("stepped over  ")
    assert lines[0].endswith("chk-3/own is missing")
    assert lines[1].startswith("would start from  ")
    assert lines[1].endswith("chk-2")
    assert submitted == []


def test_nothing_to_resume_from_says_where_it_looked(flink, run):
    flink.jobs.clear()
    result = run("resume")
    assert result.exit_code == 2
    assert "a checkpoint or savepoint was needed below file:///" in result.output


def test_an_upgrade_stops_with_a_savepoint_and_goes_on_from_it(flink, run, submitted):
    result = run("upgrade", "--set", "model.top_k=20", "--json")
    assert result.exit_code == 0, result.output
    ((state, words),) = submitted
    assert state.endswith("/savepoint-aaaaaa-1")
    assert set_of(words)["model.top_k"] == "20"
    assert flink.jobs[JOB] == "FINISHED"


def test_a_dry_run_prints_what_differs_and_changes_nothing(flink, run, submitted):
    result = run("upgrade", "--dry-run", "--set", "model.top_k=20", "--set", "model.dimension=8", "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert answer["refused"] == 1
    names = [(each["name"], bool(each["refused"])) for each in answer["differences"]]
    assert names == [("kafka.bootstrap_servers", False), ("model.dimension", True), ("model.top_k", False)]
    assert (submitted, flink.jobs[JOB], [method for method, _, _ in flink.asked if method == "POST"]) == (
        [],
        "RUNNING",
        [],
    )


def test_an_upgrade_that_the_state_cannot_follow_is_refused_while_the_job_runs(flink, run, submitted):
    result = run("upgrade", "--set", "model.dimension=8")
    assert (result.exit_code, submitted, flink.jobs[JOB]) == (2, [], "RUNNING")
    assert "model.dimension: was 64, here 8: every vector in the state has it" in result.output


def test_an_upgrade_that_does_not_start_says_where_the_savepoint_is(flink, run, monkeypatch):
    def submit(*_: str, **__: str) -> str:
        raise SandboxError("job b did not start and was cancelled: the reason")

    monkeypatch.setattr(Sandbox, "submit", submit)
    result = run("upgrade")
    assert result.exit_code == 2
    assert "the reason" in result.output
    assert f"the job stopped with savepoint file:{flink.savepoints}/savepoint-aaaaaa-1" in result.output


def test_rescaling_starts_taskmanagers_before_the_job_stops(flink, run, submitted):
    assert run("rescale", "2").exit_code == 0
    taskmanagers, (_, words) = submitted
    assert (taskmanagers, set_of(words)["job.parallelism"]) == (3, "2")


def test_rescaling_beyond_the_key_groups_is_refused_while_the_job_runs(flink, run, submitted):
    result = run("rescale", "129")
    assert (result.exit_code, submitted, flink.jobs[JOB]) == (2, [], "RUNNING")
    assert "setting job.parallelism: needed in [1, 128]; got 129" in result.output


def test_going_back_to_a_savepoint_stops_the_job_with_one_of_its_own(flink, run, submitted, tmp_path):
    older = savepoint_with(tmp_path / "older", broadcast_bytes(*ANNOUNCED), in_metadata=False)
    (Path(older) / "livetower.json").write_text(json.dumps(job_facts(settings("model.top_k=7"))))
    result = run("rollback", "--savepoint", older, "--json")
    assert result.exit_code == 0, result.output
    ((state, words),) = submitted
    assert (state, set_of(words)["model.top_k"]) == (older, "7")
    answer = json.loads(result.stdout)
    assert answer["saved"]["savepoint"].endswith("/savepoint-aaaaaa-1")


def test_going_back_to_a_broken_savepoint_is_refused_while_the_job_runs(flink, run, submitted, tmp_path):
    older = savepoint_with(tmp_path / "older", broadcast_bytes(*ANNOUNCED), in_metadata=False)
    (Path(older) / "own").unlink()
    result = run("rollback", "--savepoint", older)
    assert (result.exit_code, submitted, flink.jobs[JOB]) == (2, [], "RUNNING")
    assert "cannot be started from: " in result.output


def test_a_savepoint_of_a_newer_livetower_is_refused(flink, run, submitted, tmp_path):
    older = savepoint_with(tmp_path / "older", broadcast_bytes(*ANNOUNCED), in_metadata=False)
    newer = json.dumps(dict(BLOB_VERSIONS) | {"user state": 99})
    (Path(older) / "livetower.json").write_text(json.dumps(facts(blobs=newer)))
    result = run("rollback", "--savepoint", older)
    assert (result.exit_code, submitted, flink.jobs[JOB]) == (2, [], "RUNNING")
    assert "blob version user state: was 99" in result.output


@pytest.mark.parametrize(("jobs", "said"), [({}, "got none"), ({"c": "RUNNING", "d": "RUNNING"}, "got c, d")])
def test_one_running_job_is_needed(flink, run, jobs, said):
    flink.jobs = jobs
    result = run("savepoint")
    assert result.exit_code == 2
    assert f"one running job was needed at http://flink; {said}: " in result.output


def test_a_job_of_an_older_livetower_says_what_to_do(flink, run):
    flink.facts = {}
    result = run("upgrade")
    assert result.exit_code == 2
    assert "`livetower stop`, then `livetower resume --settings FILE`" in result.output


@pytest.mark.parametrize("words", [["savepoint"], ["stop"], ["upgrade"], ["rescale", "2"], ["resume"]])
def test_without_a_sandbox_or_a_flink_the_cure_is_one_line(run, monkeypatch, tmp_path, words):
    result = run(*words)
    assert result.exit_code == 2
    assert "no sandbox was started in" in result.output
    checkpoint(tmp_path / "run" / "checkpoints", 3, job=JOB)
    monkeypatch.setattr(Sandbox, "rest_url", "http://127.0.0.1:1")
    result = run(*words)
    assert result.exit_code == 2
    assert "Flink does not answer (" in result.output


@pytest.mark.parametrize("name", ["savepoint", "stop", "resume", "upgrade", "rescale", "rollback"])
def test_help_shows_examples_line_by_line(name):
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert any(line.strip().startswith(f"livetower {name}") for line in result.output.splitlines())
