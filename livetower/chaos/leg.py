"""One job from its first event to a savepoint of its last, while faults hit it."""

import itertools
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from confluent_kafka import Producer

from livetower.chaos import guarantees
from livetower.chaos.accepted import Accepted, Expected, undisturbed
from livetower.chaos.chaos_job import ChaosJob, is_so
from livetower.chaos.errors import ChaosError
from livetower.chaos.guarantees import Violation
from livetower.chaos.listener import Listener, read_to_end
from livetower.chaos.plan import Kind, LegPlan, Mode
from livetower.chaos.sender import Sender
from livetower.chaos.state_at_end import StateAtEnd, state_at_end
from livetower.chaos.stream import FIRST_USER, ITEM_IDS, interaction
from livetower.sandbox import Sandbox
from models.item_table import ItemTable
from models.records import Item, encode_item
from operators.wall_clock import wall_clock_ms

PATIENCE_S = 180.0
POLL_S = 0.02
SECONDS_A_FAULT = 12
"""About so long a fault takes: by it the pace is chosen, so that events flow until the last."""
TMPFS_MIB = 128
"""Twice what JOB_SETTINGS of run.py let stay; a full snapshot is about 1 MiB."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Hit:
    """One fault that was carried out."""

    kind: Kind
    began_ms: int
    recovery_s: float
    """From the fault until every task ran again and a list came of an event after that."""
    again: int
    """Lists that came a second time."""


@dataclass(frozen=True, slots=True)
class LegOutcome:
    """What came of a leg."""

    plan: LegPlan
    hits: tuple[Hit, ...]
    violations: tuple[Violation, ...]
    accepted: int
    """Records in the topic."""
    lists: int
    users: int


@dataclass(slots=True)
class Leg:
    """What a fault may touch: the sandbox, the job, and what is seen of it."""

    plan: LegPlan
    mode: Mode
    sandbox: Sandbox
    directory: Path
    job: ChaosJob
    sender: Sender
    listener: Listener
    restart: Callable[[], None]
    """Starts what does not run of the sandbox."""
    rng: np.random.Generator
    small_disk: bool
    """Whether the snapshot root is a file system of its own, of TMPFS_MIB."""
    hits: list[Hit] = field(default_factory=list)

    @property
    def switch(self) -> Path:
        """While this file exists the tower's training is suspended."""
        return self.directory / "suspended"

    def wait(self, what: str, condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        """Wait for a condition, during which lists are taken in. Raises ChaosError."""
        end = time.monotonic() + patience_s
        while not is_so(condition):
            self.sender.check()
            self.listener.poll()
            if time.monotonic() > end:
                raise ChaosError(
                    f"leg {self.plan.number}: {what} was needed; it did not come within {patience_s:g} s. The logs are "
                    f"in {self.sandbox.run_dir}/log"
                )
            time.sleep(POLL_S)

    def wait_for_fresh_list(self) -> None:
        """Wait for the list of an event that happens from now on."""
        now_ms = wall_clock_ms()
        self.wait("the list of a new event", lambda: self.listener.newest_ms >= now_ms)

    def wait_for_checkpoints(self, count: int) -> None:
        """Wait until so many checkpoints are retained."""
        self.wait(f"{count} checkpoints", lambda: len(self.job.checkpoints()) >= count)


@contextmanager
def snapshot_root(directory: Path) -> Iterator[tuple[Path, bool]]:
    """A directory for item snapshots: a small file system of its own where the system lets us mount one."""
    directory.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MIB}m", "tmpfs", str(directory)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield directory, mounted
    finally:
        if mounted:
            unmount(directory)


def unmount(directory: Path) -> None:
    """Let go of a small file system, also one that a run which was killed has left."""
    subprocess.run(["umount", "--lazy", str(directory)], capture_output=True, check=False)


def open_job(leg_settings: list[str], sandbox: Sandbox, directory: Path) -> ChaosJob:
    """Submit the leg's job and give it the catalogue."""
    job = ChaosJob(sandbox, directory, leg_settings)
    job.submit()
    producer = Producer({"bootstrap.servers": sandbox.bootstrap_servers})
    for item_id in ITEM_IDS:
        producer.produce(job.settings.topics.items, key=item_id.encode(), value=encode_item(Item(item_id)))
    if producer.flush(30):
        raise ChaosError(f"the catalogue had to reach {job.settings.topics.items}; it did not within 30 s")
    return job


def ask_for_a_first_list(job: ChaosJob, sandbox: Sandbox, listener: Listener) -> None:
    """Request until a list comes: from then on there is an item table. Raises ChaosError."""
    producer = Producer({"bootstrap.servers": sandbox.bootstrap_servers})
    end = time.monotonic() + PATIENCE_S
    for n in itertools.count():
        asked = interaction(f"first{n}", FIRST_USER, wall_clock_ms(), event_type="request")
        producer.produce(job.settings.topics.interactions, key=asked.key, value=asked.value)
        producer.flush(30)
        listener.poll()
        if listener.lists:
            return
        if time.monotonic() > end:
            raise ChaosError(f"a first list was needed; none came within {PATIENCE_S:g} s: {sandbox.run_dir}/log")
        time.sleep(0.1)


# ---- the end -------------------------------------------------------------------------------------


def judge(leg: Leg, table: ItemTable | None) -> tuple[tuple[Violation, ...], int, int]:
    """Stop the job once it has caught up, and compare everything with an undisturbed run.

    Returns the violations, how many records were accepted, and how many users there are.
    """
    leg.wait("the rest of the leg's events", leg.sender.all_sent)
    leg.sender.finish()
    topics = leg.job.settings.topics
    log, ends = read_log(leg.sandbox.bootstrap_servers, topics.interactions)
    expected = undisturbed(log, table, leg.job.settings.model)
    wait_for_lists(leg, expected)
    savepoint = leg.job.stop()
    leg.listener.poll()
    found = state_at_end(savepoint)
    rejected = rejected_places(leg.sandbox.bootstrap_servers, topics.rejected, leg.mode)
    return tuple(all_violations(leg, expected, found, ends, rejected)), len(log), len(expected.states)


def wait_for_lists(leg: Leg, expected: Expected) -> None:
    """Wait until every list has come, or none comes any more: what is missing then is lost."""
    needed = {rec_id for rec_id, each in expected.lists.items() if each.user_id != FIRST_USER}
    there: set[str] = set()
    taken, newest = 0, time.monotonic()

    def all_there() -> bool:
        nonlocal taken, newest
        more = leg.listener.lists[taken:]
        if more:
            newest = time.monotonic()
        taken += len(more)
        there.update(each.rec_id for each in more)
        return needed <= there or time.monotonic() - newest > PATIENCE_S / 6

    leg.wait("an end of the lists", all_there, 10 * PATIENCE_S)


def all_violations(
    leg: Leg,
    expected: Expected,
    found: StateAtEnd,
    ends: dict[tuple[str, int], int],
    rejected: list[tuple[int, int]],
) -> Iterator[Violation]:
    """Every broken guarantee of the leg."""
    once, pinned = leg.mode is Mode.EXACTLY_ONCE, leg.plan.pinned
    yield from guarantees.in_lists(expected.lists, leg.listener.lists, once=once, pinned=pinned)
    yield from guarantees.in_states(expected.states, found.users, pinned=pinned)
    yield from guarantees.in_examples(expected.examples, found.examples)
    yield from guarantees.in_offsets(ends, found.offsets)
    yield from guarantees.in_rejected(expected.rejected, rejected, once=once)


def read_log(bootstrap_servers: str, topic: str) -> tuple[list[Accepted], dict[tuple[str, int], int]]:
    """All of a topic that nobody writes to any more, and where each partition ends. Raises ChaosError."""
    log = []
    for message in read_to_end(bootstrap_servers, topic, committed=False):
        _, kafka_ms = message.timestamp()
        log.append(Accepted(message.value(), kafka_ms, message.partition(), message.offset()))
    ends: dict[tuple[str, int], int] = {}
    for accepted in log:
        ends[topic, accepted.partition] = accepted.offset + 1
    return log, ends


def rejected_places(bootstrap_servers: str, topic: str, mode: Mode) -> list[tuple[int, int]]:
    """Partition and offset, in their own topic, of every record that was rejected. Raises ChaosError."""
    messages = read_to_end(bootstrap_servers, topic, committed=mode is Mode.EXACTLY_ONCE)
    headers = [dict(message.headers()) for message in messages]
    return [(int(each["partition"]), int(each["offset"])) for each in headers]
