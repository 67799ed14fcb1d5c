"""The running job, through Flink's REST API: which one it is, what it says of itself, and savepoints."""

import time
from collections.abc import Callable
from typing import Any

from livetower.errors import CannotGoOn
from livetower.sandbox import SandboxError, rest

NAME = "livetower"
POLL_S = 0.1


class FlinkJob:
    """One job of a cluster."""

    def __init__(self, rest_url: str, job_id: str) -> None:
        self.rest_url = rest_url
        self.job_id = job_id

    def facts(self) -> dict[str, str]:
        """Its global parameters."""
        answer = rest.request_json(self.rest_url, f"/jobs/{self.job_id}/config")
        facts: dict[str, str] = (answer or {}).get("execution-config", {}).get("user-config", {})
        return facts

    def savepoint(self, directory: str | None, timeout_s: float, *, written_as: str = "CANONICAL") -> str:
        """Take a savepoint, CANONICAL or NATIVE; returns where it is. Raises CannotGoOn."""
        body = {"cancel-job": False, "target-directory": directory, "formatType": written_as}
        return self._completed("savepoints", body, timeout_s)

    def stop(self, directory: str | None, timeout_s: float) -> str:
        """Take a savepoint, after which the job ends; returns where it is. Raises CannotGoOn."""
        place = self._completed("stop", {"drain": False, "targetDirectory": directory}, timeout_s)
        _wait_until(
            f"job {self.job_id} has its savepoint {place} and does not end",
            lambda: self.job_id not in rest.unfinished_jobs(self.rest_url),
            timeout_s,
        )
        return place

    def _completed(self, operation: str, body: dict[str, Any], timeout_s: float) -> str:
        told = {"formatType": "CANONICAL"} | {name: value for name, value in body.items() if value is not None}
        try:
            trigger = rest.request_json(self.rest_url, f"/jobs/{self.job_id}/{operation}", "POST", told)["request-id"]
        except SandboxError as error:
            raise CannotGoOn(f"Flink took no savepoint of job {self.job_id}: {error}") from error
        path, done = f"/jobs/{self.job_id}/savepoints/{trigger}", {}

        def completed() -> bool:
            nonlocal done
            done = rest.request_json(self.rest_url, path)
            return bool(done["status"]["id"] == "COMPLETED")

        _wait_until(f"the savepoint of job {self.job_id} is not complete", completed, timeout_s)
        outcome = done["operation"]
        if "location" not in outcome:
            cause = rest.root_cause(outcome["failure-cause"]["stack-trace"]).strip()
            raise CannotGoOn(f"the savepoint of job {self.job_id} failed, and the job goes on: {cause}")
        return str(outcome["location"])


def the_job(rest_url: str, job_id: str | None) -> FlinkJob:
    """The job of this id, or the only unfinished one that is named livetower. Raises CannotGoOn."""
    jobs = rest.request_json(rest_url, "/jobs/overview")["jobs"]
    ended = ("FINISHED", "FAILED", "CANCELED")
    there = {job["jid"]: job["state"] for job in jobs if job["state"] not in ended and (job_id or job["name"] == NAME)}
    if job_id is not None:
        if job_id not in there:
            raise CannotGoOn(f"job {job_id} was needed at {rest_url}; running are {', '.join(there) or 'none'}")
        return FlinkJob(rest_url, job_id)
    if len(there) != 1:
        cure = "name one with --job" if there else "start one with `livetower resume` or `livetower submit`"
        raise CannotGoOn(f"one running job was needed at {rest_url}; got {', '.join(there) or 'none'}: {cure}")
    return FlinkJob(rest_url, next(iter(there)))


def _wait_until(what: str, ready: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            raise CannotGoOn(f"{what} after {timeout_s:g} s: see Flink's web UI, or give it --timeout SECONDS")
        time.sleep(POLL_S)
