"""What is done to a running job, and how one sees that it is over.

A fault's `inject` breaks something, and does what a person or a supervisor would do about it: start the process again,
free the disk, resume. `recovered` says when the job is back. Each object serves once.
"""

import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from livetower.chaos.chaos_job import LEARN, TOWER, checkpoint_number, path_of
from livetower.chaos.errors import ChaosError
from livetower.chaos.leg import TMPFS_MIB, Hit, Leg
from livetower.chaos.plan import Kind
from livetower.operations import steps
from operators.wall_clock import wall_clock_ms

PAUSE_S: Final = 4.0
"""Below the 10 s after which Flink takes a process that does not answer for dead."""
TRIES: Final = 20
CALM_S: Final = 0.3
"""So long after a checkpoint its transactions are committed."""
PATIENCE_S: Final = 10.0


class Fault(Protocol):
    """One kind of fault."""

    def inject(self, leg: Leg) -> None:
        """Do it, and what is done about it."""

    def recovered(self, leg: Leg) -> bool:
        """Whether the job is back."""


def carry_out(leg: Leg, kind: Kind) -> Hit:
    """Hit the job with a fault of this kind, and wait until it is back and a list comes of a new event."""
    fault, began, began_ms = FAULTS[kind](), time.monotonic(), wall_clock_ms()
    listed = len(leg.listener.lists)
    fault.inject(leg)
    leg.wait(f"recovery from {kind!r}", lambda: fault.recovered(leg))
    leg.wait_for_fresh_list()
    new = [each.rec_id for each in leg.listener.lists[listed:]]
    before = {each.rec_id for each in leg.listener.lists[:listed]}
    again = len(new) - len(set(new) - before)
    return Hit(kind, began_ms, time.monotonic() - began, again)


class Restarts:
    """A fault after which Flink restores the job by itself."""

    _restored = 0

    def note(self, leg: Leg) -> None:
        """Remember how often the job was restored before."""
        self._restored = leg.job.restored()

    def recovered(self, leg: Leg) -> bool:
        return leg.job.restored() > self._restored and leg.job.all_run()


class KillTaskManager(Restarts):
    """One of those that run the job, whichever."""

    def inject(self, leg: Leg) -> None:
        self.note(leg)
        victims = sorted({*leg.job.taskmanagers(LEARN), *leg.job.taskmanagers(TOWER)})
        leg.sandbox.kill(victims[int(leg.rng.integers(len(victims)))])
        leg.sandbox.start_taskmanager()


class KillJobManager(Restarts):
    """Its successor finds the job in ZooKeeper, and has restored none before."""

    def inject(self, leg: Leg) -> None:
        leg.sandbox.kill("jobmanager")
        leg.restart()


class Runs:
    """A fault after which the job runs, restored or not."""

    def recovered(self, leg: Leg) -> bool:
        return leg.job.all_run()


class KillBroker(Runs):
    """Its successor opens the same logs."""

    def inject(self, leg: Leg) -> None:
        leg.sandbox.kill("kafka")
        leg.restart()


class StopAndRestore(Runs):
    """As an operator does who changes a setting."""

    def inject(self, leg: Leg) -> None:
        leg.job.submit(leg.job.stop())


class Rescale(Runs):
    """To 2 subtasks of learn-and-recommend if there is one, else back to one."""

    def inject(self, leg: Leg) -> None:
        savepoint = leg.job.stop()
        leg.job.parallelism = 3 - leg.job.parallelism
        leg.job.submit(savepoint)

    def recovered(self, leg: Leg) -> bool:
        return leg.job.all_run() and len(set(leg.job.taskmanagers(LEARN))) == leg.job.parallelism


class Upgrade(Runs):
    """Go on from a savepoint with a main that has one output more, before the others."""

    _copies = ""

    def inject(self, leg: Leg) -> None:
        self._copies = f"{leg.job.settings.topics.recommendations}-copies"
        admin = AdminClient({"bootstrap.servers": leg.sandbox.bootstrap_servers})
        admin.create_topics([NewTopic(self._copies, 1, 1)])[self._copies].result(30)
        savepoint = leg.job.stop()
        leg.job.main = Path(__file__).with_name("extra_output_job.py")
        leg.job.submit(savepoint)

    def recovered(self, leg: Leg) -> bool:
        """Once the new output has something."""
        return leg.job.all_run() and end_offset(leg, self._copies, IsolationLevel.READ_UNCOMMITTED) > 0


class LoseClusterAndCheckpoint(Runs):
    """Every process is killed, ZooKeeper's memory is gone, and the newest checkpoint is cut: `resume` steps back."""

    def inject(self, leg: Leg) -> None:
        leg.wait_for_checkpoints(2)
        for name in leg.sandbox.running():
            leg.sandbox.kill(name)
        newest = leg.job.checkpoints()[-1]
        metadata = newest / "_metadata"
        metadata.write_bytes(metadata.read_bytes()[: metadata.stat().st_size // 2])
        for name in ("zookeeper", "high-availability"):
            shutil.rmtree(leg.sandbox.run_dir / name)
        leg.restart()
        state, _, stepped_over = steps.find([leg.job.checkpoint_root.as_uri()])
        if newest.name not in {path_of(uri).name for uri, _ in stepped_over}:
            raise ChaosError(f"{newest} is broken and had to be stepped over; {state} was chosen")
        leg.job.submit(state)


class FillSnapshotRoot:
    """No byte is left where snapshots are written, until the tower has counted a write that failed; where no small disk
    can be mounted, the directory is gone.
    """

    _files: frozenset[str] = frozenset()

    def inject(self, leg: Leg) -> None:
        root = Path(leg.job.settings.job.snapshot_root)
        failed = leg.job.counter(TOWER, "snapshot_write_failed")
        free = fill_disk(root) if leg.small_disk else take_away(root)
        leg.wait(
            "a snapshot that could not be written", lambda: leg.job.counter(TOWER, "snapshot_write_failed") > failed
        )
        free()
        self._files = frozenset(path.name for path in leg.job.snapshot_files())

    def recovered(self, leg: Leg) -> bool:
        """Once a new snapshot is written."""
        return any(path.name not in self._files for path in leg.job.snapshot_files())


def fill_disk(root: Path) -> Callable[[], None]:
    """Leave no byte of a small disk; returns how to free it."""
    filler = root / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while filler.stat().st_size < 2 * TMPFS_MIB * 2**20:
                file.write(bytes(4096))
        except OSError:  # it is full
            return filler.unlink
    filler.unlink()
    raise ChaosError(f"{root}: a disk of {TMPFS_MIB} MiB was needed; it took twice as much")


def take_away(root: Path) -> Callable[[], None]:
    """Put a file where the directory was; returns how to put it back."""
    aside = root.with_name(f"{root.name}-aside")
    root.rename(aside)
    root.touch()

    def give_back() -> None:
        root.unlink()
        aside.rename(root)

    return give_back


class DeleteSnapshot(Restarts):
    """What learn-and-recommend needs after its restart is gone: an older file stands in until the tower publishes."""

    def inject(self, leg: Leg) -> None:
        self.note(leg)
        files = leg.job.snapshot_files()
        if len(files) < 2:
            raise ChaosError(f"two full snapshots in files were needed; got {len(files)}")
        files[-1].unlink()
        leg.sandbox.kill(leg.job.taskmanagers(LEARN)[0])
        leg.sandbox.start_taskmanager()


class SuspendTraining(Runs):
    """The tower takes examples in and trains none, until it has counted a batch that it did not train."""

    def inject(self, leg: Leg) -> None:
        untrained = leg.job.counter(TOWER, "untrained_batches")
        leg.switch.touch()
        try:
            leg.wait("an untrained batch", lambda: leg.job.counter(TOWER, "untrained_batches") > untrained)
        finally:
            leg.switch.unlink()


class FreezeTower(Runs):
    """Its process stands still; its input fills, and lists wait."""

    def inject(self, leg: Leg) -> None:
        (tower,) = leg.job.taskmanagers(TOWER)
        leg.sandbox.kill(tower, signal.SIGSTOP)
        until = time.monotonic() + PAUSE_S
        try:
            leg.wait(f"{PAUSE_S:g} s", lambda: time.monotonic() >= until)
        finally:
            leg.sandbox.kill(tower, signal.SIGCONT)


class KillBeforeCommit(Restarts):
    """The sink's process is killed when a checkpoint is complete and its transactions are not committed.

    That lasts for milliseconds, so it is tried until it was hit: Flink goes on from that very checkpoint, and the
    broker's last stable offset still stands where it stood before.
    """

    def inject(self, leg: Leg) -> None:
        for _ in range(TRIES):
            if self._kill(leg):
                return
            leg.wait_for_fresh_list()
        raise ChaosError(f"an open transaction had to be hit within {TRIES} kills; none was")

    def _kill(self, leg: Leg) -> bool:
        """One attempt: whether an open transaction was hit."""
        self.note(leg)
        topic = leg.job.settings.topics.recommendations
        victim = leg.job.taskmanagers(LEARN)[0]
        leg.wait("a checkpoint that is committed", lambda: CALM_S < age_s(leg.job.checkpoints()[-1]) < 2 * CALM_S)
        newest = leg.job.checkpoints()[-1]
        number = checkpoint_number(newest) + 1
        stable = end_offset(leg, topic, IsolationLevel.READ_COMMITTED)
        complete = newest.with_name(f"chk-{number}") / "_metadata"
        deadline = time.monotonic() + PATIENCE_S
        while not complete.exists():
            if time.monotonic() > deadline:
                return False  # that number was not completed
        leg.sandbox.kill(victim)
        uncommitted = end_offset(leg, topic, IsolationLevel.READ_COMMITTED) == stable
        leg.sandbox.start_taskmanager()
        leg.wait("a restart", lambda: self.recovered(leg))
        return uncommitted and leg.job.restored_checkpoint() == number


def age_s(checkpoint: Path) -> float:
    """Seconds since a checkpoint was completed."""
    return (wall_clock_ms() - (checkpoint / "_metadata").stat().st_mtime_ns / 1e6) / 1e3


def end_offset(leg: Leg, topic: str, isolation: IsolationLevel) -> int:
    """Where a topic ends, summed over its partitions: for who reads all, or committed records only."""
    admin = AdminClient({"bootstrap.servers": leg.sandbox.bootstrap_servers, "log_level": 0})
    partitions = admin.list_topics(topic, timeout=10).topics[topic].partitions
    asked = {TopicPartition(topic, number): OffsetSpec.latest() for number in partitions}
    found = admin.list_offsets(asked, isolation_level=isolation, request_timeout=10)
    return sum(each.result().offset for each in found.values())


FAULTS: Final[Mapping[Kind, Callable[[], Fault]]] = MappingProxyType(
    {
        Kind.TASKMANAGER: KillTaskManager,
        Kind.JOBMANAGER: KillJobManager,
        Kind.BROKER: KillBroker,
        Kind.SAVEPOINT: StopAndRestore,
        Kind.RESCALE: Rescale,
        Kind.UPGRADE: Upgrade,
        Kind.CHECKPOINT: LoseClusterAndCheckpoint,
        Kind.DISK: FillSnapshotRoot,
        Kind.SNAPSHOT: DeleteSnapshot,
        Kind.SUSPENDED: SuspendTraining,
        Kind.FROZEN: FreezeTower,
        Kind.COMMIT: KillBeforeCommit,
    }
)
