import pytest
from confluent_kafka.admin import AdminClient

from livetower.sandbox import Sandbox, SandboxError
from livetower.sandbox.processes import marked_processes

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


def test_a_job_that_cannot_be_submitted_says_why(sandbox, tmp_path):
    job = tmp_path / "job.py"
    job.write_text("raise ValueError('the moon is full')\n")
    with pytest.raises(SandboxError, match="ValueError: the moon is full"):
        sandbox.submit(file=job)
