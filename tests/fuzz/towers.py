"""train-item-tower, the real class on a fake Flink, under hostile items and commands between good examples."""

import random
from collections import Counter
from itertools import count
from pathlib import Path

import numpy as np
from fake_flink import FakeFlink
from made_up import ITEMS, MODEL, example
from pyflink.common import Row

from fuzz import corpus
from fuzz.mutations import mutated
from models.records import Reason
from models.settings import TowerSettings
from models.snapshots import decode_announcement, decode_snapshot, table_of
from operators import code_digest, rows
from operators.train_item_tower import TrainItemTower
from operators.wall_clock import wall_clock_ms

SETTINGS = TowerSettings(
    batch=8,
    negatives=5,
    content_columns=16,
    content_text_columns=4,
    content_warm_events=2,
    content_every=32,
    max_items=500,
    replay_window=64,
    snapshot_apart_s=0.0,
    snapshot_interval_s=0.2,
    deltas_per_full=2,
)
TELLING = {rows.ITEM: corpus.CATALOGUE, rows.COMMAND: corpus.COMMANDS}


class Trainer:
    """One subtask; `feed` gives it one input and says what became of it."""

    def __init__(self, root: Path) -> None:
        self.flink = FakeFlink()
        self.operator = TrainItemTower(
            MODEL, SETTINGS, snapshot_root=str(root), code_digest=code_digest.IMPORTED_DIGEST
        )
        self.operator.open(self.flink)
        self.numbers = count()

    def feed(self, rng: random.Random) -> str:
        dice = rng.random()
        if dice < 0.3:
            n = next(self.numbers)
            return self.take(rows.EXAMPLE, None, example(n % 1_000, ITEMS[n % len(ITEMS)], wall_clock_ms()))
        if dice < 0.31:
            self._check(self.flink.fire_timers(self.operator, 2**62, rows.TOWER_KEY))
            return "timer"
        kind = rows.COMMAND if dice < 0.33 else rows.ITEM
        key = None if rng.random() < 0.8 else rng.choice((b"i1", b"", b"\xff", b"x" * 40_000))
        return self.take(kind, key, mutated(rng, TELLING[kind]))

    def take(self, kind: str, key: bytes | None, value: bytes | None) -> str:
        """Feed an input and check that exactly one thing became of it. Raises AssertionError."""
        counted = Counter(self.flink.counters)
        emitted = self._check(self.flink.element(self.operator, (kind, key, value, "items", 1, 7), rows.TOWER_KEY))
        came = {name for name, n in self.flink.counters.items() if n != counted[name]}
        (outcome,) = {"examples", "items", "rejected", "refreshes", "rollbacks", "command_failed"} & came
        if outcome != "rejected":
            assert emitted == []
            return outcome
        (row,) = emitted
        assert tuple(row)[:3] == (rows.REJECTED, key, value)
        reason = row[3]["reason"].decode()
        assert reason in set(Reason) - {Reason.INTERNAL_ERROR}
        return reason

    def _check(self, emitted: list[Row]) -> list[Row]:
        """What is no announcement; those are ones that every reader can read."""
        for row in emitted:
            if row[0] == rows.ANNOUNCEMENT:
                announcement = decode_announcement(row[2])
                if announcement.inline is not None:
                    decode_snapshot(announcement.inline)
                elif announcement.kind == "full":
                    blob = self.operator._files.read(str(announcement.file))
                    table = table_of(decode_snapshot(blob), announcement.sha256, announcement.created_ms)
                    assert np.isfinite(table.log_popularity).all()
        return [row for row in emitted if row[0] != rows.ANNOUNCEMENT]
