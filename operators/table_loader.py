"""From announcements to the item table that the ranking reads."""

import logging

from models.item_table import ItemTable
from models.snapshots import (
    FULL,
    Announcement,
    InvalidSnapshot,
    decode_snapshot,
    digest,
    require_digest,
    table_of,
    updated,
)
from operators.snapshot_files import SnapshotFiles

LOG = logging.getLogger(__name__)


def load_pinned_table(file: str, dimension: int) -> ItemTable:
    """The table of one full snapshot file, a path or a URI. Raises OSError, InvalidSnapshot."""
    root, _, name = file.rpartition("/")
    files = SnapshotFiles(root)
    blob = files.read(name)
    return table_of_dimension(blob, digest(blob), files.written_ms(name), dimension)


def table_of_dimension(blob: bytes, sha256: str, created_ms: int, dimension: int) -> ItemTable:
    """The table in a full snapshot's bytes. Raises InvalidSnapshot, also if its vectors are of another dimension."""
    table = table_of(decode_snapshot(blob), sha256, created_ms)
    if table.vectors.shape[1] != dimension:
        raise InvalidSnapshot(
            f"snapshot {table.epoch}-{table.trained_events}: vectors of dimension {dimension} were needed, "
            f"as model.dimension says; got {table.vectors.shape[1]}"
        )
    return table


class TableLoader:
    """Holds the table in use: None until a full snapshot has been announced and read.

    With a pinned snapshot that is the table, and announcements change nothing.
    """

    def __init__(self, files: SnapshotFiles, dimension: int, pinned: str = "") -> None:
        """Raises OSError and InvalidSnapshot if the pinned file cannot be used."""
        self.table: ItemTable | None = load_pinned_table(pinned, dimension) if pinned else None
        self.fallbacks = 0
        """Announced snapshots that could not be read; the table in use, or the newest older full one, stood in."""
        self._files = files
        self._dimension = dimension
        self._pinned = bool(pinned)
        self._base: ItemTable | None = None  # the full snapshot that `table` is, or has updated

    def load(self, full: Announcement | None, popularity: Announcement | None) -> None:
        """Bring the table to the latest announcements of either kind. A missing or broken file is no reason to stop."""
        if self._pinned:
            return
        if full is not None and (self._base is None or self._base.sha256 != full.sha256):
            base = self._announced_table(full) or (self._newest_older_table() if self._base is None else None)
            if base is not None:
                self._base = self.table = base
        if popularity is None or self._base is None or popularity.base_sha256 != self._base.sha256:
            return  # an update applies to its own full snapshot only; the next full one brings everything
        blob = self._announced_bytes(popularity)
        if blob is not None:
            try:
                self.table = updated(self._base, decode_snapshot(blob), popularity.created_ms)
            except InvalidSnapshot as error:
                self._fall_back(popularity, error)

    def _announced_table(self, announcement: Announcement) -> ItemTable | None:
        blob = self._announced_bytes(announcement)
        if blob is None:
            return None
        try:
            return self._table(blob, announcement.sha256, announcement.created_ms)
        except InvalidSnapshot as error:
            self._fall_back(announcement, error)
            return None

    def _announced_bytes(self, announcement: Announcement) -> bytes | None:
        try:
            blob = announcement.inline if announcement.inline is not None else self._files.read(str(announcement.file))
            require_digest(blob, announcement)
        except (OSError, InvalidSnapshot) as error:
            self._fall_back(announcement, error)
            return None
        return blob

    def _newest_older_table(self) -> ItemTable | None:
        for name in self._files.newest_first(FULL):
            try:
                blob = self._files.read(name)
                return self._table(blob, digest(blob), self._files.written_ms(name))
            except (OSError, InvalidSnapshot) as error:
                LOG.warning("snapshot file %s left aside: %s", name, error)
        return None

    def _table(self, blob: bytes, sha256: str, created_ms: int) -> ItemTable:
        return table_of_dimension(blob, sha256, created_ms, self._dimension)

    def _fall_back(self, announcement: Announcement, error: Exception) -> None:
        self.fallbacks += 1
        LOG.warning("snapshot %s-%s left aside: %s", announcement.epoch, announcement.trained_events, error)
