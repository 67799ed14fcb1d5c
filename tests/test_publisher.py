"""When a snapshot is due and what is then announced; the stream is a real one, the clock an argument."""

from itertools import pairwise

import numpy as np
import pytest
from fake_flink import FakeFlink
from made_up import ITEMS, MODEL, NOW_MS, example, item

from models.publishing import next_full
from models.settings import TowerSettings
from models.snapshots import DELTA, FULL, POPULARITY, decode_announcement, decode_snapshot
from models.tower_stream import InputKind, TowerInput, TowerStream
from operators import publisher
from operators.publisher import Publisher
from operators.snapshot_files import SnapshotFiles

SETTINGS = TowerSettings(batch=10, negatives=5, content_columns=16, snapshot_keep=3, snapshot_keep_h=0)
APART_S = SETTINGS.snapshot_apart_s


class Published:
    """A stream, its publisher, and a clock in seconds since the test began."""

    def __init__(self, root) -> None:
        self.flink = FakeFlink()
        self.files = SnapshotFiles(str(root))
        self.stream = TowerStream(MODEL, SETTINGS)
        self.publisher = Publisher(self.files, SETTINGS, self.flink)

    def items(self, *item_ids: str) -> None:
        for item_id in item_ids:
            self.stream.accept(TowerInput(InputKind.ITEM, item(item_id)))

    def examples(self, count: int) -> None:
        for n in range(count):
            self.stream.accept(TowerInput(InputKind.EXAMPLE, example(n, ITEMS[n % len(ITEMS)])))

    def due(self, second: float) -> list:
        """Announcements at this second."""
        now_ms = NOW_MS + round(1_000 * second)
        return [decode_announcement(row[2]) for row in self.publisher.publish_due(self.stream, now_ms)]

    def kinds(self, second: float) -> list[str]:
        return [announcement.kind for announcement in self.due(second)]


@pytest.fixture
def published(tmp_path):
    return Published(tmp_path)


def test_there_is_nothing_to_publish_before_the_first_item(published):
    assert published.kinds(0) == []
    published.items("i0")
    assert published.kinds(0) == [FULL]


def test_an_update_follows_within_a_second_and_vectors_within_five(published):
    published.items(*ITEMS)
    assert published.kinds(0) == [FULL]
    published.items("new")
    assert [published.kinds(second) for second in (0.9, 1.0, 1.1)] == [[], [POPULARITY], []]
    assert [published.kinds(second) for second in (4.9, 5.0, 5.1, 60)] == [[], [DELTA], [], []]
    assert not published.publisher.owes(published.stream)


def test_examples_make_an_update_due_before_its_second_is_over(published):
    published.stream.trained = 100_000  # an old stream
    published.items(*ITEMS)
    published.kinds(0)
    published.examples(490)
    assert published.kinds(0.1) == []
    published.examples(10)
    assert published.kinds(0.1) == [POPULARITY]
    published.examples(1_500)
    assert published.kinds(0.1) == [POPULARITY]  # a full one would be due, but not so soon after the last
    assert published.kinds(APART_S) == [FULL]


def test_a_young_stream_publishes_full_snapshots_more_often(published):
    published.items(*ITEMS)
    published.kinds(0)
    published.examples(60)
    assert [published.kinds(second) for second in (APART_S - 0.001, APART_S)] == [[], [FULL]]


def test_when_full_snapshots_are_due_does_not_depend_on_when_one_was_published():
    every = 2_000
    points = sorted({next_full(trained, every) for trained in range(60_000)})
    assert points[:4] == [50, 105, 165, 231]  # p + 50 + p // 10
    steps = [after - before for before, after in pairwise(points)]
    assert sorted(steps) == steps
    assert set(steps[-10:]) == {every}
    assert all(next_full(trained, every) > trained for trained in range(60_000))
    assert next_full(points[-1] + 10**9, every) == points[-1] + 10**9 + every


def test_an_announcement_names_what_it_announces(published, tmp_path):
    published.items(*ITEMS)
    (full,) = published.due(0)
    blob = (tmp_path / full.file).read_bytes()
    assert decode_snapshot(blob).ids == ITEMS
    assert (full.epoch, full.trained_events, full.base_sha256, full.items) == (0, 0, "", len(ITEMS))
    published.examples(20)
    (update,) = published.due(1)
    assert (update.file, update.base_sha256, update.trained_events) == (None, full.sha256, 20)
    assert len(decode_snapshot(update.inline).rows) == 20


def test_an_update_too_large_for_its_announcement_is_a_file(published, tmp_path, monkeypatch):
    monkeypatch.setitem(publisher.INLINE_MAX, POPULARITY, 100)
    published.items(*ITEMS)
    published.due(0)
    published.examples(10)
    (update,) = published.due(1)
    assert update.inline is None
    assert decode_snapshot((tmp_path / update.file).read_bytes()).trained_events == 10


def test_a_failed_write_is_tried_again_a_second_later(published, monkeypatch):
    def full_disk(*_):
        raise OSError(28, "No space left on device")

    published.items(*ITEMS)
    with monkeypatch.context() as patched:
        patched.setattr(SnapshotFiles, "write", full_disk)
        assert published.kinds(0) == []
    assert [published.kinds(second) for second in (0.9, 1.0)] == [[], [FULL]]
    assert published.flink.counters == {"snapshot_write_failed": 1, "snapshots_full": 1}


def test_a_snapshot_is_announced_though_old_files_cannot_be_deleted(published, monkeypatch):
    def refuse(*_):
        raise OSError(5, "Input/output error")

    published.items(*ITEMS)
    monkeypatch.setattr(SnapshotFiles, "prune", refuse)
    announced = []
    for n in range(21):
        published.examples(10)
        announced += published.kinds(5 * n)
    assert announced == [FULL] * 21
    assert published.flink.counters == {"snapshots_full": 21}


def test_old_files_are_pruned_every_twenty_full_snapshots(published):
    published.items(*ITEMS)
    for n in range(20):
        assert len(published.files.newest_first(FULL)) == n
        published.examples(10)
        assert published.kinds(5 * n) == [FULL]
    assert len(published.files.newest_first(FULL)) == SETTINGS.snapshot_keep


# ---- deltas --------------------------------------------------------------------------------------


def test_deltas_follow_a_full_snapshot_one_on_the_other(published):
    published.items(*ITEMS)
    (link,) = published.due(0)
    announced = []
    for n in range(1, SETTINGS.deltas_per_full + 2):
        published.items("i3")
        announced += published.due(5 * n)
    assert [a.kind for a in announced] == [DELTA] * SETTINGS.deltas_per_full + [FULL]
    for delta in announced[:-1]:
        assert delta.base_sha256 == link.sha256
        assert decode_snapshot(delta.inline).ids == ("i3",)
        link = delta
    assert announced[-1].base_sha256 == ""


def test_a_delta_is_announced_under_its_digest_and_an_update_refers_to_it(published):
    published.items(*ITEMS)
    published.due(0)
    published.items("i3")
    (row,) = published.publisher.publish_due(published.stream, NOW_MS + 5_000)
    delta = decode_announcement(row[2])
    assert row[1] == delta.sha256.encode()
    published.items("new")
    (update,) = published.due(6)
    assert (update.kind, update.base_sha256) == (POPULARITY, delta.sha256)


def test_a_large_delta_is_a_file(published, tmp_path, monkeypatch):
    monkeypatch.setitem(publisher.INLINE_MAX, DELTA, 100)
    published.items(*ITEMS)
    published.due(0)
    published.items("i3")
    (delta,) = published.due(5)
    assert decode_snapshot((tmp_path / delta.file).read_bytes()).ids == ("i3",)


@pytest.mark.parametrize(("touched", "kind"), [(10, DELTA), (16, FULL)])
def test_when_more_than_half_of_the_bytes_changed_a_full_snapshot_is_sent(published, touched, kind):
    published.items(*ITEMS)
    published.due(0)
    published.items(*ITEMS[:touched])
    assert published.kinds(5) == [kind]


def test_bytes_decide_and_not_rows(published):
    published.items(*ITEMS)
    published.due(0)
    for item_id in ITEMS[:10]:  # a third of the rows, but nearly all bytes are in their titles
        published.stream.accept(TowerInput(InputKind.ITEM, item(item_id, title="x" * 2_000)))
    assert published.kinds(5) == [FULL]


def test_a_new_epoch_is_published_in_full_at_once(published):
    published.items(*ITEMS)
    published.due(0)
    published.stream.epoch += 1
    (full,) = published.due(0.01)
    assert (full.kind, full.epoch) == (FULL, 1)
    assert full.file.startswith("full-1-")


# ---- the gate ------------------------------------------------------------------------------------


def refusing(published, monkeypatch):
    monkeypatch.setattr(published.publisher.gate, "withholds", lambda numbering: True)


def test_what_the_gate_withholds_is_counted_and_popularity_goes_on(published, monkeypatch, caplog):
    published.items(*ITEMS)
    (full,) = published.due(0)
    refusing(published, monkeypatch)
    published.items("new")
    assert published.kinds(5) == [POPULARITY]
    published.items("newer")
    assert [published.kinds(second) for second in (6, 7, 9.9)] == [[POPULARITY], [], []]
    published.items("newest")
    (update,) = published.due(10)
    assert (update.kind, update.base_sha256) == (POPULARITY, full.sha256)
    assert published.flink.counters["snapshots_withheld"] == 2
    assert caplog.text.count("LT-GATE-1: ") == 2


def test_the_gate_is_not_asked_about_the_first_vectors_nor_a_new_epoch(published, monkeypatch):
    refusing(published, monkeypatch)
    published.items(*ITEMS)
    assert published.kinds(0) == [FULL]
    published.stream.epoch += 1
    assert published.kinds(0.1) == [FULL]


def test_when_updates_no_longer_apply_a_full_snapshot_has_the_published_vectors(published, monkeypatch, tmp_path):
    published.items(*ITEMS)
    (full,) = published.due(0)
    rows = published.stream.tower.rows
    with monkeypatch.context() as patched:
        refusing(published, patched)
        rows.vectors[:] = 7
        rows.touch(np.arange(rows.n))
        published.stream.tower.generation += 1  # as when counts are rescaled
        published.items("new")
        (again,) = published.due(5)
    first, second = (decode_snapshot((tmp_path / a.file).read_bytes()) for a in (full, again))
    assert second.ids == (*ITEMS, "new")
    assert np.array_equal(second.vectors[:-1], first.vectors)
    published.items("i3")
    (last,) = published.due(10)
    assert last.kind == FULL  # not a delta of i3 alone
    assert (decode_snapshot((tmp_path / last.file).read_bytes()).vectors[: len(ITEMS)] == 7).all()


def test_withheld_vectors_are_published_when_they_rank_well_again(published, monkeypatch):
    published.items(*ITEMS)
    published.due(0)
    with monkeypatch.context() as patched:
        refusing(published, patched)
        published.items("i3")
        published.due(5)
    published.items("i4")
    (delta,) = published.due(10)
    assert decode_snapshot(delta.inline).ids == ("i3", "i4")
