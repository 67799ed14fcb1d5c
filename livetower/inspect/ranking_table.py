"""The item table that a checkpoint's lists are made with: the snapshots that its broadcast state names.

The job's own TableLoader puts them together. A file is taken from beside a savepoint, where `livetower savepoint` puts
copies, else from the job's snapshot root. Where the job would go on with an older table, here a missing file is an
error: another table's list would explain nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from flink_jobs.settings import JobSettings
from livetower.inspect.codes import inspect_error
from livetower.inspect.reading import LearnedState
from livetower.operations.places import parent_and_name, read_file
from livetower.operations.snapshot_copies import FOLDER
from models.item_table import ItemTable
from models.snapshots import FULL, POPULARITY, Announcement, InvalidSnapshot, decode_announcement, digest
from operators.table_loader import TableLoader, chain_of_deltas, table_of_dimension


@dataclass(frozen=True, slots=True)
class Announced:
    """The announcements in a checkpoint, read."""

    full: Announcement | None
    deltas: tuple[Announcement, ...]
    popularity: Announcement | None

    def all(self) -> list[Announcement]:
        return [each for each in (self.full, *self.deltas, self.popularity) if each is not None]


@dataclass
class Remembered:
    """The broadcast state as table_loader reads it."""

    values: Mapping[str, bytes]

    def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    def put(self, key: str, value: bytes) -> None:
        raise TypeError(f"the state of a checkpoint is read only; {key!r} was to be put")

    def remove(self, key: str) -> None:
        raise TypeError(f"the state of a checkpoint is read only; {key!r} was to be removed")


@dataclass
class SnapshotPlaces:
    """Snapshot files by their names, wherever the first of some directories has them."""

    directories: tuple[str, ...]
    digests: Mapping[str, str] = field(default_factory=dict)
    """Name → the sha256 that was announced."""

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises InspectError."""
        troubles, code = [], "LT-INS-405"
        for directory in self.directories:
            try:
                blob = read_file(directory, name)
            except OSError as error:
                troubles.append(f"{directory} ({'no such file' if isinstance(error, FileNotFoundError) else error})")
                continue
            if name not in self.digests or digest(blob) == self.digests[name]:
                return blob
            code = "LT-INS-406"
            troubles.append(f"{directory} (sha256 {self.digests[name][:12]}… was needed; got {digest(blob)[:12]}…)")
        raise inspect_error(code, f"the item snapshot {name} is at none of: {', '.join(troubles)}; see --snapshot-root")

    def read_by_name(self, name: str) -> bytes:
        """Asked of files only that stand in, of which there are none."""
        raise FileNotFoundError(name)

    def newest_first(self, kind: str) -> list[str]:
        """None: no other file may stand in for an announced one."""
        return []

    def written_ms(self, name: str) -> int:
        """Unknown, and asked of files only that stand in."""
        raise FileNotFoundError(name)


class StrictLoader(TableLoader):
    """The job's loader, but that it stops where the job goes on with what it has."""

    def _fall_back(self, announcement: Announcement, error: Exception) -> None:
        name = f"{announcement.epoch}-{announcement.trained_events}"
        raise inspect_error("LT-INS-402", f"the item snapshot {name} cannot be used: {error}") from error


def announced_in(state: LearnedState) -> Announced:
    """What the broadcast state names. Raises InspectError."""
    remembered = Remembered(state.announcements())
    try:
        full, popularity = (
            None if (value := remembered.get(kind)) is None else decode_announcement(value)
            for kind in (FULL, POPULARITY)
        )
        return Announced(full, tuple(chain_of_deltas(remembered)), popularity)
    except InvalidSnapshot as error:
        raise inspect_error("LT-INS-205", f"{state.uri}: an announcement cannot be read: {error}") from error


def ranking_table(state: LearnedState, settings: JobSettings, snapshot_root: str | None) -> ItemTable | None:
    """The table that ranks after a restore; None if none had been announced. Raises InspectError."""
    beside = f"{state.uri.rstrip('/')}/{FOLDER}"
    root = snapshot_root or settings.job.snapshot_root
    if settings.job.pin_snapshot:
        parent, name = parent_and_name(settings.job.pin_snapshot)
        blob = SnapshotPlaces((parent or "/", beside, root)).read(name)
        try:
            return table_of_dimension(blob, digest(blob), 0, settings.model.dimension)
        except InvalidSnapshot as error:
            raise inspect_error("LT-INS-402", f"the pinned snapshot {name}: {error}") from error
    announced = announced_in(state)
    digests = {each.file: each.sha256 for each in announced.all() if each.file is not None}
    loader = StrictLoader(SnapshotPlaces((beside, root), digests), settings.model.dimension)
    loader.load(announced.full, announced.popularity, announced.deltas)
    return loader.table
