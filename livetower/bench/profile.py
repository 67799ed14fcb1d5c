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
from livetower.bench.figures import HotLine
from livetower.sandbox import Sandbox

OPERATOR = "learn-and-recommend"
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


def finish_recording(recording: "subprocess.Popen[str]", output: Path) -> list[HotLine]:
    """The lines with the most samples. Raises BenchError if py-spy saw nothing."""
    said = recording.communicate()[0].strip().splitlines()
    stacks = output.read_text().splitlines() if output.exists() else []
    found = hot_lines(stacks)
    if not found:
        last = said[-1] if said else "nothing"
        raise BenchError(
            f"--profile: stacks of {OPERATOR} were needed; py-spy said: {last}. It may need to run as root"
        )
    return found


def hot_lines(stacks: Iterable[str], lines: int = LINES) -> list[HotLine]:
    """The innermost lines with the most samples among the stacks that went through the operator, and their shares.

    A stack is `outermost;…;innermost count`, each frame `function (file:line)`.

    >>> a, b = "process_element (operators/learn_and_recommend.py:9)", "advance (models/recommender.py:7)"
    >>> [(line.where[:7], line.share) for line in hot_lines([f"{a};{b} 3", f"{a} 1", "main (other.py:1) 6"])]
    [('advance', 0.75), ('process', 0.25)]
    """
    counts: Counter[str] = Counter()
    for stack in stacks:
        frames, _, count = stack.rpartition(" ")
        if "learn_and_recommend.py" in frames:
            counts[frames.rpartition(";")[2]] += int(count)
    total = counts.total()
    return [HotLine(where, count / total) for where, count in counts.most_common(lines)]
