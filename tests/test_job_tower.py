"""The item tower of a running job, killed while it learns, publishes what an undisturbed one publishes, bit for bit."""

from pathlib import Path

import pytest
from crowd import ITEM_IDS, SMALL, pinned_snapshot
from made_up import NOW_MS, interaction, item
from proofs import Proof, prove
from running_job import RunningJob, wait_for

pytestmark = pytest.mark.flink

USERS, BATCH, EVERY = 40, 8, 120
NEVER_S = 1e6
SETTINGS = [
    *SMALL,
    "topics.partitions=1",  # one order of events
    "job.checkpoint_interval_s=1",
    f"tower.batch={BATCH}",
    "tower.replay_window=400",
    "tower.content_every=200",
    "tower.content_warm_events=3",
    "tower.negatives=10",
    f"tower.behind_s={NEVER_S}",
    f"tower.batch_wait_s={NEVER_S}",  # no border of a timer: examples fill whole batches
    f"tower.snapshot_examples={EVERY}",
    "tower.snapshot_apart_s=0",
    f"tower.snapshot_interval_s={NEVER_S}",
    "tower.popularity_interval_s=0.1",  # inline: the test looks there what the tower has taken in
    "tower.snapshot_keep=1000",
    "tower.deltas_per_full=0",  # a restored tower begins a new chain of deltas …
    "tower.gate_margin=0",  # … and its gate anew
]


class Story:
    """The same events and items, with the same timestamps, told to any job; `kills` says whether it is disturbed."""

    def __init__(self, job: RunningJob, root: Path, kills: bool) -> None:
        self.job, self.root, self.kills = job, root, kills
        self.told = self.listed = 0

    def items(self, *item_ids: str, **fields: object) -> None:
        """Send items, the last of them new, and wait until the tower knows it."""
        new = f"new{self.listed}"
        for n, item_id in enumerate(item_ids):
            self.job.send("items", item_id.encode(), item(item_id, tags=[f"t{n % 5}"], **fields), NOW_MS)
        self.job.send("items", new.encode(), item(new), NOW_MS)
        self.job.flush()
        self.listed += 1
        self.job.topic("item_snapshots").wait_until(
            f"a snapshot that holds {new}",
            lambda _: any(a.items == len(ITEM_IDS) + self.listed for a in self.job.announcements()),
        )

    def events(self, count: int, victim: str = "") -> None:
        """Send events, kill the operator's TaskManager in their middle, and wait until the tower has learned all."""
        if self.kills and victim:
            self.job.wait_for_checkpoint()
        answered = len({r["rec_id"] for r in self.job.lists()})
        for n in range(self.told, self.told + count):
            value = interaction(f"e{n}", f"u{n % USERS}", ITEM_IDS[n * n % 150], event_time_ms=NOW_MS + 1_000 * n)
            self.job.send("interactions", f"u{n % USERS}".encode(), value, NOW_MS + 1_000 * n)
        self.job.flush()
        self.told += count
        if self.kills and victim:
            middle = answered + count // 3
            wait_for("a third of the lists", lambda: len({r["rec_id"] for r in self.job.lists()}) >= middle)
            self.job.lose_taskmanager(self.job.taskmanagers(victim)[0])
        self.job.topic("item_snapshots").wait_until(
            f"a snapshot of {self.told} examples",
            lambda _: any(a.trained_events == self.told for a in self.job.announcements()),
            patience_s=120,
        )

    def tell(self) -> set[str]:
        """All of it; returns the names of the published files, which end in their digests."""
        self.items(*ITEM_IDS, title="first")
        self.events(50 * BATCH)
        self.items(*ITEM_IDS[:20], title="changed", numbers={"year": 1999})
        self.events(250 * BATCH, victim="train-item-tower")
        self.items(*ITEM_IDS[10:40], title="changed again", available=False)
        self.events(250 * BATCH, victim="learn-and-recommend")
        return {path.name for path in self.root.iterdir() if path.suffix == ".safetensors"}


def published(sandbox, root: Path, kills: bool) -> set[str]:
    root.mkdir()
    pinned = root / "pinned"
    pinned.write_bytes(pinned_snapshot())
    with RunningJob(sandbox, root / "snapshots", *SETTINGS, f"job.pin_snapshot={pinned}") as job:
        return Story(job, root / "snapshots", kills).tell()


def test_a_killed_tower_publishes_the_files_of_an_undisturbed_one(sandbox, tmp_path):
    undisturbed = published(sandbox, tmp_path / "undisturbed", kills=False)
    killed = published(sandbox, tmp_path / "killed", kills=True)
    assert len(undisturbed) >= 550 * BATCH // EVERY
    more = killed - undisturbed  # what a restored tower publishes at once, wherever it stands
    prove(
        Proof(
            "kill -9 of the tower and of its examples' source, pinned: its files",
            runs=2,
            wrong=len(undisturbed - killed) + max(len(more) - 2, 0),
            note=f"{len(undisturbed)} files with equal digests, {len(more)} more at the restores",
        )
    )
