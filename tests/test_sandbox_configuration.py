import json
from pathlib import Path

import pytest

from livetower.sandbox import flink, kafka, launch
from livetower.sandbox.errors import SandboxError
from livetower.sandbox.ports import Ports
from livetower.sandbox.processes import ProcessRecord
from livetower.sandbox.rest import all_tasks_run, root_cause
from livetower.sandbox.state import SandboxState, read_state, write_state
from livetower.sandbox.submission import failure_in

PORTS = Ports(kafka=1001, controller=1002, rest=1003, jobmanager=1004)
RUN_DIR = Path("/run/box")


def test_the_broker_listens_on_loopback_and_creates_no_topic_by_itself():
    lines = kafka.server_properties(RUN_DIR, PORTS).splitlines()
    assert "listeners=PLAINTEXT://127.0.0.1:1001,CONTROLLER://127.0.0.1:1002" in lines
    assert "auto.create.topics.enable=false" in lines


def test_flink_listens_on_loopback_only():
    addresses = {key: value for key, value in flink.configuration(RUN_DIR, PORTS).items() if "bind" in key}
    assert set(addresses) == {"jobmanager.bind-host", "rest.bind-address", "taskmanager.bind-host"}
    assert set(addresses.values()) == {"127.0.0.1"}


def test_the_parts_of_a_taskmanagers_memory_sum_to_what_is_said():
    assert sum(flink.TASKMANAGER_MIB.values()) == 1728


def test_two_taskmanagers_a_jobmanager_and_a_broker_stay_below_5_gib():
    jobmanager = flink.JOBMANAGER_HEAP_MIB + flink.METASPACE_MIB + 300  # 300: direct memory, threads, code
    assert 2 * sum(flink.TASKMANAGER_MIB.values()) + jobmanager + kafka.HEAP_MIB + 150 < 5 * 1024


def test_every_jvm_keeps_its_temporary_files_in_the_run_directory():
    commands = [
        flink.jobmanager_command(RUN_DIR),
        flink.taskmanager_command(RUN_DIR, "taskmanager-1"),
        flink.client_command(RUN_DIR, "run"),
        kafka.broker_command(RUN_DIR, []),
    ]
    assert all("-Djava.io.tmpdir=/run/box/tmp" in command for command in commands)


def test_rocksdb_writes_its_own_log_beside_its_files():
    # Flink moves it to the directory of the property log.file, one for each state that was ever opened; where one is
    # named by option, the name is made of the whole path and too long in a deep directory.
    assert "state.backend.rocksdb.log.dir" not in flink.configuration(RUN_DIR, PORTS)
    assert not [word for word in flink.taskmanager_command(RUN_DIR, "taskmanager-1") if word.startswith("-Dlog.file")]


def test_a_new_start_removes_the_temporary_files_of_what_was_killed(tmp_path):
    write_state(tmp_path, SandboxState(PORTS))
    (tmp_path / "tmp" / "flink-web-1").mkdir(parents=True)
    launch.prepare(tmp_path, Ports(), {}, fresh=False)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_an_option_of_the_user_wins(tmp_path):
    flink.write_flink_files(tmp_path, PORTS, [], {"execution.checkpointing.interval": "1 s"})
    lines = (tmp_path / "conf" / "config.yaml").read_text().splitlines()
    assert [line for line in lines if "interval: " in line and "checkpointing" in line] == [
        "execution.checkpointing.interval: 1 s"
    ]


def test_the_state_file_gives_back_what_was_written(tmp_path):
    state = SandboxState(PORTS, {"kafka": ProcessRecord(7, 8, "code")})
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state


def test_fresh_refuses_a_directory_that_is_not_a_sandboxes(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SandboxError, match="not empty"):
        launch.prepare(tmp_path, Ports(), {}, fresh=True)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_fresh_empties_the_directory_of_an_earlier_sandbox(tmp_path):
    write_state(tmp_path, SandboxState(PORTS))
    (tmp_path / "checkpoints" / "1").mkdir(parents=True)
    launch.remove_remains(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_job_runs_when_every_parallel_task_does():
    def job(state, running):
        tasks = {"RUNNING": running, "FINISHED": 0}
        return {"state": state, "vertices": [{"parallelism": 2, "tasks": tasks}]}

    assert all_tasks_run(job("RUNNING", 2))
    assert not all_tasks_run(job("RUNNING", 1))
    assert not all_tasks_run(job("RESTARTING", 2))


def test_a_root_cause_is_the_last_cause_with_its_python_frames_only():
    trace = "A: outer\n\tat x.y(X.java:1)\nCaused by: B: KeyError\n\tat /job.open(job.py:7)\n\tat z(Z.java:2)\n"
    assert root_cause(trace) == "Caused by: B: KeyError\n\tat /job.open(job.py:7)"


def test_a_failed_submission_is_explained_by_its_last_python_traceback():
    output = "noise\nTraceback (most recent call last):\n2026-01-01 INFO - again\n  File 'job.py'\nKeyError: 1\n\tat x"
    output += "\njava.lang.RuntimeException: Python process exits with code: 1\n\tat y\n"
    assert failure_in(output) == "Traceback (most recent call last):\n  File 'job.py'\nKeyError: 1"


def test_high_availability_is_zookeeper_on_loopback_and_a_directory_of_the_sandbox(tmp_path):
    ports = Ports(kafka=1001, controller=1002, rest=1003, jobmanager=1004, zookeeper=1005)
    flink.write_flink_files(tmp_path, ports, [], {}, high_availability=True)
    lines = (tmp_path / "conf" / "config.yaml").read_text().splitlines()
    assert "high-availability.zookeeper.quorum: 127.0.0.1:1005" in lines
    assert f"high-availability.storageDir: file://{tmp_path}/high-availability" in lines
    server = (tmp_path / "conf" / "zoo.cfg").read_text().splitlines()
    assert {"clientPort=1005", "clientPortAddress=127.0.0.1", f"dataDir={tmp_path}/zookeeper"} <= set(server)


def test_without_high_availability_flink_asks_no_zookeeper(tmp_path):
    flink.write_flink_files(tmp_path, PORTS, [], {})
    assert "high-availability" not in (tmp_path / "conf" / "config.yaml").read_text()


def test_the_state_file_of_an_older_sandbox_says_no_zookeeper(tmp_path):
    write_state(tmp_path, SandboxState(PORTS, high_availability=True))
    assert read_state(tmp_path).high_availability
    stored = json.loads((tmp_path / "sandbox.json").read_text())
    del stored["high_availability"], stored["ports"]["zookeeper"]
    (tmp_path / "sandbox.json").write_text(json.dumps(stored))
    assert read_state(tmp_path) == SandboxState(PORTS)
