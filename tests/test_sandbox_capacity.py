"""What `livetower` refuses before it starts or removes anything: one line, and what to do."""

import re
import socket
import sys
from pathlib import Path

import pytest
from restricted import modes_count, on_small_disk, refusal, run, silent_port

from livetower.sandbox import Sandbox, SandboxError, capacity, launch
from livetower.sandbox.launch import missing_mib
from livetower.sandbox.ports import LOOPBACK, Ports
from livetower.sandbox.state import SandboxState, write_state

# Without a Java: were a command not refused, it would start nothing all the same.
LIVETOWER = ["env", "JAVA_HOME=/nowhere", sys.executable, "-m", "livetower.cli"]


def up(run_dir: Path, *options: str) -> list[str | Path]:
    return [*LIVETOWER, "up", "--run-dir", run_dir, *options]


def test_a_sandbox_needs_the_memory_of_what_does_not_run_yet():
    assert missing_mib([], 2) == 2 * 1152 + 384 + 384
    assert missing_mib(["kafka", "jobmanager", "taskmanager-4"], 2) == 1152
    assert missing_mib(["kafka", "jobmanager", "taskmanager-1", "taskmanager-2"], 1) == 0


def test_more_memory_than_there_is_is_refused_with_both_figures(run_dir, monkeypatch):
    # In this process: were the check broken, the real thing would start TaskManagers until the machine has no memory.
    monkeypatch.setattr(launch, "start_missing", lambda *_: pytest.fail("started"))
    with pytest.raises(SandboxError, match=r"^115200768 MiB of memory are needed, and \d+ MiB are available: end"):
        Sandbox(run_dir).up(taskmanagers=100_000)
    assert not (run_dir / "sandbox.json").exists()


def test_memory_that_just_suffices_is_not_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(capacity, "MEMINFO", tmp_path / "meminfo")
    capacity.MEMINFO.write_text("MemTotal:  9999999 kB\nMemFree:  11 kB\nMemAvailable:    3145728 kB\n")
    capacity.require_memory(3072)
    with pytest.raises(SandboxError, match="3073 MiB of memory are needed, and 3072 MiB are available"):
        capacity.require_memory(3073)


def test_a_small_disk_is_refused_with_both_figures(tmp_path):
    line = refusal(run(on_small_disk(tmp_path / "disk", up(tmp_path / "disk" / "run"))))
    said = f"Error: 1024 MiB of free disk are needed in {tmp_path}/disk/run, and 64 MiB are free: free some, or name a"
    assert line.startswith(said)


def test_a_run_directory_that_cannot_be_written_is_refused_with_the_reason(run_dir, tmp_path):
    run_dir.mkdir()
    run_dir.chmod(0o555)
    line = refusal(run(modes_count(up(run_dir))))
    assert re.match(rf"Error: {run_dir} must be writable; {run_dir}: Permission denied: .*--run-dir", line)
    (tmp_path / "file").touch()
    line = refusal(run(up(tmp_path / "file" / "run")))
    assert re.match(r"Error: .*/file/run must be writable; .*/file: Not a directory: ", line)


@pytest.mark.parametrize("option", ["kafka", "rest", "controller", "jobmanager"])
def test_a_taken_port_is_refused_by_number_and_name_before_anything_is_removed(run_dir, option):
    kept = run_dir / "checkpoints"
    kept.mkdir(parents=True)
    write_state(run_dir, SandboxState(Ports()))
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        line = refusal(run(up(run_dir, "--fresh", f"--{option}-port", str(port))))
    assert line == f"Error: port {port} ({option}) is taken on 127.0.0.1: free it, or pass 0 for any free one"
    assert kept.exists()


def test_jars_without_a_network_are_asked_for_with_the_cure(tmp_path):
    proxy = f"http://127.0.0.1:{silent_port()}"
    line = refusal(run([*LIVETOWER, "jars"], LIVETOWER_HOME=str(tmp_path), HTTPS_PROXY=proxy, https_proxy=proxy))
    assert re.match(
        r"Error: no Maven repository answers for .* \(.*refused.*\): connect to a network, or set HTTPS_", line
    )


def test_movielens_without_a_network_is_asked_for_with_the_cure(tmp_path):
    environment = {"LIVETOWER_HOME": str(tmp_path), "PIP_RETRIES": "0"}
    line = refusal(run([*LIVETOWER, "demo"], PIP_INDEX_URL=f"http://127.0.0.1:{silent_port()}/simple", **environment))
    assert re.match(
        r"Error: MovieLens-100k, .*: no package index answers at http://127\.0\.0\.1:.*: connect to a", line
    )


@pytest.mark.parametrize("command", ["jars", "demo", "up", "ps"])
def test_a_home_that_cannot_be_entered_is_refused_with_the_reason(tmp_path, command):
    (tmp_path / "closed").mkdir(mode=0)
    line = refusal(run(modes_count([*LIVETOWER, command]), LIVETOWER_HOME=f"{tmp_path}/closed/home"))
    assert re.match(r"Error: .*/closed.*: Permission denied: .*LIVETOWER_HOME", line)


@pytest.mark.parametrize("command", ["jars", "demo"])
def test_a_home_that_cannot_be_written_is_refused_with_the_reason(tmp_path, command):
    (tmp_path / "file").touch()
    line = refusal(run([*LIVETOWER, command], LIVETOWER_HOME=f"{tmp_path}/file/home"))
    assert re.match(r"Error: .*/file/home.* must be writable; .*/file: Not a directory: .*LIVETOWER_HOME", line)
