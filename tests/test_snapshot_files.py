import errno
import hashlib
import os
import sys
import time

import pytest
from restricted import on_small_disk, run

from operators import snapshot_files
from operators.snapshot_files import SnapshotFiles

SHA = "0123456789abcdef" + "0" * 48
NAME = "full-1-000000000042-0123456789abcdef.safetensors"


def test_a_file_is_found_under_its_kind_epoch_examples_and_digest(tmp_path):
    files = SnapshotFiles(str(tmp_path / "new" / "root"))
    assert files.write("full", 1, 42, SHA, b"content") == NAME
    assert files.read(NAME) == b"content"
    assert files.newest_first("full") == [NAME]
    assert files.newest_first("popularity") == []
    assert [path.name for path in (tmp_path / "new" / "root").iterdir()] == [NAME]


def test_a_root_may_be_a_uri(tmp_path):
    files = SnapshotFiles(tmp_path.as_uri())
    files.write("full", 1, 42, SHA, b"content")
    assert (tmp_path / NAME).read_bytes() == b"content"
    assert files.read(NAME) == b"content"
    assert files.newest_first("full") == [NAME]


def test_no_reader_sees_a_file_before_it_is_whole(tmp_path, monkeypatch):
    files = SnapshotFiles(str(tmp_path))
    seen = []
    fsync = os.fsync

    def look_and_sync(descriptor):
        seen.append((files.newest_first("full"), (tmp_path / NAME).exists()))
        fsync(descriptor)

    monkeypatch.setattr(snapshot_files.os, "fsync", look_and_sync)
    files.write("full", 1, 42, SHA, b"content")
    assert seen == [([], False), ([NAME], True)]  # the file is durable before its name, and the name then too


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    files = SnapshotFiles(str(tmp_path))

    def full_disk(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(snapshot_files.os, "fsync", full_disk)
        with pytest.raises(OSError, match="No space left"):
            files.write("full", 1, 42, SHA, b"content")
    assert list(tmp_path.iterdir()) == []
    assert files.write("full", 1, 42, SHA, b"content") == NAME


def test_a_missing_file_is_a_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        SnapshotFiles(str(tmp_path)).read(NAME)


def aged(files, directory, kind, n, hours):
    """Write the n-th file of a kind, last changed so many hours ago; returns its name."""
    name = files.write(kind, 0, n, f"{n:064x}", b"content")
    then = time.time() - 3600 * hours
    os.utime(directory / name, (then, then))
    return name


def test_pruning_keeps_the_newest_and_the_young(tmp_path):
    files = SnapshotFiles(str(tmp_path))
    hours = [9, 8, 7, 2, 1]
    names = [aged(files, tmp_path, "full", n, h) for n, h in enumerate(hours)]
    other = aged(files, tmp_path, "popularity", 9, 99)
    assert files.newest_first("full") == names[::-1]

    assert files.prune("full", keep=1, keep_h=7.5) == 2
    assert files.newest_first("full") == names[:1:-1]  # 7, 2 and 1 hours old
    assert files.prune("full", keep=2, keep_h=0) == 1
    assert files.newest_first("full") == names[:2:-1]
    assert files.newest_first("popularity") == [other]


def test_pruning_spares_what_is_not_ours(tmp_path):
    files = SnapshotFiles(str(tmp_path))
    for name in ("full-notes.txt", ".full-1.safetensors.7.partial"):
        (tmp_path / name).write_text("theirs")
        os.utime(tmp_path / name, (0, 0))
    assert files.prune("full", keep=0, keep_h=0) == 0
    assert len(list(tmp_path.iterdir())) == 2


def test_a_full_disk_refuses_the_file_keeps_the_others_and_takes_it_once_there_is_room(tmp_path):
    script = f"""
import pathlib, sys
from operators.snapshot_files import SnapshotFiles
root = pathlib.Path(sys.argv[1])
files = SnapshotFiles(str(root))
first = files.write("full", 0, 1, {SHA!r}, b"first")
filler = root / "filler"
filler.write_bytes(bytes(60 * 2**20))
try:
    files.write("full", 0, 2, {SHA!r}, bytes(10 * 2**20))
except OSError as error:
    print(error.errno, sorted(p.name for p in root.iterdir()) == sorted(["filler", first]), files.read(first))
filler.unlink()
print(len(files.read(files.write("full", 0, 2, {SHA!r}, bytes(10 * 2**20)))))
"""
    disk = tmp_path / "disk"
    done = run(on_small_disk(disk, [sys.executable, "-c", script, disk]))
    assert (done.stdout.splitlines(), done.stderr) == ([f"{errno.ENOSPC} True b'first'", str(10 * 2**20)], "")


def test_a_file_that_nobody_announced_must_hold_what_its_name_says(tmp_path):
    files = SnapshotFiles(str(tmp_path))
    name = files.write("full", 0, 7, hashlib.sha256(b"content").hexdigest(), b"content")
    assert files.read_by_name(name) == b"content"
    (tmp_path / name).write_bytes(b"changed")
    with pytest.raises(OSError, match="its name must end in"):
        files.read_by_name(name)
