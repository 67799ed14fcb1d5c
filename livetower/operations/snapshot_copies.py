"""Copies of item snapshot files beside a savepoint, so that it is complete in itself, and back below a snapshot root.

Without them a restored job ranks nothing until its tower has published, which it does at once; with them the first
list after a restore is the one of before.
"""

from collections.abc import Iterable

from livetower.operations.announced import announcements_in
from livetower.operations.metadata import Metadata
from livetower.operations.places import entries, read_file, size_of, write_file
from models.snapshots import Announcement, InvalidSnapshot, require_digest

FOLDER = "snapshots"


class IncompleteCopy(Exception):
    """A file that the state names could not be copied; the message says which and why."""


def copy_beside(savepoint: str, metadata: Metadata, snapshot_root: str) -> list[str]:
    """Copy every snapshot file that the savepoint names into its folder `snapshots`; returns their names.

    Raises IncompleteCopy once all that can be copied is.
    """
    return _copy(announcements_in(savepoint, metadata), snapshot_root, f"{savepoint}/{FOLDER}")


def copy_back(savepoint: str, snapshot_root: str) -> list[str]:
    """Put the copies beside a savepoint below the snapshot root, where they are missing; returns their names."""
    copied = []
    for entry in entries(f"{savepoint}/{FOLDER}"):
        if size_of(f"{snapshot_root}/{entry.name}") is None:
            write_file(snapshot_root, entry.name, read_file(f"{savepoint}/{FOLDER}", entry.name))
            copied.append(entry.name)
    return copied


def _copy(announcements: Iterable[Announcement], source: str, target: str) -> list[str]:
    copied, failed = [], []
    for announcement in announcements:
        if announcement.file is None:
            continue  # its bytes are in the state
        try:
            blob = read_file(source, announcement.file)
            require_digest(blob, announcement)
            write_file(target, announcement.file, blob)
        except (OSError, InvalidSnapshot) as error:
            failed.append(f"{announcement.file}: {error}")
        else:
            copied.append(announcement.file)
    if failed:
        raise IncompleteCopy("; ".join(failed))
    return copied
