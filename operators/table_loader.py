"""From announcements to the item table that the ranking reads."""

import logging
from collections.abc import Iterator, Sequence
from typing import Protocol

from models.item_table import ItemTable
from models.snapshots import (
    DELTA,
    FULL,
    Announcement,
    InvalidSnapshot,
    decode_announcement,
    decode_snapshot,
    digest,
    require_digest,
    table_of,
    updated,
    with_delta,
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


class Files(Protocol):
    """Where announced files lie, as SnapshotFiles says."""

    def read(self, name: str) -> bytes: ...
    def read_by_name(self, name: str) -> bytes: ...
    def newest_first(self, kind: str) -> list[str]: ...
    def written_ms(self, name: str) -> int: ...


class TableLoader:
    """Holds the table in use: None until a full snapshot has been announced and read.

    With a pinned snapshot that is the table, and announcements change nothing.
    """

    def __init__(self, files: Files, dimension: int, pinned: str = "") -> None:
        """Raises OSError and InvalidSnapshot if the pinned file cannot be used."""
        self.table: ItemTable | None = load_pinned_table(pinned, dimension) if pinned else None
        self.fallbacks = 0
        """Announced snapshots that could not be read; the table in use, or the newest older full one, stood in."""
        self._files = files
        self._dimension = dimension
        self._pinned = bool(pinned)
        self._base: ItemTable | None = None  # the full snapshot or delta that `table` is, or has updated
        self._full_sha256 = ""  # of the full snapshot at the start of its chain

    def load(
        self, full: Announcement | None, popularity: Announcement | None, deltas: Sequence[Announcement] = ()
    ) -> None:
        """Bring the table to the latest full snapshot, the deltas after it in their order, and the latest update.

        A missing or broken file is no reason to stop: the table stays at the last good link of the chain, and the next
        full snapshot brings everything.
        """
        if self._pinned:
            return
        if full is not None and self._full_sha256 != full.sha256:
            base = self._announced_table(full) or (self._newest_older_table() if self._base is None else None)
            if base is not None:
                self._base = self.table = base
                self._full_sha256 = base.sha256
        for delta in deltas:
            if self._base is not None and delta.base_sha256 == self._base.sha256 and not self._add_delta(delta):
                return  # what comes after it does not apply
        if popularity is None or self._base is None or popularity.base_sha256 != self._base.sha256:
            return  # an update applies to its own full snapshot or delta only
        blob = self._announced_bytes(popularity)
        if blob is not None:
            try:
                self.table = updated(self._base, decode_snapshot(blob), popularity.created_ms)
            except InvalidSnapshot as error:
                self._fall_back(popularity, error)

    def _add_delta(self, delta: Announcement) -> bool:
        """Whether the delta could be read and applied to its base."""
        blob = self._announced_bytes(delta)
        if blob is None or self._base is None:
            return False
        try:
            self._base = self.table = with_delta(self._base, decode_snapshot(blob), delta.sha256, delta.created_ms)
        except InvalidSnapshot as error:
            self._fall_back(delta, error)
            return False
        return True

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
                blob = self._files.read_by_name(name)
                return self._table(blob, digest(blob), self._files.written_ms(name))
            except (OSError, InvalidSnapshot) as error:
                LOG.warning("snapshot file %s left aside: %s", name, error)
        return None

    def _table(self, blob: bytes, sha256: str, created_ms: int) -> ItemTable:
        return table_of_dimension(blob, sha256, created_ms, self._dimension)

    def _fall_back(self, announcement: Announcement, error: Exception) -> None:
        self.fallbacks += 1
        LOG.warning("snapshot %s-%s left aside: %s", announcement.epoch, announcement.trained_events, error)


# ---- announcements in broadcast state ------------------------------------------------------------


class Announced(Protocol):
    """What broadcast state is here: 'full', 'popularity', 'delta-0', 'delta-1' … -> an announcement's bytes."""

    def get(self, key: str) -> bytes | None: ...
    def put(self, key: str, value: bytes) -> None: ...
    def remove(self, key: str) -> None: ...


def remember(state: Announced, announcement: Announcement, value: bytes) -> None:
    """Put an announcement where `TableLoader.load` will need it after a restore, too.

    A full snapshot ends the chain of deltas before it. A delta that is not the chain's next one is left aside, be it a
    repeated one or one after a gap: the next full snapshot brings everything.
    """
    if announcement.kind != DELTA:
        if announcement.kind == FULL:
            for n in range(len(list(chain_of_deltas(state)))):
                state.remove(f"delta-{n}")
        state.put(announcement.kind, value)
        return
    chain = list(chain_of_deltas(state))
    full = state.get(FULL)
    last = chain[-1] if chain else decode_announcement(full) if full is not None else None
    if last is not None and last.sha256 == announcement.base_sha256:
        state.put(f"delta-{len(chain)}", value)


def chain_of_deltas(state: Announced) -> Iterator[Announcement]:
    """The deltas since the latest full snapshot, in their order."""
    n = 0
    while (value := state.get(f"delta-{n}")) is not None:
        yield decode_announcement(value)
        n += 1
