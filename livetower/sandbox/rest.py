"""Flink's REST API: one request, and the questions that the sandbox asks it."""

import json
import urllib.error
import urllib.request
from typing import Any

from livetower.sandbox.errors import SandboxError

# A proxy named in the environment must not be asked for an address on loopback.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def request_json(rest_url: str, path: str, method: str = "GET", body: object = None, timeout_s: float = 10) -> Any:
    """Send one request and return the parsed answer.

    Raises OSError while nothing listens, and SandboxError with Flink's own words when Flink refuses.
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(rest_url + path, data, {"Content-Type": "application/json"}, method=method)
    try:
        with _opener.open(request, timeout=timeout_s) as reply:
            text = reply.read()
    except urllib.error.HTTPError as error:
        raise SandboxError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')[:2000]}") from error
    return json.loads(text) if text else None


def registered_taskmanagers(rest_url: str) -> set[str]:
    """Return the resource ids (our names) of the registered TaskManagers; none while the JobManager is starting."""
    try:
        return {each["id"] for each in request_json(rest_url, "/taskmanagers", timeout_s=2)["taskmanagers"]}
    except (OSError, SandboxError):  # not listening yet, or listening and answering 503
        return set()


def unfinished_jobs(rest_url: str) -> list[str]:
    """Return the ids of the jobs that hold or want slots."""
    ended = {"FINISHED", "FAILED", "CANCELED"}
    return [job["id"] for job in request_json(rest_url, "/jobs")["jobs"] if job["status"] not in ended]


def all_tasks_run(job: dict[str, Any]) -> bool:
    """Tell from the answer to /jobs/ID whether the job and every one of its parallel tasks are running."""
    return job["state"] == "RUNNING" and all(
        vertex["tasks"]["RUNNING"] + vertex["tasks"]["FINISHED"] == vertex["parallelism"] for vertex in job["vertices"]
    )


def newest_failures(rest_url: str, job_id: str) -> list[str]:
    """Return the stack traces of the job's failures, the newest first."""
    history = request_json(rest_url, f"/jobs/{job_id}/exceptions")["exceptionHistory"]["entries"]
    return [entry["stacktrace"] for entry in history]


def root_cause(stacktrace: str) -> str:
    """Return the lines of a Java stack trace that say why: the last cause, with the Python frames but not Java's."""
    lines = stacktrace.strip().splitlines()
    start = max((n for n, line in enumerate(lines) if line.startswith("Caused by:")), default=0)
    return "\n".join(line for line in lines[start:] if ".py:" in line or not line.lstrip().startswith(("at ", "... ")))
