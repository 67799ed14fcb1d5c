"""Submitting a job to the sandbox's Flink, and waiting until all of it runs.

It knows the job only as a module or file with arguments.
"""

import json
import re
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from livetower.sandbox import flink, rest
from livetower.sandbox.errors import SandboxError
from livetower.sandbox.java import embedding_environment
from livetower.sandbox.processes import MARK

JOB_MODULE = "flink_jobs.recommend_job"
JOB_ID = re.compile(r"JobID ([0-9a-f]{32})")
LOGGED = re.compile(r"\d{4}-\d\d-\d\d ")  # Flink logs once more what the job prints
FAILURES_TO_GIVE_UP = 2  # one may be a slot of a TaskManager that is just going; the same again is the job's own


def absolute_place(named: str) -> str:
    """A directory as Flink's processes find it, which run elsewhere; a URI stays as it is.

    >>> absolute_place("s3://bucket/savepoints"), absolute_place("/backup/../savepoints")
    ('s3://bucket/savepoints', '/backup/../savepoints')
    """
    return named if ":" in named else str(Path(named).absolute())


def submit_job(run_dir: Path, job: Sequence[str], from_savepoint: str | None) -> str:
    """Run Flink's command line once, detached, and return the id of the job it submitted.

    `job` is what follows `flink run -d`: `-pym MODULE` or `-py FILE`, then the job's own arguments.
    """
    restore = ["-s", absolute_place(from_savepoint)] if from_savepoint else []
    command = flink.client_command(run_dir, "run", "-d", *restore, *job)
    environment = embedding_environment() | flink.client_environment(run_dir) | {MARK: str(run_dir)}
    run = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=run_dir
    )
    log = run_dir / "log" / "submit.log"
    log.write_text(run.stdout + run.stderr)
    if found := JOB_ID.search(run.stdout):
        return found[1]
    raise SandboxError(f"the job was not submitted:\n{failure_in(run.stdout + run.stderr)}\n(all of it: {log})")


def failure_in(output: str) -> str:
    """Return the part of the client's output that says why: the last Python traceback, else the last lines.

    When the job's own process has ended with an error, Flink's words about that add nothing.
    """
    output = output.split("java.lang.RuntimeException: Python process exits")[0]
    start = output.rfind("Traceback (most recent call last)")
    lines = output[max(start, 0) :].strip().splitlines()
    said = [line for line in lines if not line.startswith(("\tat ", "\t... ")) and not LOGGED.match(line)]
    return "\n".join(said[:40] if start >= 0 else said[-15:])


def wait_until_running(rest_url: str, job_id: str, timeout_s: float) -> None:
    """Wait until every task of the job runs; cancel it and raise SandboxError with the root cause when it fails."""
    deadline = time.monotonic() + timeout_s
    while True:
        job = rest.request_json(rest_url, f"/jobs/{job_id}")
        if rest.all_tasks_run(job):
            return
        failures = rest.newest_failures(rest_url, job_id)
        ended = job["state"] in ("FAILED", "CANCELED", "FINISHED")
        if ended or len(failures) >= FAILURES_TO_GIVE_UP or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    if job["state"] == "FINISHED" and not failures:
        return  # a bounded job may end before it is seen running
    if not ended:
        cancel_job(rest_url, job_id)
    reason = rest.root_cause(failures[0]) if failures else f"it was {job['state']} after {timeout_s:.0f} s"
    raise SandboxError(f"job {job_id} did not start and was cancelled: {reason}")


def keep_parameters(run_dir: Path, rest_url: str, job_id: str, timeout_s: float = 30) -> None:
    """Write what the job says of itself, its global parameters, into RUN_DIR/jobs: Flink forgets a job that has ended.

    A job that Flink is still preparing does not say it yet.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with suppress(SandboxError):
            answer = rest.request_json(rest_url, f"/jobs/{job_id}/config")
            if said := (answer or {}).get("execution-config"):
                (run_dir / "jobs").mkdir(exist_ok=True)
                kept = json.dumps(said.get("user-config", {}), indent=2)
                (run_dir / "jobs" / f"{job_id}.json").write_text(kept + "\n")
                return
        time.sleep(0.1)


def cancel_job(rest_url: str, job_id: str, timeout_s: float = 30) -> None:
    """Cancel a job and wait until it has given back its slots; its retained checkpoints stay."""
    rest.request_json(rest_url, f"/jobs/{job_id}", method="PATCH")
    deadline = time.monotonic() + timeout_s
    while job_id in rest.unfinished_jobs(rest_url):
        if time.monotonic() > deadline:
            raise SandboxError(f"job {job_id} is still there {timeout_s:.0f} s after it was cancelled: see {rest_url}")
        time.sleep(0.05)
