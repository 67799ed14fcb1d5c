"""The order of a soak: cluster, job, catalogue, traffic, a sample every ten seconds, and what came of it.

The cluster is the soak's own and is stopped at its end. Its JVMs touch their whole heap at the start
(AlwaysPreTouch), so that growth of a process is not the heap that fills.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from flink_jobs.settings import JobSettings, load_settings
from livetower.demo.catalogue import wait_for_snapshot
from livetower.demo.job_health import ENDED, JobHealth
from livetower.sandbox import Sandbox
from livetower.soak.errors import SoakError
from livetower.soak.limits import Limit, Traffic, limits_of
from livetower.soak.looking import look
from livetower.soak.traffic import Listener, Sender
from livetower.soak.verdict import Row, rows_of

EVERY_S: Final = 10.0
TASKMANAGERS: Final = 2
PRE_TOUCH: Final = "-XX:+AlwaysPreTouch"
FRAME_BYTES: Final = 40
"""What Kafka adds to a record, headers of a list among it, about."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for."""

    minutes: float
    rate: int
    settings: Path | None
    overrides: Sequence[str]

    @property
    def traffic(self) -> Traffic:
        """A user has about 200 events and leaves; an item stays for as long as a sixth of the soak."""
        users = max(20, self.rate)
        return Traffic(self.rate, users, self.rate / 200, 2_000, 2_000 / (10 * self.minutes))

    @property
    def told(self) -> list[str]:
        """Settings that let everything come to its bound within the soak; those that were asked for come after."""
        old_h = self.minutes / 60 / 8
        ours = {
            "model.user_ttl_days": f"{old_h / 24:.6f}",
            "tower.max_items": "2500",
            "tower.snapshot_keep_h": f"{old_h:.4f}",
            "topics.retention_h": f"{old_h:.4f}",
            "topics.segment_mib": "16",
        }
        return [*(f"{name}={value}" for name, value in ours.items()), *self.overrides]

    @property
    def job_arguments(self) -> list[str]:
        """What the job is told beside its broker and its snapshot root."""
        file = [] if self.settings is None else ["--settings", str(self.settings.absolute())]
        return [*file, *(word for each in self.told for word in ("--set", each))]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was seen, and what is said of it."""

    rows: list[Row]
    facts: Mapping[str, Any]
    samples: list[tuple[float, dict[str, float]]]


def run_soak(plan: Plan, run_dir: Path, say: Say) -> Outcome:
    """Soak a job below `run_dir`. Raises SoakError, DemoError, InvalidSettings, SandboxError."""
    settings = load_settings(plan.settings, [*plan.told, "job.snapshot_root=unused://"])
    with own_cluster(run_dir, say) as sandbox:
        job_id = sandbox.submit(*plan.job_arguments)
        say(f"job {job_id} submitted; web UI {sandbox.rest_url}")
        return soak(plan, settings, sandbox, job_id, say)


@contextmanager
def own_cluster(run_dir: Path, say: Say) -> Iterator[Sandbox]:
    """A fresh sandbox whose JVMs touch their heaps at once; stopped in the end."""
    sandbox = Sandbox(run_dir)
    before = os.environ.get("JAVA_TOOL_OPTIONS")
    os.environ["JAVA_TOOL_OPTIONS"] = f"{before or ''} {PRE_TOUCH}".strip()
    try:
        sandbox.down()
        say(f"starting Kafka and Flink ({TASKMANAGERS} TaskManagers) in {run_dir}")
        sandbox.up(taskmanagers=TASKMANAGERS, fresh=True)
        yield sandbox
    finally:
        if before is None:
            del os.environ["JAVA_TOOL_OPTIONS"]
        else:
            os.environ["JAVA_TOOL_OPTIONS"] = before
        say(f"stopping the cluster; its logs stay in {run_dir}")
        sandbox.down()


def soak(plan: Plan, settings: JobSettings, sandbox: Sandbox, job_id: str, say: Say) -> Outcome:
    """Traffic against a running job, and a sample every EVERY_S."""
    stop, traffic, topics = threading.Event(), plan.traffic, settings.topics
    health = JobHealth(sandbox.rest, job_id)
    sender = Sender(sandbox.bootstrap_servers, topics, traffic, stop)
    sender.load_items()
    wait_for_snapshot(sandbox.bootstrap_servers, topics.item_snapshots, traffic.items, health)
    listener = Listener(sandbox.bootstrap_servers, topics, stop)
    processes = [*sandbox.running(), "soak"]
    samples: list[tuple[float, dict[str, float]]] = []
    began_s = time.monotonic()
    try:
        listener.start()
        sender.start()
        while (elapsed_s := time.monotonic() - began_s) < 60 * plan.minutes:
            time.sleep(max(0.0, EVERY_S - elapsed_s % EVERY_S))
            elapsed_s = time.monotonic() - began_s
            values = look(sandbox, job_id, topics, sender, listener)
            samples.append((elapsed_s, values))
            say(line_of(elapsed_s, sender.sent, values))
            if health.state() in ENDED:
                raise SoakError(f"the job must go on for {plan.minutes:g} minutes; {health.trouble()}")
            if sender.failure or listener.failure:
                raise SoakError(f"Kafka must take events and give lists: {sender.failure or listener.failure}")
    finally:
        stop.set()
        for thread in (sender, listener):
            if thread.is_alive():
                thread.join(30)
    limits = limits_of_run(settings, traffic, processes, sender, listener, plan.minutes / 60)
    facts = {
        "minutes": plan.minutes,
        "traffic": asdict(traffic),
        "settings": plan.told,
        "sent": sender.sent,
        "lists": listener.lists,
        "rejected": listener.rejected,
        "events_per_s": sender.sent / max(1e-9, elapsed_s),
    }
    return Outcome(rows_of(samples, limits), facts, samples)


def limits_of_run(
    settings: JobSettings, traffic: Traffic, processes: list[str], sender: Sender, listener: Listener, hours: float
) -> dict[str, Limit]:
    """The limits, with the mean length that events and lists had."""
    event_bytes = sender.sent_bytes / max(1, sender.sent) + FRAME_BYTES
    list_bytes = listener.list_bytes / max(1, listener.lists) + FRAME_BYTES
    return limits_of(settings, traffic, processes, event_bytes, list_bytes, hours)


def line_of(elapsed_s: float, sent: int, values: Mapping[str, float]) -> str:
    """One sample for people."""
    memory = ", ".join(f"{name[8:]} {value:,.0f}" for name, value in values.items() if name.startswith("memory: "))
    p99 = values.get("freshness: p99")
    fresh = "no lists" if p99 is None else f"p99 {p99:,.0f} ms"
    return f"{elapsed_s:6.0f} s  {sent:11,} events  {fresh}  MiB: {memory}"
