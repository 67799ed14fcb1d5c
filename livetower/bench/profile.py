"""The lines of Python that take the time: py-spy looks at the TaskManager that runs learn-and-recommend.

py-spy reads another process's memory, so nothing in the job changes; it finds the interpreter that the JVM embeds. It
needs the right to trace that process: Linux gives it to root, or with kernel.yama.ptrace_scope 0 to its owner.
"""

import subprocess
import sysconfig
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from livetower.bench.errors import BenchError
from livetower.bench.figures import HotLine, Profile
from livetower.sandbox import Sandbox

OPERATOR, OPERATOR_FILE = "learn-and-recommend", "learn_and_recommend.py"
SAMPLES_PER_S = 200
LINES = 10


def pid_of_operator(sandbox: Sandbox, job_id: str) -> int:
    """The process id of the TaskManager that runs the operator's first subtask. Raises BenchError if none is ours."""
    vertices = sandbox.rest(f"/jobs/{job_id}")["vertices"]
    vertex = next((each["id"] for each in vertices if OPERATOR in each["name"]), None)
    if vertex is None:
        raise BenchError(f"job {job_id}: a task named {OPERATOR} was needed; it has {[v['name'] for v in vertices]}")
    name = sandbox.rest(f"/jobs/{job_id}/vertices/{vertex}")["subtasks"][0]["taskmanager-id"]
    record = sandbox.running().get(name)
    if record is None:
        raise BenchError(f"{OPERATOR} runs in {name}, which is not a process of {sandbox.run_dir}: profile it there")
    return record.pid


def py_spy() -> str:
    """The program. Raises BenchError if it is not installed."""
    program = Path(sysconfig.get_path("scripts")) / "py-spy"
    if not program.exists():
        raise BenchError(f"--profile: py-spy was needed at {program}; `pip install -r requirements.txt --no-deps`")
    return str(program)


def start_recording(pid: int, seconds: int, output: Path) -> "subprocess.Popen[str]":
    """Begin to sample the process's Python stacks into `output`, one line a stack and its count."""
    command = [py_spy(), "record", "--pid", str(pid), "--format", "raw", "--output", str(output)]
    command += ["--rate", str(SAMPLES_PER_S), "--duration", str(seconds)]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish_recording(recording: "subprocess.Popen[str]", output: Path) -> Profile:
    """What was seen. Raises BenchError if py-spy saw nothing of the operator."""
    said = recording.communicate()[0].strip().splitlines()
    found = profile_of(output.read_text().splitlines()) if output.exists() else None
    if found is None:
        last = said[-1] if said else "nothing"
        raise BenchError(
            f"--profile: stacks of {OPERATOR} were needed; py-spy said: {last}. It must be allowed to trace the "
            "TaskManager: run as root, or set kernel.yama.ptrace_scope to 0"
        )
    return found


def profile_of(stacks: Iterable[str], lines: int = LINES) -> Profile | None:
    """The innermost lines with the most samples; None if no stack went through the operator.

    A stack is `outermost;…;innermost count`, each frame `function (file:line)`; without a frame the thread, which is
    Java's, was not in Python.

    >>> a, b = "process_element (operators/learn_and_recommend.py:9)", "advance (models/recommender.py:7)"
    >>> found = profile_of([f"{a};{b} 3", f"{a} 1", " 6"])
    >>> found.python_share, [(line.where[:7], line.share) for line in found.lines]
    (0.4, [('advance', 0.75), ('process', 0.25)])
    """
    counts: Counter[str] = Counter()
    n_samples, operator_seen = 0, False
    for stack in stacks:
        frames, _, count = stack.rpartition(" ")
        n_samples += int(count)
        operator_seen = operator_seen or OPERATOR_FILE in frames
        if frames:
            counts[frames.rpartition(";")[2]] += int(count)
    if not operator_seen:
        return None
    in_python = counts.total()
    hottest = [HotLine(where, count / in_python) for where, count in counts.most_common(lines)]
    return Profile(in_python / n_samples, hottest)
