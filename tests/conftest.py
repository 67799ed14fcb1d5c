"""What the tests share: the cluster of those that are marked `flink`."""

import os
from collections.abc import Iterator
from pathlib import Path

import proofs
import pytest

from livetower.sandbox import Sandbox
from livetower.sandbox.home import livetower_home

# Before any module with kernels is imported: compiled once, for all test runs and for the TaskManagers too.
os.environ.setdefault("NUMBA_CACHE_DIR", str(livetower_home() / "numba"))


TASKMANAGERS = 3


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One Kafka and one Flink with three slots for all tests marked `flink`; each test cancels the jobs it submits."""
    shared = Sandbox(tmp_path_factory.mktemp("sandbox"))
    options = {
        "execution.checkpointing.interval": "1 s",
        "state.backend.rocksdb.compression.per.level": "NO_COMPRESSION",  # a test looks for a key in the files
    }
    try:
        shared.up(taskmanagers=TASKMANAGERS, flink_options=options)
        yield shared
    finally:
        shared.down()


@pytest.fixture(autouse=True)
def enough_taskmanagers(request: pytest.FixtureRequest) -> None:
    """Three TaskManagers at the start of a test on the shared sandbox: Flink 2.2 may end one of those that are left
    when another dies (an error while a task's network input is closed), and here nobody else starts it again.
    """
    if "sandbox" in request.fixturenames:
        shared = request.getfixturevalue("sandbox")
        if sum(name.startswith("taskmanager-") for name in shared.running()) < TASKMANAGERS:
            shared.up(taskmanagers=TASKMANAGERS)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the job was put through."""
    if proofs.ROWS:
        terminalreporter.section("proofs")
        for line in proofs.table():
            terminalreporter.write_line(line)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run directory for a sandbox of the test's own."""
    return tmp_path / "run"
