import os

import pytest
from made_up import MODEL, announcement, popularity_update, snapshot

from models.snapshots import POPULARITY, InvalidSnapshot, digest
from operators.snapshot_files import SnapshotFiles
from operators.table_loader import TableLoader

FULL_5, FULL_6 = snapshot(trained_events=5), snapshot(trained_events=6, seed=6)
UPDATE = popularity_update(9, row=17, count=1e9)


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
