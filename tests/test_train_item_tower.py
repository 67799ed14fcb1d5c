"""train-item-tower: the real class on a fake Flink with a clock of our own. How the tower learns is models/'s test."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
from fake_flink import FakeFlink
from made_up import ITEMS, MODEL, NOW_MS, announced, bad_items, example, item
from pyflink.common import Row

from models.commands import Command, CommandKind, encode_command
from models.erasure import encode_erasure
from models.examples import user_of_example
from models.settings import TowerSettings
from models.snapshots import FULL, POPULARITY, Announcement, decode_announcement, decode_snapshot
from models.tower_artefact import InvalidArtefact, encode_tower
from models.tower_state import LOG_INPUTS, WRITE_INPUTS, encode_progress
from models.tower_stream import InputKind, Shed, TowerInput, TowerStream, decode_input
from operators import code_digest, publisher, rows, train_item_tower
from operators.snapshot_files import SnapshotFiles
from operators.table_loader import TableLoader, chain_of_deltas, remember
from operators.train_item_tower import TrainItemTower

SETTINGS = TowerSettings(batch=4, negatives=5, content_columns=16, popularity_examples=4, deltas_per_full=0)


class Clock:
    ms = NOW_MS

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(train_item_tower, "give_way", lambda: None)  # it would slow down the tests after this one
    clock = Clock()
    for module in (train_item_tower, publisher):
        monkeypatch.setattr(module, "wall_clock_ms", clock)
    return clock


class Broadcast(dict):
    """Broadcast state with what a loader wants of it."""

    put, remove = dict.__setitem__, dict.__delitem__

    @property
    def full(self) -> Announcement | None:
        return decode_announcement(self["full"]) if "full" in self else None

    @property
    def popularity(self) -> Announcement | None:
        return decode_announcement(self["popularity"]) if "popularity" in self else None


class Subtask:
    """The operator, opened on a fake Flink; `announced` gathers what it announces."""

    def __init__(
        self, root, clock: Clock, settings=SETTINGS, state: dict | None = None, start_tower="", job_settings=""
    ) -> None:
        self.root, self.clock = root, clock
        self.flink = FakeFlink(copy.deepcopy(state))
        self.operator = TrainItemTower(
            MODEL,
            settings,
            snapshot_root=str(root),
            code_digest=code_digest.IMPORTED_DIGEST,
            start_tower=str(start_tower),
            job_settings=job_settings,
        )
        self.operator.open(self.flink)
        self.announced: list[Announcement] = []

    def feed(self, kind: str, key: bytes | None, value: bytes | None) -> list[Row]:
        row = (kind, key, value, "items", 1, 7)
        return self._take(self.flink.element(self.operator, row, rows.TOWER_KEY))

    def items(self, *item_ids: str) -> None:
        for item_id in item_ids:
            assert self.feed(rows.ITEM, item_id.encode(), item(item_id, tags=["a", item_id[-1]])) == []

    def examples(self, *numbers: int, age_ms: int = 0) -> None:
        for n in numbers:
            payload = example(n, ITEMS[n * n % len(ITEMS)], self.clock.ms - age_ms)
            assert self.feed(rows.EXAMPLE, None, payload) == []

    def wait(self, seconds: float) -> None:
        """Let the clock go on in steps of 50 ms, with the timers that become due."""
        end = self.clock.ms + round(1_000 * seconds)
        while self.clock.ms < end:
            self.clock.ms += 50
            assert self._take(self.flink.fire_timers(self.operator, self.clock.ms, rows.TOWER_KEY)) == []

    def _take(self, emitted: list[Row]) -> list[Row]:
        """What is left of the emissions when the announcements are taken out."""
        for row in emitted:
            if row[0] == rows.ANNOUNCEMENT:
                announcement = decode_announcement(row[2])
                assert row[1] == announced(announcement)[0]
                self.announced.append(announcement)
        return [row for row in emitted if row[0] != rows.ANNOUNCEMENT]

    def state(self, name: str):
        return self.flink.keyed.get(name, {}).get(rows.TOWER_KEY, {})

    def logged(self) -> list[tuple]:
        """Numbers and inputs in the log, in order."""
        return sorted(decode_input(entry) for entry in self.state("log").values())

    def written(self) -> int:
        """Number of the input at which blocks, catalogue and progress were written last; 0 if never."""
        return self.facts().get("number", 0)

    def facts(self) -> dict:
        """What progress in state says beside its tensors; nothing if it was never written."""
        blob = self.state("progress")
        if not blob:
            return {}
        header = json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])
        return json.loads(header["__metadata__"]["facts"])

    @property
    def counters(self) -> dict[str, int]:
        return {name: n for name, n in self.flink.counters.items() if n}

    def table(self):
        """What a reader of all announcements holds."""
        loader, known = TableLoader(SnapshotFiles(str(self.root)), MODEL.dimension), Broadcast()
        for announcement in self.announced:
            remember(known, announcement, announced(announcement)[1])
            loader.load(known.full, known.popularity, list(chain_of_deltas(known)))
        assert loader.fallbacks == 0
        return loader.table


@pytest.fixture
def tower(tmp_path, clock):
    return Subtask(tmp_path, clock)


# ---- publishing ----------------------------------------------------------------------------------


def test_the_first_snapshots_hold_the_whole_catalogue_within_two_seconds(tower):
    tower.items(*ITEMS)
    tower.wait(2)
    assert tower.announced[0].kind == FULL
    assert sorted(tower.table().ids) == sorted(ITEMS)


def test_examples_close_batches(tower):
    tower.items(*ITEMS)
    tower.examples(*range(7))
    assert tower.announced[-1].trained_events == 4
    tower.examples(7)
    assert tower.announced[-1].trained_events == 8
    assert tower.counters["examples"] == 8


def test_a_timer_closes_an_unfinished_batch_and_logs_its_border(tower):
    tower.items(*ITEMS)
    tower.examples(0, 1)
    tower.wait(0.9)
    assert tower.logged()[-1][1].kind is InputKind.EXAMPLE
    tower.wait(1.2)
    assert tower.logged()[-1][1].kind is InputKind.BORDER
    assert tower.announced[-1].trained_events == 2


def test_nothing_more_is_announced_when_nothing_comes_in(tower):
    tower.items(*ITEMS)
    tower.examples(*range(6))
    tower.wait(8)
    announced = len(tower.announced)
    assert tower.announced[-1].kind == FULL
    tower.wait(8)
    assert len(tower.announced) == announced
    assert len(tower.flink.timers) == 1  # the one that wakes a restored tower


def test_a_restored_tower_publishes_at_once_though_nothing_comes_in(tower, tmp_path, clock):
    tower.items(*ITEMS)
    tower.examples(*range(8))
    tower.wait(8)
    assert not tower.operator._publisher.owes(tower.operator._stream)
    newest = tower.announced[-1]
    (tmp_path / newest.file).unlink()
    restored = Subtask(tmp_path, clock, state=tower.flink.keyed)
    restored.flink.timers = tower.flink.timers  # Flink keeps them in the checkpoint
    restored.wait(1)
    assert [(a.kind, a.sha256) for a in restored.announced] == [(FULL, newest.sha256)]
    assert (tmp_path / newest.file).exists()


def test_a_restored_tower_does_not_close_an_unfinished_batch_early(tower, tmp_path, clock):
    tower.items(*ITEMS)
    tower.examples(*range(6))
    restored = Subtask(tmp_path / "b", clock, state=tower.flink.keyed)
    restored.flink.timers = [clock.ms]
    restored.wait(0.9)
    assert restored.operator._stream.unfinished == 2
    restored.wait(0.4)
    assert restored.operator._stream.unfinished == 0


def test_suspended_training_still_logs_and_counts_and_a_restore_leaves_it_out_too(tmp_path, clock):
    switch = tmp_path / "suspended"
    settings = replace(SETTINGS, suspend_file=str(switch))
    tower = Subtask(tmp_path / "a", clock, settings)
    tower.items(*ITEMS)
    tower.examples(*range(8))
    switch.touch()
    tower.examples(*range(8, 17))
    tower.wait(2)  # closes the batch of the last one
    before = tower.operator._stream.tower.rows.encode_block(0)
    assert tower.counters["untrained_batches"] == 3
    assert (tower.operator._stream.trained, tower.counters["examples"]) == (8, 17)
    switch.unlink()
    restored = Subtask(tmp_path / "b", clock, settings, state=tower.flink.keyed)
    restored.examples(17)
    assert restored.operator._stream.untrained_batches == 3
    assert restored.operator._stream.tower.rows.encode_block(0) == before
    restored.examples(18, 19, 20)
    assert restored.operator._stream.trained == 12


@pytest.mark.parametrize("file", ["", "/nowhere"])
def test_training_goes_on_while_there_is_no_such_file(tmp_path, clock, file):
    tower = Subtask(tmp_path, clock, replace(SETTINGS, suspend_file=file))
    tower.items(*ITEMS)
    tower.examples(*range(4))
    assert tower.operator._stream.trained == 4


def test_a_clock_that_was_set_back_stops_no_timer(tower):
    tower.items(*ITEMS)
    tower.examples(0)
    due = max(tower.flink.timers)
    tower.clock.ms -= 100
    tower._take(tower.flink.fire_timers(tower.operator, due, rows.TOWER_KEY))
    assert tower.flink.timers != []


def test_a_snapshot_that_cannot_be_written_is_tried_again_and_nothing_is_lost(tower, monkeypatch):
    def full_disk(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(SnapshotFiles, "write", full_disk)
        tower.items(*ITEMS)
        tower.examples(*range(8))
        tower.wait(3)
    assert tower.announced == []
    assert 3 <= tower.counters["snapshot_write_failed"] <= 4  # once a second
    assert len(tower.logged()) == len(ITEMS) + 8
    tower.wait(2)
    assert (tower.announced[0].kind, tower.announced[0].trained_events) == (FULL, 8)
    assert sorted(tower.table().ids) == sorted(ITEMS)


def test_after_rows_were_renumbered_a_full_snapshot_comes_instead_of_an_update(tmp_path, clock):
    tower = Subtask(tmp_path, clock, TowerSettings(batch=4, max_items=100, content_columns=16, snapshot_interval_s=60))
    tower.items(*[f"a{n}" for n in range(100)])
    tower.wait(2)
    assert [a.kind for a in tower.announced] == [FULL, POPULARITY]
    tower.items("one too many")
    tower.wait(2)
    assert [a.kind for a in tower.announced] == [FULL, POPULARITY, FULL]
    ids = tower.table().ids
    assert len(ids) == 100
    assert "one too many" in ids
    tower.items("two too many", "three too many")
    tower.wait(0.5)  # before an update would be due
    assert [a.kind for a in tower.announced] == [FULL, POPULARITY, FULL, FULL, FULL]


def test_an_evicted_item_that_no_catalogue_lists_leaves_the_state(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(train_item_tower, "WRITE_INPUTS", 40)
    settings = TowerSettings(batch=4, max_items=100, content_columns=16, admission_events=1)
    tower = Subtask(tmp_path, clock, settings)
    for n in range(200):
        assert tower.feed(rows.EXAMPLE, None, example(n, f"unheard-of{n}", clock.ms)) == []
    assert tower.written() > 160
    assert len(tower.state("catalogue")) == 100


# ---- inputs --------------------------------------------------------------------------------------


def test_an_old_example_sheds_work_and_is_counted(tower):
    tower.items(*ITEMS)
    tower.examples(*range(4), age_ms=900)
    assert tower.counters.get("shed_batches", 0) == 0
    tower.examples(*range(4, 8), age_ms=1_100)
    assert tower.counters["shed_batches"] == 1
    sheds = [entry.shed for _, entry in tower.logged() if entry.kind is InputKind.EXAMPLE]
    assert sheds == 4 * [False] + 4 * [True]


def test_a_late_and_busy_tower_leaves_out_replays_and_then_examples_and_says_so(tower, monkeypatch):
    tower.items(*ITEMS)
    tower.operator._busy.share = 0.95
    monkeypatch.setattr(tower.operator._busy, "add", lambda *_: None)
    levels = []
    for _ in range(5):
        tower.examples(*range(40), age_ms=1_100)
        levels.append(tower.logged()[-1][1].shed)
        tower.clock.ms += 1_000
    assert levels == [Shed.NEGATIVES, Shed.REPLAY, Shed.HALF, Shed.QUARTER, Shed.TENTH]
    assert tower.counters["shed_negatives"] == 10
    assert tower.counters["shed_batches"] >= tower.counters["shed_replay"] + 10 > 20
    assert 20 + 30 + 36 - 20 < tower.counters["shed_sampled"] < 20 + 30 + 36 + 20
    assert tower.announced[-1].shed == "tenth"


def test_a_tower_that_is_late_but_has_time_left_learns_every_example(tower):
    tower.items(*ITEMS)
    for _ in range(5):
        tower.examples(*range(8), age_ms=100_000)
        tower.clock.ms += 1_000
    assert {entry.shed for _, entry in tower.logged() if entry.kind is InputKind.EXAMPLE} == {Shed.NEGATIVES}


@pytest.mark.parametrize("wrong", bad_items())
def test_a_bad_item_is_rejected_with_its_bytes_its_reason_and_its_place(tower, wrong):
    key, value, reason = bad_items()[wrong]
    (rejected,) = tower.feed(rows.ITEM, key, value)
    assert tuple(rejected)[:3] == (rows.REJECTED, key, value)
    headers = rejected[3]
    assert headers.pop("detail")
    assert headers == {"reason": reason.encode(), "topic": b"items", "partition": b"1", "offset": b"7"}
    assert tower.counters == {"rejected": 1}
    assert tower.logged() == []


def test_a_tombstone_makes_an_item_unavailable(tower):
    tower.items(*ITEMS)
    assert tower.feed(rows.ITEM, b"i3", None) == []
    tower.wait(2)
    table = tower.table()
    assert [table.ids[row] for row in range(len(table.ids)) if not table.available[row]] == ["i3"]


# ---- commands ------------------------------------------------------------------------------------


def commanded(tower: Subtask, command: str, **fields: object) -> list[Announcement]:
    """Give a command; returns what it made the tower announce."""
    before = len(tower.announced)
    assert tower.feed(rows.COMMAND, None, json.dumps({"command": command, "command_id": "c"} | fields).encode()) == []
    return tower.announced[before:]


def lived(tower: Subtask) -> Subtask:
    """A tower that has published a full snapshot of 8, of 16 and of 24 examples."""
    tower.items(*ITEMS)
    for n in range(3):
        tower.examples(*range(8 * n, 8 * n + 8))
        tower.wait(7)
    return tower


@pytest.mark.parametrize("value", [None, b"{", b'{"command": "explode", "command_id": "c"}'])
def test_what_is_no_command_is_rejected(tower, value):
    (rejected,) = tower.feed(rows.COMMAND, b"k", value)
    assert tuple(rejected)[:3] == (rows.REJECTED, b"k", value)
    assert rejected[3]["topic"] == b"items"
    assert tower.logged() == []


def test_a_refresh_is_logged_written_and_published_in_full_in_a_new_epoch_at_once(tower):
    lived(tower)
    tower.examples(24, 25)
    before = tower.table()
    announced = commanded(tower, "full_refresh")
    assert [(a.kind, a.epoch) for a in announced] == [(FULL, 1)]
    assert tower.logged()[-1][1].kind is InputKind.COMMAND
    assert tower.written() == tower.operator._stream.number
    assert (tower.counters["refreshes"], tower.table().epoch) == (1, 1)
    assert tower.table().ids == before.ids
    assert not np.array_equal(tower.table().vectors, before.vectors)


def test_a_rollback_publishes_the_vectors_of_the_full_snapshot_before_at_once_and_writes_them(tower, tmp_path, clock):
    lived(tower)
    earlier, last = [a for a in tower.announced if a.kind == FULL][-2:]
    tower.examples(24, 25)
    (full,) = commanded(tower, "rollback")
    assert (full.kind, full.epoch, full.trained_events) == (FULL, 1, 26)
    vectors = decode_snapshot((tmp_path / earlier.file).read_bytes()).vectors
    assert np.array_equal(tower.table().vectors, vectors)
    assert not np.array_equal(decode_snapshot((tmp_path / last.file).read_bytes()).vectors, vectors)
    assert tower.counters["rollbacks"] == 1
    for file in tmp_path.glob("*.safetensors"):
        file.unlink()
    restored = Subtask(tmp_path, clock, state=tower.flink.keyed)
    restored.examples(26)
    assert (restored.announced[0].kind, restored.announced[0].epoch) == (FULL, 1)
    assert np.array_equal(restored.table().vectors, vectors)


def test_two_rollbacks_in_a_row_go_back_two_snapshots(tower, tmp_path):
    lived(tower)
    first = [a for a in tower.announced if a.kind == FULL][-3]
    commanded(tower, "rollback")
    (full,) = commanded(tower, "rollback")
    assert full.epoch == 2
    assert np.array_equal(tower.table().vectors, decode_snapshot((tmp_path / first.file).read_bytes()).vectors)


def test_a_rollback_goes_to_the_snapshot_that_is_named(tower, tmp_path):
    lived(tower)
    named = next(a for a in tower.announced if a.kind == FULL and a.trained_events == 8)
    commanded(tower, "rollback", to="0-8")
    assert np.array_equal(tower.table().vectors, decode_snapshot((tmp_path / named.file).read_bytes()).vectors)


@pytest.mark.parametrize("fields", [{"to": "0-7"}, {"to": "3-8"}, {}])
def test_a_rollback_without_its_file_changes_nothing_and_says_so(tower, tmp_path, caplog, fields):
    lived(tower)
    tower.examples(24)
    for file in tmp_path.glob("*.safetensors"):
        file.unlink()
    number, unfinished = tower.operator._stream.number, tower.operator._stream.unfinished
    before = tower.operator._stream.tower.rows.encode_block(0)
    assert commanded(tower, "rollback", **fields) == []
    assert tower.counters["command_failed"] == 1
    assert "rollbacks" not in tower.counters
    assert "nothing has changed: no full snapshot" in caplog.text
    assert (tower.operator._stream.number, tower.operator._stream.unfinished) == (number, unfinished)
    assert tower.operator._stream.tower.rows.encode_block(0) == before


def test_a_restored_tower_goes_on_after_commands_bit_for_bit(tower, tmp_path, clock):
    lived(tower)
    commanded(tower, "full_refresh")
    tower.examples(24, 25)
    commanded(tower, "rollback")
    tower.examples(26, 27)
    restored = Subtask(tmp_path / "b", clock, state=tower.flink.keyed)
    for each in (tower, restored):
        each.examples(*range(28, 40))
    one, other = tower.operator._stream, restored.operator._stream
    assert (one.epoch, other.epoch) == (2, 2)
    assert one.tower.rows.encode_block(0) == other.tower.rows.encode_block(0)


# ---- the gate ------------------------------------------------------------------------------------


def test_the_gate_sees_the_batches_of_a_running_tower(tmp_path, clock):
    tower = Subtask(tmp_path, clock)
    tower.items(*ITEMS)
    tower.wait(1)
    tower.examples(*range(80))
    assert 0 < tower.operator._publisher.gate.scored <= 20


def test_vectors_that_the_gate_withholds_are_counted_and_do_not_reach_readers(tower, monkeypatch):
    lived(tower)
    monkeypatch.setattr(tower.operator._publisher.gate, "withholds", lambda numbering: True)
    before = tower.table().vectors
    tower.examples(*range(24, 40))
    tower.wait(7)
    assert tower.counters["snapshots_withheld"] >= 1
    assert np.array_equal(tower.table().vectors, before)
    assert tower.table().trained_events == 40


# ---- state ---------------------------------------------------------------------------------------


def test_every_input_is_in_the_log_before_the_call_returns(tower):
    tower.items("i0", "i1")
    tower.examples(0)
    assert [(number, entry.kind) for number, entry in tower.logged()] == [
        (1, InputKind.ITEM),
        (2, InputKind.ITEM),
        (3, InputKind.EXAMPLE),
    ]


@pytest.mark.parametrize("unfinished", [0, 1])
def test_the_tower_is_written_at_most_8000_inputs_apart(tower, unfinished):
    tower.examples(*range(unfinished))
    written = set()
    for n in range(8_100):
        tower.items(f"i{n % 2000}")
        written.add(tower.written())
    assert max(written) <= WRITE_INPUTS
    assert min(written - {0}) >= WRITE_INPUTS - SETTINGS.batch
    assert len(tower.state("blocks")) == -(-2000 // 64)
    assert len(tower.state("catalogue")) == 2000
    assert max(tower.state("log")) < LOG_INPUTS


def fed(tower: Subtask, first: int, end: int) -> None:
    """Inputs [first, end) of a stream of examples with an item now and then, unknown ones among them."""
    for n in range(first, end):
        if n % 7 == 3:
            tower.items(f"new{n}")
        elif n % 11 == 5:
            assert tower.feed(rows.EXAMPLE, None, example(n, f"unheard-of{n % 3}", tower.clock.ms)) == []
        else:
            tower.examples(n)


def published(tower: Subtask) -> str:
    """Name, and so digest, of the full snapshot that the tower publishes now."""
    tower.wait(7)
    return [a.file for a in tower.announced if a.kind == FULL][-1]


@pytest.mark.parametrize("end", [3, 38, 41, 90, 127])
def test_a_restored_tower_is_the_same_bit_for_bit_and_goes_on_the_same(tmp_path, clock, monkeypatch, end):
    monkeypatch.setattr(train_item_tower, "WRITE_INPUTS", 40)
    whole = Subtask(tmp_path / "whole", clock, SETTINGS)
    whole.items(*ITEMS)
    fed(whole, 0, end)
    restored = Subtask(tmp_path / "restored", clock, state=whole.flink.keyed)
    twin = Subtask(tmp_path / "twin", clock, state=whole.flink.keyed)
    fed(whole, end, end + 60)
    fed(restored, end, end + 60)
    assert published(restored) == published(whole)

    clock.ms += 10_000  # the twin gets nothing: a timer restores it
    twin.flink.timers = [clock.ms]
    twin.wait(0.05)
    assert [a.kind for a in twin.announced] == [FULL]
    assert whole.written() > 0


def test_a_restored_tower_publishes_a_full_snapshot_at_once(tower, tmp_path, clock):
    tower.items(*ITEMS)
    tower.examples(*range(8))
    tower.wait(7)
    for file in tmp_path.glob("*.safetensors"):
        file.unlink()
    restored = Subtask(tmp_path, clock, state=tower.flink.keyed)
    restored.examples(8)
    assert [(a.kind, a.trained_events) for a in restored.announced] == [(FULL, 8)]
    assert sorted(restored.table().ids) == sorted(ITEMS)


# ---- start tower ---------------------------------------------------------------------------------


@pytest.fixture
def trained(tmp_path):
    """A tower trained elsewhere, and its file."""
    stream = TowerStream(MODEL, replace(SETTINGS, admission_events=1))
    for item_id in ITEMS:
        stream.accept(TowerInput(InputKind.ITEM, item(item_id, tags=["a", item_id[-1]])))
    for n in range(40):
        stream.accept(TowerInput(InputKind.EXAMPLE, example(n, ITEMS[n % len(ITEMS)])))
    file = tmp_path / "tower.safetensors"
    file.write_bytes(encode_tower(stream))
    return stream, file


def test_a_new_job_publishes_its_start_tower_at_its_first_input(tmp_path, clock, trained):
    stream, file = trained
    tower = Subtask(tmp_path / "snapshots", clock, start_tower=file)
    tower.examples(0)
    assert [(a.kind, a.trained_events, a.items) for a in tower.announced] == [(FULL, 40, len(ITEMS))]
    table = tower.table()
    rows_of = [stream.tower.rows.row_of(key) for key in table.hashes.tolist()]
    assert np.array_equal(table.vectors, stream.tower.rows.vectors[rows_of])


def test_a_start_tower_is_published_when_somebody_asks_for_a_list(tmp_path, clock, trained):
    _, file = trained
    tower = Subtask(tmp_path / "snapshots", clock, start_tower=file)
    tower.feed(rows.EXAMPLE, None, rows.WAKE)
    assert [(a.kind, a.trained_events) for a in tower.announced] == [(FULL, 40)]
    assert "examples" not in tower.counters


def test_to_be_woken_teaches_a_tower_without_items_nothing(tmp_path, clock):
    tower = Subtask(tmp_path, clock)
    tower.feed(rows.EXAMPLE, None, rows.WAKE)
    assert tower.announced == []


def test_a_start_tower_is_in_state_before_the_first_input_so_that_a_restore_needs_no_file(tmp_path, clock, trained):
    _, file = trained
    before = Subtask(tmp_path / "snapshots", clock, start_tower=file)
    before.examples(0, 1)
    assert before.written() == len(ITEMS) + 40
    assert len(before.state("catalogue")) == len(ITEMS)
    file.unlink()
    restored = Subtask(tmp_path / "snapshots", clock, state=before.flink.keyed, start_tower=file)
    for tower in (before, restored):
        tower.examples(*range(2, 30))
    assert restored.flink.keyed == before.flink.keyed
    assert np.array_equal(restored.table().vectors, before.table().vectors)


def test_a_restored_job_leaves_the_start_tower_aside(tmp_path, clock, trained):
    _, file = trained
    before = Subtask(tmp_path / "snapshots", clock)
    before.items("i0", "only here")
    restored = Subtask(tmp_path / "snapshots", clock, state=before.flink.keyed, start_tower=file)
    restored.items("i1")
    assert sorted(restored.table().ids) == ["i0", "i1", "only here"]


def test_a_start_tower_of_another_shape_ends_the_job_for_good(tmp_path, clock, trained):
    _, file = trained
    tower = Subtask(tmp_path / "snapshots", clock, replace(SETTINGS, half_lives=(50.0,)), start_tower=file)
    with pytest.raises(InvalidArtefact, match="half_lives"):
        tower.examples(0)


# ---- the job's settings in state -----------------------------------------------------------------


RAN_WITH = '{"job": {"parallelism": 1}}'


def test_state_tells_the_settings_of_the_job_from_its_first_input_on(tmp_path, clock):
    tower = Subtask(tmp_path, clock, job_settings=RAN_WITH)
    tower.items("i1")
    assert (tower.written(), tower.facts()["settings"]) == (0, {"job": {"parallelism": 1}})


def test_every_later_write_tells_them_too(tmp_path, clock):
    tower = Subtask(tmp_path, clock, job_settings=RAN_WITH)
    tower.feed(rows.COMMAND, None, encode_command(Command(CommandKind.FULL_REFRESH, "c1")))
    assert (tower.written(), tower.facts()["settings"]) == (1, {"job": {"parallelism": 1}})


def test_a_job_restored_with_other_settings_tells_its_own_and_keeps_the_tower(tmp_path, clock):
    before = Subtask(tmp_path, clock, job_settings=RAN_WITH)
    before.items(*ITEMS)
    before.feed(rows.COMMAND, None, encode_command(Command(CommandKind.FULL_REFRESH, "c1")))
    restored = Subtask(tmp_path, clock, state=before.flink.keyed, job_settings='{"job": {"parallelism": 2}}')
    restored.items("new")
    assert restored.facts() == before.facts() | {"settings": {"job": {"parallelism": 2}}}


@pytest.mark.parametrize("early", [True, False], ids=["before the first write", "after it"])
def test_state_of_a_job_that_told_no_settings_is_restored_and_tells_them_from_then_on(tmp_path, clock, early):
    before = Subtask(tmp_path, clock)
    before.items(*ITEMS)
    if not early:
        before.feed(rows.COMMAND, None, encode_command(Command(CommandKind.FULL_REFRESH, "c1")))
    assert "settings" not in before.facts()
    restored = Subtask(tmp_path, clock, state=before.flink.keyed, job_settings=RAN_WITH)
    restored.items("new")
    assert restored.facts()["settings"] == {"job": {"parallelism": 1}}
    assert len(restored.operator._stream.tower.catalogue) == len(ITEMS) + 1


@pytest.mark.parametrize("told", ["", RAN_WITH], ids=["untold", "told"])
def test_settings_in_state_change_nothing_of_a_restored_tower(tmp_path, clock, told):
    before = Subtask(tmp_path, clock, job_settings=told)
    before.items(*ITEMS)
    before.examples(*range(40))
    restored = Subtask(tmp_path, clock, state=before.flink.keyed, job_settings=told)
    for tower in (before, restored):
        tower.examples(*range(40, 80))
    assert encode_progress(restored.operator._stream) == encode_progress(before.operator._stream)


# ---- erasure -------------------------------------------------------------------------------------


def user_in_log(tower: Subtask, user: int) -> bool:
    examples = [entry for _, entry in tower.logged() if entry.kind is InputKind.EXAMPLE]
    return any(user_of_example(entry.payload) == user for entry in examples)


def test_an_erased_users_examples_leave_the_log_after_a_second_and_many_erasures_share_one_write(tower):
    tower.items(*ITEMS)
    tower.examples(*range(10))
    one, other = (user_of_example(example(n, ITEMS[0], tower.clock.ms)) for n in (1, 2))
    assert user_in_log(tower, one)
    for user in (one, other):
        assert tower.feed(rows.EXAMPLE, None, encode_erasure(user)) == []
    assert tower.written() == 0
    tower.wait(1.3)
    assert not user_in_log(tower, one)
    assert not user_in_log(tower, other)
    assert [entry for _, entry in tower.logged() if entry.kind is InputKind.ERASURE] == []
    assert tower.written() == len(ITEMS) + 10 + 2 + 1  # and the border of the unfinished batch
    assert tower.counters["erasures"] == 2


def test_a_tower_that_was_killed_before_the_purge_purges_when_it_is_back(tower, tmp_path, clock):
    tower.items(*ITEMS)
    tower.examples(*range(10))
    user = user_of_example(example(1, ITEMS[0], clock.ms))
    tower.feed(rows.EXAMPLE, None, encode_erasure(user))
    back = Subtask(tmp_path, clock, state=tower.flink.keyed)
    back.examples(3)
    assert not user_in_log(back, user)
