"""The job that is put through chaos: submitted with topics of its own, stopped, looked at through Flink's REST API."""

import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from flink_jobs.settings import JobSettings, load_settings
from livetower.operations.flink_job import FlinkJob
from livetower.sandbox import Sandbox, SandboxError
from livetower.sandbox.rest import all_tasks_run

SAVEPOINT_S = 120.0
LEARN, TOWER = "learn-and-recommend", "train-item-tower"


class ChaosJob:
    """One job, by whatever id and at whatever parallelism it runs now."""

    def __init__(self, sandbox: Sandbox, directory: Path, settings: Sequence[str]) -> None:
        self.parallelism = 1
        self.main: Path | None = None
        """Another main than the job's own, once it was upgraded."""
        self.job_id = ""
        self._sandbox = sandbox
        self._savepoints = directory / "savepoints"
        name = f"chaos-{uuid.uuid4().hex[:8]}"
        topics = ("interactions", "items", "item_snapshots", "commands", "recommendations", "rejected")
        self._arguments = [
            *(f"topics.{topic}={name}-{topic}" for topic in topics),
            f"job.group_id={name}",
            f"kafka.bootstrap_servers={sandbox.bootstrap_servers}",
            *settings,
        ]
        self.settings: JobSettings = load_settings(None, self._arguments)

    def submit(self, from_state: str | None = None) -> None:
        """Start it, from a savepoint or checkpoint if one is given, and wait until every task runs."""
        told = [*self._arguments, f"job.parallelism={self.parallelism}"]
        words = [word for each in told for word in ("--set", each)]
        self.job_id = self._sandbox.submit(*words, from_savepoint=from_state, file=self.main)

    def stop(self) -> str:
        """Stop it with a savepoint; returns where that is."""
        return FlinkJob(self._sandbox.rest_url, self.job_id).stop(self._savepoints.as_uri(), SAVEPOINT_S)

    def cancel(self) -> None:
        """End it if it has not ended."""
        if self.job_id in self._sandbox.unfinished_jobs():
            self._sandbox.cancel(self.job_id)

    # ---- what Flink says -------------------------------------------------------------------------

    def all_run(self) -> bool:
        """Whether every task runs."""
        return all_tasks_run(self._sandbox.rest(f"/jobs/{self.job_id}"))

    def restored(self) -> int:
        """How often this JobManager has restored it."""
        return int(self._sandbox.rest(f"/jobs/{self.job_id}/checkpoints")["counts"]["restored"])

    def restored_checkpoint(self) -> int:
        """Number of the checkpoint that it was restored from last; -1 if from none."""
        latest = self._sandbox.rest(f"/jobs/{self.job_id}/checkpoints")["latest"]["restored"]
        return -1 if latest is None else int(latest["id"])

    def taskmanagers(self, operator: str) -> list[str]:
        """Names of the TaskManagers that run an operator, by subtask."""
        path = f"/jobs/{self.job_id}/vertices/{self._vertex(operator)['id']}"
        return [str(subtask["taskmanager-id"]) for subtask in self._sandbox.rest(path)["subtasks"]]

    def counter(self, operator: str, name: str) -> int:
        """The sum of a counter over the operator's subtasks; 0 until Flink shows it."""
        path = f"/jobs/{self.job_id}/vertices/{self._vertex(operator)['id']}/subtasks/metrics"
        names = [metric["id"] for metric in self._sandbox.rest(path) if metric["id"].endswith(f".{name}")]
        found = self._sandbox.rest(f"{path}?get={names[0]}") if names else []
        return sum(round(metric["sum"]) for metric in found)

    def _vertex(self, operator: str) -> dict[str, Any]:
        vertices = self._sandbox.rest(f"/jobs/{self.job_id}")["vertices"]
        found: dict[str, Any] = next(vertex for vertex in vertices if operator in vertex["name"])
        return found

    # ---- what is on disk -------------------------------------------------------------------------

    @property
    def checkpoint_root(self) -> Path:
        """Directory of its checkpoints."""
        return self._sandbox.run_dir / "checkpoints" / self.job_id

    def checkpoints(self, *, completed: bool = True) -> list[Path]:
        """The directories of its retained checkpoints, the newest last; or of those that are under way."""
        found = [path for path in self.checkpoint_root.glob("chk-*") if (path / "_metadata").exists() == completed]
        return sorted(found, key=checkpoint_number)

    def snapshot_files(self) -> list[Path]:
        """Full snapshots in files, the newest last."""
        root = Path(self.settings.job.snapshot_root)
        return sorted(root.glob("full-*.safetensors"), key=lambda path: path.stat().st_mtime_ns)


def checkpoint_number(directory: Path) -> int:
    """The number in a checkpoint's name.

    >>> checkpoint_number(Path("/checkpoints/chk-12"))
    12
    """
    return int(directory.name.removeprefix("chk-"))


def path_of(uri: str) -> Path:
    """The path of a file URI.

    >>> path_of("file:/run/savepoints/savepoint-1")
    PosixPath('/run/savepoints/savepoint-1')
    """
    return Path(urlparse(uri).path)


def is_so(condition: Callable[[], bool]) -> bool:
    """Whether the condition holds; not while Flink does not answer, or answers that it is not ready."""
    try:
        return condition()
    except (OSError, SandboxError):
        return False
