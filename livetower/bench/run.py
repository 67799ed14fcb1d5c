"""The order of a bench: cluster, job, catalogue, backlog, paced runs, bare loop, and the profile if it is asked for.

Nothing here computes a figure; the modules named in livetower/bench/__init__.py do. A cluster that the bench has
started is stopped at its end, whatever ends it; in one that was running (`--run-dir`) the job goes on.
"""

import os
import platform
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from flink_jobs.settings import JobSettings, load_settings
from livetower.bench.backlog import measure_backlog
from livetower.bench.bare_loop import run_task, write_task
from livetower.bench.data import Data, encode_part, load_data
from livetower.bench.errors import BenchError
from livetower.bench.figures import Figures, Machine, PacedRun, Profile, Throughput, median_of
from livetower.bench.freshness import measure_freshness
from livetower.bench.profile import finish_recording, pid_of_operator, py_spy, start_recording
from livetower.bench.stages import Passage, stage_spreads
from livetower.demo.catalogue import load_catalogue, wait_for_snapshot
from livetower.demo.job_health import JobHealth
from livetower.demo.listener import open_consumer
from livetower.demo.replay import QUIET
from livetower.demo.run import create_probe_topic, start_job, stop_cluster
from livetower.sandbox import Sandbox

RUNS = 3
UNUSED_ROOT = "job.snapshot_root=unused://"
PROFILE_S = 10

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for."""

    source: str
    warm_up: int  # events of a backlog before it, of which nothing is reported
    events: int  # of the backlog
    rate: int  # of the paced runs, events per second
    seconds: int  # each of them takes
    settings: Path | None
    overrides: Sequence[str]
    run_dir: Path | None  # of a sandbox that runs; None: one of the bench's own
    profile: bool

    @property
    def job_arguments(self) -> list[str]:
        """What the job is told beside its broker and its snapshot root."""
        file = [] if self.settings is None else ["--settings", str(self.settings.absolute())]
        return [*file, *(word for each in self.overrides for word in ("--set", each))]


def run_bench(plan: Plan, folder: Path, say: Say) -> Figures:
    """Measure everything; `folder` is where a cluster of the bench's own lives. Raises BenchError, DemoError."""
    load_before = os.getloadavg()[0]
    settings = load_settings(plan.settings, [*plan.overrides, UNUSED_ROOT])
    if plan.profile:
        py_spy()
    paced = plan.rate * plan.seconds
    data = load_data(plan.source, plan.warm_up + plan.events + RUNS * paced)
    with running_job(plan, folder / "sandbox", say) as (sandbox, job_id):
        bench = Bench(plan, settings, data, sandbox, job_id, say)
        with bench.probe_topic():
            bench.load_items()
            bench.warm_up()
            throughput = bench.backlog()
            runs, passages = bench.paced_runs()
        bare_loop = bench.bare_loop(folder)
        profile = bench.profile(folder) if plan.profile else None
    return Figures(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        data=plan.source,
        items=len(data.items),
        settings=plan.overrides,
        rate=plan.rate,
        throughput=throughput,
        bare_loop_events_per_s=bare_loop,
        runs=runs,
        stages=stage_spreads(passages),
        machine=Machine(
            cpu=cpu_name(Path("/proc/cpuinfo").read_text()),
            cores=len(os.sched_getaffinity(0)),
            load_before=load_before,
            python=platform.python_version(),
            numba=version("numba"),
        ),
        profile=profile,
    )


@contextmanager
def running_job(plan: Plan, own_run_dir: Path, say: Say) -> Iterator[tuple[Sandbox, str]]:
    """The sandbox and its job: those that run, or ones of the bench's own, which are stopped in the end."""
    if plan.run_dir is not None:
        sandbox = Sandbox(plan.run_dir)
        jobs = sandbox.unfinished_jobs()
        if len(jobs) > 1:
            raise BenchError(f"{sandbox.run_dir}: one job was needed; {len(jobs)} run: `livetower cancel` the others")
        yield sandbox, jobs[0] if jobs else sandbox.submit(*plan.job_arguments)
        return
    sandbox = Sandbox(own_run_dir)
    own_run_dir.mkdir(parents=True, exist_ok=True)
    try:
        start_job(sandbox, own_run_dir, say, plan.job_arguments)
        yield sandbox, sandbox.unfinished_jobs()[0]
    finally:
        stop_cluster(sandbox, own_run_dir, say)


class Bench:
    """One bench against one job."""

    def __init__(self, plan: Plan, settings: JobSettings, data: Data, sandbox: Sandbox, job_id: str, say: Say) -> None:
        self._plan, self._data, self._sandbox, self._job_id, self._say = plan, data, sandbox, job_id, say
        self._settings, self._topics = settings, settings.topics
        self._health = JobHealth(sandbox.rest, job_id)
        self._bootstrap = sandbox.bootstrap_servers
        self._name = f"bench-{uuid.uuid4().hex[:8]}"

    @contextmanager
    def probe_topic(self) -> Iterator[None]:
        """The topic through which Kafka alone is measured, for as long as it is needed."""
        create_probe_topic(self._bootstrap, self._name)
        try:
            yield
        finally:
            admin = AdminClient({"bootstrap.servers": self._bootstrap, **QUIET})
            with suppress(KafkaException):  # the broker may be why the bench ends
                admin.delete_topics([self._name])[self._name].result(10)

    def load_items(self) -> None:
        """Send the catalogue and wait for a snapshot that holds it."""
        items = self._data.items
        self._say(f"catalogue: {len(items):,} items; waiting for a snapshot that holds them")
        load_catalogue(self._bootstrap, self._topics.items, items)
        wait_for_snapshot(self._bootstrap, self._topics.item_snapshots, len(items), self._health)

    def warm_up(self) -> None:
        """The first events, as a backlog, while the JVMs compile what runs often."""
        if self._plan.warm_up == 0:
            return
        stream = encode_part(self._data.interactions[: self._plan.warm_up], f"{self._name}-0-")
        self._say(f"warm-up: a backlog of {len(stream):,} events")
        found = measure_backlog(self._bootstrap, self._topics, stream, self._name, self._health)
        self._say(f"  {found.events_per_s:,.0f} a second")

    def _backlog(self) -> Sequence[Mapping[str, Any]]:
        return self._data.interactions[self._plan.warm_up : self._plan.warm_up + self._plan.events]

    def backlog(self) -> Throughput:
        """The events after them, as a backlog."""
        stream = encode_part(self._backlog(), f"{self._name}-0-")
        self._say(f"throughput: a backlog of {len(stream):,} events")
        found = measure_backlog(self._bootstrap, self._topics, stream, self._name, self._health)
        self._say(f"  {found.events_per_s:,.0f} events/s")
        return found

    def paced_runs(self) -> tuple[list[PacedRun], list[Passage]]:
        """The events after them, in runs."""
        runs, passages = [], []
        each = self._plan.rate * self._plan.seconds
        for n in range(RUNS):
            start = self._plan.warm_up + self._plan.events + n * each
            stream = encode_part(self._data.interactions[start : start + each], f"{self._name}-0-")
            self._say(f"freshness, run {n + 1} of {RUNS}: {len(stream):,} events at {self._plan.rate:,}/s")
            run, ways = measure_freshness(
                self._bootstrap, self._topics, stream, self._name, self._plan.rate, self._health
            )
            self._say(f"  p50 {run.freshness.p50} ms, p99 {run.freshness.p99} ms; Kafka alone {run.kafka_alone.p99} ms")
            runs.append(run)
            passages += ways
        return runs, passages

    def bare_loop(self, folder: Path) -> float:
        """Events per second of the same backlog without Flink and Kafka, the median of its rounds."""
        stream = encode_part(self._backlog(), "")
        self._say("bare loop: the same events in one thread of a process of its own")
        folder.mkdir(parents=True, exist_ok=True)
        task = folder / "bare-loop.json"
        try:
            write_task(
                task,
                stream.values,
                stream.keys,
                self._latest_full_snapshot(),
                self._plan.settings,
                self._plan.overrides,
            )
            speed = median_of(run_task(task))
        finally:
            task.unlink(missing_ok=True)
        assert speed is not None
        self._say(f"  {speed:,.0f} events/s")
        return speed

    def profile(self, folder: Path) -> Profile:
        """The lines that take the time while the job works on one more backlog; its speed is not reported."""
        stream = encode_part(self._backlog(), f"{self._name}-1-")
        output = folder / "stacks.txt"
        output.unlink(missing_ok=True)
        self._say(f"profile: py-spy looks at the TaskManager for {PROFILE_S} s of one more backlog")
        recording = start_recording(pid_of_operator(self._sandbox, self._job_id), PROFILE_S, output)
        try:
            measure_backlog(self._bootstrap, self._topics, stream, self._name, self._health)
            return finish_recording(recording, output)
        finally:
            if recording.poll() is None:
                recording.terminate()

    def _latest_full_snapshot(self) -> str:
        """Where the newest full snapshot lies. Raises BenchError if none is announced any more."""
        topic, newest = self._topics.item_snapshots, None
        consumer = open_consumer(self._bootstrap, topic)
        try:
            deadline = time.monotonic() + 10
            while (message := consumer.poll(1.0)) is not None or (newest is None and time.monotonic() < deadline):
                if message is not None and message.error() is None and message.value() is not None:
                    announced = orjson.loads(message.value())
                    newest = announced["file"] if announced["kind"] == "full" else newest
        finally:
            consumer.close()
        if newest is None:
            raise BenchError(f"topic {topic}: the announcement of a full snapshot in a file was needed; it holds none")
        return f"{self._sandbox.snapshot_root}/{newest}"


def cpu_name(cpuinfo: str) -> str:
    r"""The processor's name in the text of /proc/cpuinfo.

    >>> cpu_name("processor: 0\nmodel name\t: Fast One\n"), cpu_name("")
    ('Fast One', 'unknown')
    """
    names = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    return names[0] if names else "unknown"
