"""The order of a chaos run: the cluster, then leg after leg, then what came of them.

The cluster is the run's own and is stopped at its end, whatever ends it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np

from flink_jobs.settings import KafkaSettings
from livetower.chaos.errors import ChaosError
from livetower.chaos.faults import carry_out
from livetower.chaos.leg import (
    SECONDS_A_FAULT,
    Leg,
    LegOutcome,
    Say,
    ask_for_a_first_list,
    judge,
    open_job,
    snapshot_root,
    unmount,
)
from livetower.chaos.listener import Listener
from livetower.chaos.pinned import write_pinned_snapshot
from livetower.chaos.plan import Kind, LegPlan, Mode
from livetower.chaos.sender import Sender
from livetower.chaos.stream import MadeUpStream
from livetower.sandbox import Sandbox
from livetower.sandbox.state import read_state
from models.item_table import ItemTable

TASKMANAGERS: Final = 3
"""Two subtasks of learn-and-recommend, and the tower."""
FLINK_OPTIONS: Final = {
    "web.refresh-interval": "200",  # REST answers are kept for so long
    "rest.cache.checkpoint-statistics.timeout": "100 ms",
    "metrics.fetcher.update-interval": "500",
}
JOB_SETTINGS: Final = (
    "job.checkpoint_interval_s=1",
    "tower.snapshot_interval_s=1",
    "tower.deltas_per_full=0",  # every snapshot is a file that can go missing
    "tower.snapshot_keep=40",
    "tower.snapshot_keep_h=0",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for."""

    legs: tuple[LegPlan, ...]
    seed: int
    mode: Mode
    minutes: float
    """No fault begins later."""


def run_chaos(plan: Plan, run_dir: Path, say: Say) -> list[LegOutcome]:
    """Run every leg. Raises ChaosError, SandboxError."""
    require_mode(plan.mode)
    until = time.monotonic() + 60 * plan.minutes
    sandbox = Sandbox(run_dir)

    def restart() -> None:
        ports = read_state(run_dir).ports  # of a cluster of which nothing runs they would be chosen anew
        sandbox.up(TASKMANAGERS, ports=ports, flink_options=FLINK_OPTIONS, high_availability=True)

    for left in run_dir.glob("leg-*/snapshots"):
        if left.is_mount():
            unmount(left)
    outcomes = []
    try:
        say("starting Kafka, ZooKeeper and Flink")
        sandbox.up(TASKMANAGERS, fresh=True, flink_options=FLINK_OPTIONS, high_availability=True)
        for leg in plan.legs:
            if time.monotonic() > until:
                say(f"{plan.minutes:g} minutes are over: leg {leg.number} and those after it are left out")
                break
            outcomes.append(run_leg(leg, plan, sandbox, restart, until, say))
    finally:
        sandbox.down()
    return outcomes


def run_leg(
    leg_plan: LegPlan, plan: Plan, sandbox: Sandbox, restart: Callable[[], None], until: float, say: Say
) -> LegOutcome:
    """One job, its faults, its end."""
    directory = sandbox.run_dir / f"leg-{leg_plan.number}"
    say(f"leg {leg_plan.number}, {leg_plan.level}: {leg_plan.events:,} events, {len(leg_plan.faults)} faults")
    with snapshot_root(directory / "snapshots") as (root, small_disk):
        settings = [*JOB_SETTINGS, f"job.snapshot_root={root}", f"tower.suspend_file={directory}/suspended"]
        table: ItemTable | None = None
        if leg_plan.pinned:
            file = directory / "pinned.safetensors"
            table = write_pinned_snapshot(file, plan.seed)
            settings.append(f"job.pin_snapshot={file}")
        if plan.mode is not Mode.IDEMPOTENT:
            settings.append(f"kafka.delivery={plan.mode}")
        job = open_job(settings, sandbox, directory)
        topics, brokers = job.settings.topics, sandbox.bootstrap_servers
        listener = Listener(brokers, topics.recommendations, committed=plan.mode is Mode.EXACTLY_ONCE)
        seconds = SECONDS_A_FAULT * max(len(leg_plan.faults), 1)
        stream = MadeUpStream(plan.seed + leg_plan.number)
        rng = np.random.default_rng([plan.seed, leg_plan.number])
        try:
            ask_for_a_first_list(job, sandbox, listener)
            with Sender(brokers, topics.interactions, stream, leg_plan.events, leg_plan.events / seconds) as sender:
                leg = Leg(leg_plan, plan.mode, sandbox, directory, job, sender, listener, restart, rng, small_disk)
                hit_it(leg, until, say)
                violations, accepted, users = judge(leg, table)
        finally:
            listener.close()
            if "jobmanager" in sandbox.running():
                job.cancel()
    say(f"leg {leg_plan.number}: {users} users, {accepted:,} records, {len(violations)} broken guarantees")
    return LegOutcome(leg_plan, tuple(leg.hits), violations, accepted, len(listener.lists), users)


def hit_it(leg: Leg, until: float, say: Say) -> None:
    """Every fault of the leg's plan, as long as there is time; a moment of the seed's choice lies between two."""
    for kind in leg.plan.faults:
        if time.monotonic() > until:
            say("  the time is over")
            return
        leg.wait_for_checkpoints(1)
        calm_until = time.monotonic() + float(leg.rng.uniform(0, 2))
        leg.wait("a moment of calm", lambda: time.monotonic() >= calm_until)  # noqa: B023  # called before the next turn
        hit = carry_out(leg, kind)
        leg.hits.append(hit)
        say(f"  {kind}: {hit.recovery_s:.1f} s, {hit.again:,} lists again")


def require_mode(mode: Mode) -> None:
    """Raise ChaosError if the job cannot deliver so."""
    if mode is not Mode.IDEMPOTENT and "delivery" not in {field.name for field in fields(KafkaSettings)}:
        raise ChaosError(f"--mode {mode}: a job with the setting kafka.delivery was needed; the code here has none")


def kinds_left_out(plan: Plan, outcomes: list[LegOutcome]) -> list[Kind]:
    """Kinds that were planned and not carried out even once."""
    done = {hit.kind for outcome in outcomes for hit in outcome.hits}
    return sorted({kind for leg in plan.legs for kind in leg.faults} - done)
