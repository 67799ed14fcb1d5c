"""Nothing that an operator keeps in Python grows with the events that pass: users, items and events come and go.

LIVETOWER_LEAK_EVENTS=200000 makes the stream as long as one likes; RESIDENT_BYTES is then the same.
"""

import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import psutil
import pytest
from fake_flink import FakeFlink
from made_up import ITEMS, MODEL, example, interaction, item, snapshot
from test_learn_and_recommend import Subtask as Learning
from test_publisher import Published
from test_train_item_tower import SETTINGS
from test_train_item_tower import clock as clock  # a fixture

from models.hashing import hash_id
from models.item_tower import ItemTower
from models.records import Item
from models.tower_state import WRITE_INPUTS
from operators import rows
from operators.code_digest import IMPORTED_DIGEST
from operators.snapshot_files import SnapshotFiles
from operators.train_item_tower import TrainItemTower

EVENTS = int(os.environ.get("LIVETOWER_LEAK_EVENTS", "4000"))
RESIDENT_BYTES = 12 * 2**20
"""What a process may grow by over the second half of the stream: the allocator's own arenas."""
USERS = 50
MAX_ITEMS = 100
ROOM = 64
"""A container may be larger at the end than in the middle by so much: a ring or a batch that is just fuller."""


def containers(of: Any, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, int]]:
    """Path and length of every list, dict, set and queue that is reached through the attributes of our own objects."""
    seen = set() if seen is None else seen
    if id(of) in seen or isinstance(of, type | FakeFlink):
        return
    seen.add(id(of))
    if isinstance(of, list | dict | set | deque):
        yield path, len(of)
    if isinstance(of, dict):
        for value in list(of.values())[:5]:
            yield from containers(value, f"{path}[]", seen)
        return
    if type(of).__module__.split(".")[0] in ("models", "operators"):
        names = [*getattr(of, "__dict__", ()), *getattr(type(of), "__slots__", ())]
        for name in names:
            if hasattr(of, name):
                yield from containers(getattr(of, name), f"{path}.{name}", seen)


def grown(before: dict[str, int], after: dict[str, int]) -> dict[str, tuple[int, int]]:
    return {
        path: (before.get(path, 0), length) for path, length in after.items() if length > before.get(path, 0) + ROOM
    }


def resident() -> int:
    return psutil.Process().memory_info().rss


def test_a_list_that_grows_with_every_event_would_be_found():
    class Leaks:
        pass

    Leaks.__module__ = "operators.leaks"
    leaks = Leaks()
    leaks.inner, leaks.seen = Leaks(), {}
    leaks.inner.waits = [1] * 10
    before = dict(containers(leaks))
    assert before == {".inner.waits": 10, ".seen": 0}
    leaks.inner.waits += [1] * 100
    assert grown(before, dict(containers(leaks))) == {".inner.waits": (10, 110)}


def test_learn_and_recommend_keeps_nothing_of_the_users_and_events_that_pass(tmp_path):
    learning = Learning(tmp_path)
    learning.publish(snapshot(trained_events=1), 1)
    half = EVENTS // 2

    def pass_events(first: int, end: int) -> None:
        for n in range(first, end):
            user = f"u{n // 20 + n % 7}"  # users come and go
            value = b"{" if n % 50 == 0 else interaction(f"e{n}", user, ITEMS[n % len(ITEMS)])
            learning.event(value, user.encode())
            if n % 500 == 0:
                learning.publish(snapshot(trained_events=2 + n, seed=n), 2 + n)
            if n % 100 == 0:
                learning.flink.keyed["user"] = dict(list(learning.flink.keyed.get("user", {}).items())[-USERS:])

    pass_events(0, half)
    before, resident_before = dict(containers(learning.operator)), resident()
    pass_events(half, EVENTS)
    assert grown(before, dict(containers(learning.operator))) == {}
    assert resident() - resident_before < RESIDENT_BYTES
    assert set(learning.flink.broadcast["item-snapshots"]) <= {"full", "popularity"}
    assert learning.flink.counters["accepted"] > 0.9 * EVENTS


def test_the_tower_its_publisher_and_its_state_stay_within_max_items_while_items_come_and_go(tmp_path, clock):
    settings = replace(
        SETTINGS, max_items=MAX_ITEMS, replay_window=500, snapshot_keep=3, snapshot_keep_h=0.0,
        admission_waiting_max=100, snapshot_examples=200, deltas_per_full=2,
    )  # fmt: skip
    flink = FakeFlink()
    operator = TrainItemTower(MODEL, settings, snapshot_root=str(tmp_path), code_digest=IMPORTED_DIGEST)
    operator.open(flink)
    half = EVENTS // 4

    def pass_inputs(first: int, end: int) -> None:
        for n in range(first, end):
            clock.ms += 10
            if n % 4 == 0:  # the catalogue's items come, and leave by a tombstone
                name = f"item{n // 4}"
                flink.element(operator, (rows.ITEM, name.encode(), item(name), "items", 0, n), rows.TOWER_KEY)
                gone = f"item{n // 4 - 100}"
                flink.element(operator, (rows.ITEM, gone.encode(), None, "items", 0, n), rows.TOWER_KEY)
            named = f"item{max(0, n // 4 - n % 30)}" if n % 3 else f"unlisted{n}"
            value = (rows.EXAMPLE, None, example(n, named, clock.ms), None, None, None)
            flink.element(operator, value, rows.TOWER_KEY)
            flink.timers = [timer for timer in flink.timers if timer > clock.ms]

    pass_inputs(0, half)
    before, resident_before = dict(containers(operator)), resident()
    pass_inputs(half, 2 * half)
    more = grown(before, dict(containers(operator)))
    more.pop("._stream.tower.changed_entries", None)  # written and cleared every WRITE_INPUTS, beyond this stream
    assert more == {}
    assert resident() - resident_before < RESIDENT_BYTES
    stream = operator._stream
    assert len(stream.tower.changed_entries) < 2 * WRITE_INPUTS
    assert stream.tower.n_items <= MAX_ITEMS
    assert len(stream.tower.catalogue) <= 2 * MAX_ITEMS
    assert len(stream.tower.waiting) <= settings.admission_waiting_max
    kinds = {"full": 0, "delta": 0, "popularity": 0}
    for path in tmp_path.iterdir():
        kinds[path.name.split("-")[0]] += 1
    assert all(number <= settings.snapshot_keep + 20 for number in kinds.values()), kinds


# ---- what was mended -----------------------------------------------------------------------------


@pytest.fixture
def tower():
    return ItemTower(8, replace(SETTINGS, max_items=100))


def test_tombstones_without_a_row_are_forgotten_beyond_max_items(tower):
    for n in range(350):
        tower.list_item(Item(f"gone{n}", available=True))
        tower.list_item(Item(f"gone{n}", available=False))
        assert len(tower.catalogue) - tower.n_items <= 100
    assert hash_id("gone349") in tower.catalogue
    assert set(tower.rows.hashes[: tower.n_items].tolist()) <= tower.catalogue.keys()


def test_what_the_catalogue_forgets_leaves_its_state_too(tower):
    for n in range(201):
        tower.list_item(Item(f"never-there{n}", title="t", available=False))
    forgotten = tower.changed_entries - tower.catalogue.keys()
    assert len(forgotten) == 201 - len(tower.catalogue) > 0
    kept = np.array(sorted(tower.catalogue))
    lowest = sorted(hash_id(f"never-there{n}") for n in range(201))[: len(forgotten)]
    assert np.isin(list(forgotten), kept).sum() == 0
    assert len(forgotten & set(lowest)) > len(forgotten) / 2  # the lowest of the moment went each time


def test_the_files_that_killed_writers_left_behind_go_when_they_are_old(tmp_path):
    files = SnapshotFiles(str(tmp_path))
    kept = files.write("full", 0, 1, "a" * 64, b"rows")
    for name, age_s in ((".full-0-1-aa.safetensors.7.partial", 7_200), (".full-0-2-bb.safetensors.8.partial", 60)):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    os.utime(tmp_path / kept, (0, 0))
    assert files.prune_unfinished(1.0) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [".full-0-2-bb.safetensors.8.partial", kept]


def test_the_publisher_remembers_no_more_copies_than_there_are_files(tmp_path):
    published = Published(tmp_path)
    published.items(*ITEMS)
    published.due(0)
    for n in range(40):  # each second a rollback
        published.examples(10)
        published.publisher.rolled_back_to = published.publisher.full_name
        published.stream.epoch += 1
        published.due(1 + n)
    there = len(list(tmp_path.glob("full-*")))
    assert 1 <= len(published.publisher._copy_of) <= there
