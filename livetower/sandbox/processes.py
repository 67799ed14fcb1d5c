"""Starting, recognising and stopping the sandbox's processes, each by its process id.

A process id alone is no proof: the kernel gives it to another process later. A process is ours when it started in the
very clock tick that we noted and carries our run directory in its environment; nothing else is ever signalled.
Linux only (/proc).
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "LIVETOWER_SANDBOX"  # environment variable that carries the run directory
PROC = Path("/proc")

# Children of this very process become zombies until they are polled; is_running() polls them.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """What was noted about a process when it started.

    `code` is the digest of the code that lay on disk then: an embedded interpreter keeps the modules it has imported.
    """

    pid: int
    start_ticks: int
    code: str = ""


def start_process(
    command: Sequence[str],
    *,
    run_dir: Path,
    log: Path,
    environment: Mapping[str, str],
    code: str = "",
    nice: int = 0,
) -> ProcessRecord:
    """Start a command in a session of its own, its output appended to `log`, and return its record.

    Its own session keeps a Ctrl-C in the terminal from reaching it before we stop everything in the right order. With
    `nice` it gives way to the others: its threads, and, since Linux shares its cores among sessions first (sched(7),
    autogroup), its session.
    """

    def start() -> subprocess.Popen[bytes]:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + nice)
        return subprocess.Popen(
            command,
            env={**environment, MARK: str(run_dir)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd=run_dir,
        )

    # From a thread of its own, since a thread without root cannot take its nice value back. Set on the new process it
    # would come too late: a JVM starts its second thread within a millisecond.
    with log.open("ab") as output, ThreadPoolExecutor(max_workers=1) as starter:
        child = starter.submit(start).result()
    _children[child.pid] = child
    if nice:
        with suppress(OSError):  # a system without autogroups shares among threads
            (PROC / str(child.pid) / "autogroup").write_text(str(nice))
    while child.poll() is None and not carries_mark(child.pid, run_dir):
        time.sleep(
            0.001
        )  # for an instant after exec the kernel shows an empty environment: it would pass for another's
    return ProcessRecord(child.pid, start_ticks(child.pid) or 0, code)


def is_running(record: ProcessRecord, run_dir: Path) -> bool:
    """Tell whether the recorded process still runs and is ours."""
    if child := _children.get(record.pid):
        child.poll()
    return start_ticks(record.pid) == record.start_ticks and carries_mark(record.pid, run_dir)


def signal_process(record: ProcessRecord, run_dir: Path, number: signal.Signals) -> bool:
    """Send a signal to the recorded process if it is still ours; return whether it was sent."""
    if not is_running(record, run_dir):
        return False
    with suppress(ProcessLookupError):  # it ended by itself between the two calls
        os.kill(record.pid, number)
    return True


def wait_for_end(record: ProcessRecord, run_dir: Path, seconds: float) -> bool:
    """Wait until the recorded process has ended; return False when it has not after `seconds`."""
    deadline = time.monotonic() + seconds
    while is_running(record, run_dir):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def stop_processes(records: Sequence[ProcessRecord], run_dir: Path, patience_s: float = 15) -> None:
    """Ask these processes to end (SIGTERM), all at once; end what is left after `patience_s` (SIGKILL)."""
    for record in records:
        signal_process(record, run_dir, signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    for record in records:
        if not wait_for_end(record, run_dir, deadline - time.monotonic()):
            signal_process(record, run_dir, signal.SIGKILL)
            wait_for_end(record, run_dir, patience_s)


def marked_processes(run_dir: Path) -> list[ProcessRecord]:
    """Find every live process that carries this run directory, recorded or not (a client that was left behind, say)."""
    found = []
    for entry in PROC.iterdir():
        if entry.name.isdigit() and carries_mark(int(entry.name), run_dir):
            ticks = start_ticks(int(entry.name))
            if ticks is not None:
                found.append(ProcessRecord(int(entry.name), ticks))
    return found


def carries_mark(pid: int, run_dir: Path) -> bool:
    """Tell whether the process was started with this run directory in its environment."""
    try:
        variables = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # gone, or another user's: not ours in either case
        return False
    return f"{MARK}={run_dir}".encode() in variables


def start_ticks(pid: int) -> int | None:
    """Return when the process started, in clock ticks since boot, or None when it is gone or a zombie."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # proc(5), field 3 on; the name in front may hold blanks
    return None if fields[0] in "ZX" else int(fields[19])


def resident_mib(pid: int) -> int:
    """Return the memory that the process occupies now, in MiB, or 0 when it is gone."""
    try:
        pages = int((PROC / str(pid) / "statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20
