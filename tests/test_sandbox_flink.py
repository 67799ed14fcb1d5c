import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from livetower.sandbox import Sandbox, SandboxError
from livetower.sandbox.processes import marked_processes
from livetower.sandbox.state import read_state

pytestmark = pytest.mark.flink


@pytest.fixture
def own_sandbox(run_dir):
    own = Sandbox(run_dir)
    try:
        own.up(taskmanagers=1)
        yield own
    finally:
        own.down()


def test_a_sandbox_loses_a_taskmanager_gets_another_and_leaves_no_process(own_sandbox):
    assert sorted(own_sandbox.running()) == ["jobmanager", "kafka", "taskmanager-1"]
    assert AdminClient({"bootstrap.servers": own_sandbox.bootstrap_servers}).list_topics(timeout=10).topics == {}

    own_sandbox.kill("taskmanager-1")
    assert sorted(own_sandbox.running()) == ["jobmanager", "kafka"]
    assert own_sandbox.start_taskmanager() == "taskmanager-2"
    assert sorted(own_sandbox.running()) == ["jobmanager", "kafka", "taskmanager-2"]

    own_sandbox.down()
    assert own_sandbox.running() == {}
    assert marked_processes(own_sandbox.run_dir) == []


def test_two_sandboxes_run_side_by_side_and_the_end_of_one_is_nothing_to_the_other(sandbox, run_dir):
    """The second is started as a person does: `livetower up` without a port."""
    first = sandbox.running()
    second = Sandbox(run_dir)
    try:
        subprocess.run(
            [sys.executable, "-m", "livetower.cli", "up", "--run-dir", run_dir, "--taskmanagers=1"], check=True
        )
        assert sorted(second.running()) == ["jobmanager", "kafka", "taskmanager-1"]
        assert ports_of(second).isdisjoint(ports_of(sandbox))
        assert [answers(each) for each in (sandbox, second)] == [(1, 3), (1, 1)]
    finally:
        second.down()
    assert marked_processes(run_dir) == []
    assert sandbox.running() == first
    assert answers(sandbox) == (1, 3)


def ports_of(sandbox: Sandbox) -> set[int]:
    return set(asdict(read_state(sandbox.run_dir).ports).values())


def answers(sandbox: Sandbox) -> tuple[int, int]:
    """How many brokers Kafka and how many TaskManagers Flink says that there are."""
    brokers = AdminClient({"bootstrap.servers": sandbox.bootstrap_servers}).list_topics(timeout=10).brokers
    return len(brokers), sandbox.rest("/overview")["taskmanagers"]


def test_compilers_and_the_jobmanager_yield_to_the_threads_that_answer(sandbox):
    records = sandbox.running()
    for name, record in records.items():
        nice = niceness_by_thread(record.pid)
        assert {value for thread, value in nice if "Compiler" in thread} == {10}, name
        expected = 5 if name == "jobmanager" else 0
        assert {value for thread, value in nice if thread == "java"} == {expected}, name
        if (autogroup := Path(f"/proc/{record.pid}/autogroup")).exists() and not name.startswith("taskmanager-"):
            assert autogroup.read_text().split()[1:] == ["nice", str(expected)], name
    assert {"jobmanager", "kafka"} < records.keys()


def niceness_by_thread(pid: int) -> set[tuple[str, int]]:
    """Name and nice value of every thread (proc(5), fields 2 and 19 of stat)."""
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread may end while we look
            name, _, fields = (task / "stat").read_text().partition("(")[2].rpartition(")")
            found.add((name, int(fields.split()[16])))
    return found


def test_a_job_that_cannot_be_submitted_says_why(sandbox, tmp_path):
    job = tmp_path / "job.py"
    job.write_text("raise ValueError('the moon is full')\n")
    with pytest.raises(SandboxError, match="ValueError: the moon is full"):
        sandbox.submit(file=job)
