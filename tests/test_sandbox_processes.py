import os
import signal
import sys
from dataclasses import replace

import pytest

from livetower.sandbox.processes import (
    ProcessRecord,
    is_running,
    marked_processes,
    signal_process,
    start_process,
    start_ticks,
    stop_processes,
    wait_for_end,
)

SLEEPER = [sys.executable, "-c", "import time; print('awake', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('awake', flush=True); time.sleep(600)",
]


def start(command, tmp_path) -> ProcessRecord:
    """Start a command and wait until it has said that it is awake."""
    log = tmp_path / "log"
    record = start_process(command, run_dir=tmp_path, log=log, environment=os.environ)
    while not log.read_text():
        if not is_running(record, tmp_path):
            stop_processes([record], tmp_path)
            pytest.fail(f"{command} ended before it said anything")
    return record


@pytest.fixture
def sleeper(tmp_path):
    record = start(SLEEPER, tmp_path)
    yield record
    stop_processes([record], tmp_path)


def test_a_started_process_is_ours_until_it_is_stopped(sleeper, tmp_path):
    assert is_running(sleeper, tmp_path)
    stop_processes([sleeper], tmp_path)
    assert not is_running(sleeper, tmp_path)


def test_a_recycled_process_id_is_not_killed(sleeper, tmp_path):
    recycled = replace(sleeper, start_ticks=sleeper.start_ticks - 1)
    assert not signal_process(recycled, tmp_path, signal.SIGKILL)
    assert is_running(sleeper, tmp_path)


def test_a_process_of_another_run_directory_is_not_killed(sleeper, tmp_path):
    assert not signal_process(sleeper, tmp_path / "other", signal.SIGKILL)
    assert is_running(sleeper, tmp_path)


def test_our_own_process_is_not_ours_to_kill(tmp_path):
    ticks = start_ticks(os.getpid())
    assert ticks is not None
    assert not signal_process(ProcessRecord(os.getpid(), ticks), tmp_path, signal.SIGKILL)


def test_a_process_that_ignores_sigterm_is_killed(tmp_path):
    record = start(STUBBORN, tmp_path)
    stop_processes([record], tmp_path, patience_s=0.1)
    assert not is_running(record, tmp_path)


def test_waiting_for_an_end_that_does_not_come_gives_up(sleeper, tmp_path):
    assert not wait_for_end(sleeper, tmp_path, seconds=0.05)


def test_a_process_that_was_not_recorded_is_found_by_its_mark(sleeper, tmp_path):
    assert [found.pid for found in marked_processes(tmp_path)] == [sleeper.pid]
