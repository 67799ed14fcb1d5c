import os

import pytest
from made_up import MODEL, announced, announcement, delta, popularity_update, snapshot

from models.snapshots import DELTA, POPULARITY, InvalidSnapshot, decode_announcement, digest
from operators.snapshot_files import SnapshotFiles
from operators.table_loader import TableLoader, chain_of_deltas, remember

FULL_5, FULL_6 = snapshot(trained_events=5), snapshot(trained_events=6, seed=6)
UPDATE = popularity_update(9, row=17, count=1e9)
ONE, TWO, THREE = (delta(6 + n, row=n, value=float(n)) for n in range(1, 4))
CHAIN = [
    announcement(blob, 6 + n, kind=DELTA, base=base)
    for n, (base, blob) in enumerate([(FULL_5, ONE), (ONE, TWO), (TWO, THREE)], 1)
]


@pytest.fixture
def files(tmp_path):
    return SnapshotFiles(str(tmp_path))


@pytest.fixture
def loader(files):
    return TableLoader(files, MODEL.dimension)


def written(files, blob, trained_events):
    """The announcement of a full snapshot whose file is there."""
    return announcement(blob, trained_events, file=files.write("full", 0, trained_events, digest(blob), blob))


def test_nothing_announced_is_no_table(loader):
    loader.load(None, None)
    assert (loader.table, loader.fallbacks) == (None, 0)


def test_the_announced_file_becomes_the_table(loader, files):
    loader.load(written(files, FULL_5, 5), None)
    assert (loader.table.trained_events, loader.table.sha256) == (5, digest(FULL_5))


def test_an_inline_snapshot_needs_no_file(loader):
    loader.load(announcement(FULL_5, 5), None)
    assert loader.table.trained_events == 5


def test_an_update_applies_to_its_own_full_snapshot(loader, files):
    full = written(files, FULL_5, 5)
    loader.load(full, announcement(UPDATE, 9, kind=POPULARITY, base=FULL_5))
    assert (loader.table.trained_events, loader.table.log_popularity[0].argmax()) == (9, 17)


def test_updates_do_not_add_up(loader, files):
    full = written(files, FULL_5, 5)
    loader.load(full, announcement(UPDATE, 9, kind=POPULARITY, base=FULL_5))
    other = popularity_update(10, row=3, count=5.0)
    loader.load(full, announcement(other, 10, kind=POPULARITY, base=FULL_5))
    counts = loader.table.popularity.counts
    assert (counts[3].tolist(), counts[17].tolist()) == ([5.0, 5.0], [1.0, 1.0])


def test_an_update_of_another_full_snapshot_waits(loader, files):
    update = announcement(UPDATE, 9, kind=POPULARITY, base=FULL_6)
    loader.load(written(files, FULL_5, 5), update)
    assert (loader.table.trained_events, loader.fallbacks) == (5, 0)
    loader.load(written(files, FULL_6, 6), update)
    assert loader.table.trained_events == 9


def test_a_missing_file_keeps_the_table(loader, files):
    loader.load(written(files, FULL_5, 5), None)
    loader.load(announcement(FULL_6, 6, file="full-0-000000000006-gone.safetensors"), None)
    assert (loader.table.trained_events, loader.fallbacks) == (5, 1)


def test_a_missing_file_and_no_table_take_the_newest_older_file(loader, files):
    written(files, FULL_5, 5)
    loader.load(announcement(FULL_6, 6, file="full-0-000000000006-gone.safetensors"), None)
    assert (loader.table.trained_events, loader.fallbacks) == (5, 1)


def test_an_older_file_that_is_not_what_its_name_says_is_no_table(loader, files, tmp_path):
    kept = files.write("full", 0, 4, digest(FULL_6), FULL_6)
    changed = files.write("full", 0, 5, digest(FULL_5), FULL_5)
    os.utime(tmp_path / kept, (1, 1))
    (tmp_path / changed).write_bytes(FULL_6)  # a good snapshot, but not that one
    loader.load(announcement(snapshot(trained_events=8), 8, file="full-gone.safetensors"), None)
    assert loader.table.trained_events == 6
    (tmp_path / kept).unlink()
    empty = TableLoader(files, MODEL.dimension)
    empty.load(announcement(snapshot(trained_events=8), 8, file="full-gone.safetensors"), None)
    assert empty.table is None


def test_an_older_file_is_as_old_as_it_was_written(loader, files, tmp_path):
    written(files, FULL_5, 5)
    (file,) = tmp_path.iterdir()
    os.utime(file, ns=(0, 1_700_000_000_123_000_000))
    loader.load(announcement(FULL_6, 6, file="full-0-000000000006-gone.safetensors"), None)
    assert loader.table.created_ms == 1_700_000_000_123


def test_a_snapshot_of_another_dimension_is_left_aside(files):
    loader = TableLoader(files, MODEL.dimension + 1)
    loader.load(written(files, FULL_5, 5), None)
    assert (loader.table, loader.fallbacks) == (None, 1)


def test_a_file_that_comes_back_is_taken(loader, files):
    loader.load(announcement(FULL_6, 6, file="full-0-000000000006-0000000000000000.safetensors"), None)
    assert (loader.table, loader.fallbacks) == (None, 1)
    loader.load(written(files, FULL_6, 6), None)
    assert loader.table.trained_events == 6


def test_a_file_with_other_bytes_than_announced_is_left_aside(loader, files, tmp_path):
    full = written(files, FULL_5, 5)
    (tmp_path / full.file).write_bytes(FULL_6)
    loader.load(announcement(FULL_5, 5, file=full.file), None)
    assert loader.fallbacks == 1
    assert loader.table is None or loader.table.sha256 != digest(FULL_5)


def test_bytes_that_are_no_snapshot_are_left_aside(loader, files):
    loader.load(written(files, FULL_5, 5), None)
    loader.load(written(files, b"no snapshot", 6), announcement(b"neither", 9, kind=POPULARITY, base=FULL_5))
    assert (loader.table.trained_events, loader.fallbacks) == (5, 2)


def test_a_pinned_snapshot_is_the_table_whatever_is_announced(files, tmp_path):
    name = files.write("full", 0, 5, digest(FULL_5), FULL_5)
    pinned = TableLoader(files, MODEL.dimension, str(tmp_path / name))
    pinned.load(written(files, FULL_6, 6), None)
    pinned.load(None, announcement(UPDATE, 9, kind=POPULARITY, base=FULL_5))
    assert (pinned.table.sha256, pinned.table.trained_events, pinned.fallbacks) == (digest(FULL_5), 5, 0)


def test_a_pinned_snapshot_may_be_a_uri(files, tmp_path):
    name = files.write("full", 0, 5, digest(FULL_5), FULL_5)
    assert TableLoader(files, MODEL.dimension, (tmp_path / name).as_uri()).table.sha256 == digest(FULL_5)


def test_a_pinned_snapshot_that_cannot_be_used_is_an_error(files, tmp_path):
    with pytest.raises(FileNotFoundError):
        TableLoader(files, MODEL.dimension, str(tmp_path / "none"))
    name = files.write("full", 0, 5, digest(FULL_5), FULL_5)
    with pytest.raises(InvalidSnapshot, match=r"dimension 9 were needed, as model\.dimension says; got 8"):
        TableLoader(files, 9, str(tmp_path / name))


# ---- deltas --------------------------------------------------------------------------------------


class Broadcast(dict):
    """Broadcast state."""

    put, remove = dict.__setitem__, dict.__delitem__

    def remember(self, *announcements) -> "Broadcast":
        for each in announcements:
            remember(self, each, announced(each)[1])
        return self


def firsts(table) -> list[float]:
    """The first number of rows 1, 2 and 3, as far as a delta set it."""
    return [float(number) for number in table.vectors[1:4, 0] if float(number).is_integer()]


def test_deltas_apply_in_their_order(loader, files):
    loader.load(written(files, FULL_5, 5), None, CHAIN)
    assert (firsts(loader.table), loader.table.trained_events) == ([1, 2, 3], 9)
    assert (loader.table.sha256, loader.table.created_ms) == (digest(THREE), CHAIN[2].created_ms)


def test_deltas_that_come_one_by_one_apply_once(loader, files):
    full = written(files, FULL_5, 5)
    for n in range(4):
        loader.load(full, None, CHAIN[:n])
        assert firsts(loader.table) == [1, 2, 3][:n]
    table = loader.table
    loader.load(full, None, CHAIN)
    assert loader.table is table


def test_an_update_applies_to_the_delta_it_refers_to(loader, files):
    full = written(files, FULL_5, 5)
    update = announcement(UPDATE, 12, kind=POPULARITY, base=TWO)
    loader.load(full, update, CHAIN[:2])
    assert (firsts(loader.table), loader.table.log_popularity[0].argmax()) == ([1, 2], 17)
    loader.load(full, update, CHAIN)
    assert (firsts(loader.table), loader.table.log_popularity[0].argmax()) == ([1, 2, 3], 0)


def test_after_a_missing_link_the_table_stays_at_the_last_good_one_until_the_next_full(loader, files):
    full = written(files, FULL_5, 5)
    gone = announcement(TWO, 8, kind=DELTA, base=ONE, file="delta-0-000000000008-gone.safetensors")
    update = announcement(UPDATE, 12, kind=POPULARITY, base=THREE)
    loader.load(full, update, [CHAIN[0], gone, CHAIN[2]])
    assert (firsts(loader.table), loader.table.trained_events, loader.fallbacks) == ([1], 7, 1)
    loader.load(written(files, FULL_6, 6), update, [])
    assert (loader.table.trained_events, loader.fallbacks) == (6, 1)


def test_a_delta_of_bytes_that_are_none_is_counted(loader, files):
    broken = announcement(b"no snapshot", 7, kind=DELTA, base=FULL_5)
    loader.load(written(files, FULL_5, 5), None, [broken])
    assert (loader.table.trained_events, loader.fallbacks) == (5, 1)


def test_deltas_of_a_full_snapshot_that_is_missing_wait(loader, files):
    written(files, FULL_6, 6)
    loader.load(announcement(FULL_5, 5, file="full-0-000000000005-gone.safetensors"), None, CHAIN)
    assert (loader.table.trained_events, loader.fallbacks) == (6, 1)


def test_state_holds_the_chain_of_the_latest_full_snapshot():
    full_5, full_6 = announcement(FULL_5, 5), announcement(FULL_6, 6)
    state = Broadcast().remember(full_5, *CHAIN)
    assert list(chain_of_deltas(state)) == CHAIN
    assert sorted(state) == ["delta-0", "delta-1", "delta-2", "full"]
    state.remember(full_6)
    assert sorted(state) == ["full"]
    assert decode_announcement(state["full"]) == full_6


def test_state_leaves_out_a_delta_that_is_not_the_next_one():
    full = announcement(FULL_5, 5)
    assert list(chain_of_deltas(Broadcast().remember(*CHAIN))) == []
    assert list(chain_of_deltas(Broadcast().remember(full, CHAIN[1], CHAIN[2]))) == []
    assert list(chain_of_deltas(Broadcast().remember(full, CHAIN[0], CHAIN[0], CHAIN[2], CHAIN[1]))) == CHAIN[:2]
