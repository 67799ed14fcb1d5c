"""One sandbox: a run directory, and what `livetower up`, `down`, `ps` and `submit` do with it.

Everything about a running sandbox is in its run directory (state.py), so any process may open it and go on. How its
processes are started stands in launch.py, what they are told in flink.py and kafka.py.
"""

import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from livetower.sandbox import capacity, launch, log_files, rest, submission
from livetower.sandbox.errors import SandboxError
from livetower.sandbox.home import default_run_dir
from livetower.sandbox.ports import LOOPBACK, Ports
from livetower.sandbox.processes import ProcessRecord, signal_process, wait_for_end
from livetower.sandbox.startup import wait_until
from livetower.sandbox.state import locked, read_state, write_state


class Sandbox:
    """A Kafka broker, a Flink JobManager and TaskManagers of one slot each, all on loopback."""

    def __init__(self, run_dir: str | Path | None = None) -> None:
        self.run_dir = Path(run_dir).absolute() if run_dir is not None else default_run_dir()

    @property
    def bootstrap_servers(self) -> str:
        """The broker's address, as Kafka clients want it."""
        return f"{LOOPBACK}:{self._ports().kafka}"

    @property
    def rest_url(self) -> str:
        """The address of Flink's REST API and web UI."""
        return f"http://{LOOPBACK}:{self._ports().rest}"

    @property
    def snapshot_root(self) -> Path:
        """The directory that a job of this sandbox publishes its item snapshots to."""
        return self.run_dir / "snapshots"

    def rest(self, path: str, method: str = "GET", body: object = None) -> Any:
        """Ask Flink's REST API and return the parsed answer."""
        return rest.request_json(self.rest_url, path, method, body)

    def processes(self) -> dict[str, ProcessRecord]:
        """Return every process started since `up` by its name, ended ones included."""
        return read_state(self.run_dir).processes

    def running(self) -> dict[str, ProcessRecord]:
        """Return the processes that run now, by name."""
        return launch.running(self.run_dir)

    def log_path(self, name: str) -> Path:
        """Return the log of a process by its name."""
        return log_files.log_path(self.run_dir, name)

    def output_path(self, name: str) -> Path:
        """Return the file of what a process prints past its log."""
        return log_files.output_path(self.run_dir, name)

    def log_files(self, names: Iterable[str]) -> dict[str, Path]:
        """Return the logs of these processes, and as NAME.out what some have printed past theirs."""
        paths = {}
        for name in names:
            output = self.output_path(name)
            printed = output.exists() and output.stat().st_size > 0
            if self.log_path(name).exists() or not printed:
                paths[name] = self.log_path(name)
            if printed:
                paths[f"{name}.out"] = output
        return paths

    def up(
        self,
        taskmanagers: int = 2,
        *,
        ports: Ports | None = None,
        fresh: bool = False,
        flink_options: Mapping[str, str] | None = None,
        kafka_options: Mapping[str, str] | None = None,
        high_availability: bool = False,
    ) -> None:
        """Start what does not run yet and wait until all of it answers.

        `fresh` removes what an earlier sandbox left in the run directory; with `high_availability` a ZooKeeper runs
        too, and a JobManager that was lost goes on with its jobs. They, the ports, `flink_options` and `kafka_options`
        (configuration keys that win over ours) count only when nothing of the sandbox runs. A failure or Ctrl-C stops
        what this call started. Raises SandboxError, before anything is removed or started, when memory, disk, a port or
        the right to write is missing.
        """
        with locked(self.run_dir):
            before = self.running()
            capacity.require_memory(launch.missing_mib(before, taskmanagers))
            capacity.require_disk(self.run_dir)
            if not before:
                launch.prepare(
                    self.run_dir, ports or Ports(), flink_options or {}, fresh, kafka_options or {}, high_availability
                )
            try:
                launch.wait_until_complete(self.run_dir, launch.start_missing(self.run_dir, taskmanagers))
            except BaseException:
                if before:
                    launch.stop(self.run_dir, self.running().keys() - before.keys())
                else:
                    launch.stop_everything(self.run_dir)
                raise

    def down(self) -> None:
        """Stop everything by process id; what the run directory holds stays."""
        if not self.run_dir.exists():
            return
        with locked(self.run_dir):
            launch.stop_everything(self.run_dir)
            state = read_state(self.run_dir)
            if state.processes:
                state.processes.clear()
                write_state(self.run_dir, state)

    def start_taskmanager(self) -> str:
        """Start one more TaskManager, wait until Flink has it, and return its name."""
        with locked(self.run_dir):
            name = launch.start_taskmanager(self.run_dir)
            wait_until(
                name,
                lambda: name in rest.registered_taskmanagers(self.rest_url),
                lambda: launch.require_running(self.run_dir, {name}),
            )
            return name

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a process by its name, and wait for its end when the signal ends it."""
        record = self.processes().get(name)
        if record is None or not signal_process(record, self.run_dir, number):
            raise SandboxError(f"no process {name!r} runs here; these do: {', '.join(self.running()) or 'none'}")
        if number in (signal.SIGKILL, signal.SIGTERM):
            wait_for_end(record, self.run_dir, 15)

    def submit(
        self,
        *job_args: str,
        wait: bool = True,
        file: str | Path | None = None,
        from_savepoint: str | None = None,
        timeout_s: float = 180,
    ) -> str:
        """Submit the recommender with these arguments (or another job's `file` with its own) and return the job id.

        The recommender is told the broker and the snapshot root of this sandbox; arguments given here come after and
        win. TaskManagers that started with other code are replaced first, since they would go on running it. `wait`
        returns when every task runs, or raises SandboxError with the root cause.
        """
        if file is not None:
            job = ["-py", str(Path(file).absolute()), *job_args]
        else:
            place = {"kafka.bootstrap_servers": self.bootstrap_servers, "job.snapshot_root": str(self.snapshot_root)}
            told = [word for key, value in place.items() for word in ("--set", f"{key}={value}")]
            job = ["-pym", submission.JOB_MODULE, *told, *job_args]
        if "jobmanager" not in self.running():
            raise SandboxError(f"no Flink runs in {self.run_dir}: start one with `livetower up`")
        with locked(self.run_dir):
            launch.replace_outdated_taskmanagers(self.run_dir)
        job_id = submission.submit_job(self.run_dir, job, from_savepoint)
        if wait:
            submission.wait_until_running(self.rest_url, job_id, timeout_s)
        submission.keep_parameters(self.run_dir, self.rest_url, job_id)
        return job_id

    def cancel(self, job_id: str) -> None:
        """Cancel a job and wait until its slots are free; its retained checkpoints stay."""
        submission.cancel_job(self.rest_url, job_id)

    def unfinished_jobs(self) -> list[str]:
        """Return the ids of the jobs that hold or want slots."""
        return rest.unfinished_jobs(self.rest_url)

    def _ports(self) -> Ports:
        ports = read_state(self.run_dir).ports
        if ports.kafka == 0:
            raise SandboxError(f"no sandbox was started in {self.run_dir}: start one with `livetower up`")
        return ports
