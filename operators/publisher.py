"""When the item tower publishes, and how: write the file, then announce it.

    vectors      at every point of `next_full` that the training passes, and after `snapshot_interval_s` with news
        delta    the rows that changed since the last snapshot of vectors, unless they are most of them
        full     after `deltas_per_full` deltas, when rows were renumbered, in a new epoch, and with the first input or
                 timer after a restore, so that a file that went missing is replaced
    popularity   after `popularity_examples` examples or `popularity_interval_s`: all changes since the last snapshot of
                 vectors

Vectors that rank the newest examples worse than the published ones are withheld (models/gate.py). That is looked at
when they are due; until they are due again only popularity goes out, and readers rank with the vectors they have. When
counts were rescaled meanwhile, so that updates no longer apply, a full snapshot goes out with the published vectors.
Rows that were renumbered cannot be compared and pass, as does a new epoch: it is what somebody asked for.

A file that cannot be written (a full disk, a store out of reach) delays the announcement and loses nothing: it is tried
again later.
"""

import logging
from typing import Final

from pyflink.common import Row
from pyflink.metrics import MetricGroup

from models.gate import PublishGate
from models.publishing import SnapshotBase, delta_since, full_snapshot, n_changed, next_full, popularity_update
from models.settings import TowerSettings
from models.snapshots import (
    DELTA,
    FULL,
    POPULARITY,
    Announcement,
    SnapshotRows,
    digest,
    encode_announcement,
    encode_snapshot,
)
from models.tower_stream import TowerStream
from operators import rows
from operators.snapshot_files import SnapshotFiles
from operators.wall_clock import wall_clock_ms

LOG = logging.getLogger(__name__)
INLINE_MAX = {FULL: 0, DELTA: 32 * 1024, POPULARITY: 256 * 1024}
"""Bytes of a snapshot that travels inside its announcement; a larger one becomes a file. Readers keep a whole chain of
deltas in their state and look through it with every announcement."""
RETRY_MS = 1_000
PRUNE_EVERY = 20
UNFINISHED_H = 0.25
"""A file that has been in the making for so long belongs to a process that was killed."""
LOG_CODES: Final = {
    "LT-GATE-1": "The gate withheld new vectors: they rank the newest 500 events worse than those in use, by more than "
    "`tower.gate_margin` standard errors. The lists go on with the vectors in use, and popularity with its counts. If "
    "it goes on: `livetower command rollback`, or `livetower command full_refresh`."
}
"""What the tower's log names by a code, and what to do; docs/codes.md is written from it."""


class Publisher:
    """What was published last, and so what is due."""

    def __init__(self, files: SnapshotFiles, settings: TowerSettings, metrics: MetricGroup) -> None:
        self.full_name = ""
        """File of the full snapshot that was published last."""
        self.rolled_back_to = ""
        """File that a rollback has just brought back; the next full snapshot holds what it holds."""
        self._copy_of: dict[str, str] = {}  # full snapshot that a rollback published -> the file it came from
        self.gate = PublishGate(settings.gate_margin)
        self._files = files
        self._settings = settings
        self._published = {kind: metrics.counter(f"snapshots_{kind}") for kind in (FULL, DELTA, POPULARITY)}
        self._withheld = metrics.counter("snapshots_withheld")
        self._write_failed = metrics.counter("snapshot_write_failed")
        self._base: SnapshotBase | None = None
        self._base_sha256 = ""
        self._epoch = 0
        self._row_bytes = 0.0  # of the last full snapshot
        self._deltas = 0  # since the last full snapshot
        self._vectors_ms, self._vectors_number, self._next_vectors = 0, 0, 0
        self._popularity_ms, self._popularity_number, self._popularity_trained = 0, 0, 0
        self._files_written = 0
        self._not_before_ms = 0

    def owes(self, stream: TowerStream) -> bool:
        """Whether anything has come in since vectors were published, or withheld, last."""
        return stream.number != self._vectors_number

    def publish_due(self, stream: TowerStream, now_ms: int) -> list[Row]:
        """The announcements that are due now, their files written."""
        if now_ms < self._not_before_ms or stream.tower.n_items == 0:
            return []
        try:
            if self._vectors_due(stream, now_ms):
                withheld = self._withhold(stream, now_ms)
                if not withheld or not self._updates_apply(stream):
                    return [self._publish_vectors(stream, now_ms, withheld)]
            if self._popularity_due(stream, now_ms):
                return [self._publish_popularity(stream, now_ms)]
        except OSError as error:
            self._write_failed.inc()
            self._not_before_ms = now_ms + RETRY_MS
            LOG.warning("item snapshot at example %d not written, the last one stays in use: %s", stream.trained, error)
        return []

    def earlier_full(self, to: tuple[int, int] | None) -> str:
        """The file to roll back to: of this epoch and so many trained events, else the newest one before the full
        snapshot in use. If that is what a rollback brought back, its origin counts as in use: two rollbacks in a row go
        back two snapshots. Raises FileNotFoundError.
        """
        names = self._files.newest_first(FULL)
        if to is not None:
            wanted = f"{FULL}-{to[0]}-{to[1]:012d}-"
            names = [name for name in names if name.startswith(wanted)]
        elif (used := self._copy_of.get(self.full_name, self.full_name)) in names:
            names = names[names.index(used) + 1 :]
        if not names:
            raise FileNotFoundError(f"no full snapshot {'earlier' if to is None else wanted} among the files")
        return names[0]

    # ---- what is due -----------------------------------------------------------------------------

    def _vectors_due(self, stream: TowerStream, now_ms: int) -> bool:
        if self._base is None or self._epoch != stream.epoch:
            return True
        since_ms = now_ms - self._vectors_ms
        if self._base.generation != stream.tower.generation:  # rows were renumbered: updates cannot refer to the last
            return since_ms >= 1_000 * self._settings.snapshot_apart_s
        waited = since_ms >= 1_000 * self._settings.snapshot_interval_s and stream.number != self._vectors_number
        passed = stream.trained >= self._next_vectors
        return (passed and since_ms >= 1_000 * self._settings.snapshot_apart_s) or waited

    def _updates_apply(self, stream: TowerStream) -> bool:
        """Whether deltas and popularity updates can refer to what was published last."""
        return self._base is not None and self._base.generation == stream.tower.generation

    def _popularity_due(self, stream: TowerStream, now_ms: int) -> bool:
        examples = stream.trained - self._popularity_trained
        since_ms = now_ms - self._popularity_ms
        waited = since_ms >= 1_000 * self._settings.popularity_interval_s and stream.number != self._popularity_number
        return examples >= self._settings.popularity_examples or waited

    def _withhold(self, stream: TowerStream, now_ms: int) -> bool:
        """Whether the gate keeps these vectors back; then they are due again when others would be."""
        if self._base is None or self._epoch != stream.epoch or not self.gate.withholds(stream.tower.numbering):
            return False
        self._note_vectors(stream, now_ms)
        self._withheld.inc()
        mean, error = self.gate.worse_by()
        LOG.error(
            "LT-GATE-1: vectors at example %d withheld: over the newest %d examples, before they were learned, these "
            "put %.3f (+- %.3f) more of the other items above the right one than the published vectors do. The tower "
            "learns what it should not: look for a broken or hostile source of interactions, or lower "
            "tower.learning_rate; `livetower command rollback` brings earlier vectors back.",
            stream.trained,
            self.gate.scored,
            mean,
            error,
        )
        return True

    def _note_vectors(self, stream: TowerStream, now_ms: int) -> None:
        self._vectors_ms, self._vectors_number = now_ms, stream.number
        self._next_vectors = next_full(stream.trained, self._settings.snapshot_examples)

    # ---- publishing ------------------------------------------------------------------------------

    def _publish_vectors(self, stream: TowerStream, now_ms: int, withheld: bool) -> Row:
        """A delta or a full snapshot; if the vectors are withheld, a full one with those that are published."""
        tower = stream.tower
        made = None
        if (
            not withheld
            and self._base is not None
            and self._epoch == stream.epoch
            and self._deltas < self._settings.deltas_per_full
        ):
            bytes_max = self._settings.delta_share_max * self._row_bytes * tower.n_items
            if self._row_bytes * n_changed(tower, self._base) <= bytes_max:
                made = delta_since(tower, self._base, stream.epoch, stream.trained)
                blob = b"" if made is None else encode_snapshot(made[0])
                if len(blob) > bytes_max:  # the rows that changed are longer than most
                    made = None
        snapshot, base = made or full_snapshot(tower, stream.epoch, stream.trained)
        if withheld:
            snapshot = self.gate.with_published_vectors(snapshot)
        if made is None:
            blob = encode_snapshot(snapshot)
        base_sha256 = "" if snapshot.kind == FULL else self._base_sha256
        announcement = self._announced(snapshot, blob, base_sha256, stream)
        self._base, self._base_sha256, self._epoch = base, announcement.sha256, stream.epoch
        self._note_vectors(stream, now_ms)
        self._note_popularity(stream, now_ms)
        self.gate.note_published(snapshot, tower.numbering)
        if snapshot.kind == FULL:
            self.full_name = str(announcement.file)
            # No delta may follow withheld vectors: it would leave out what changed before them.
            self._deltas = self._settings.deltas_per_full if withheld else 0
            if self.rolled_back_to:
                origin = self._copy_of.get(self.rolled_back_to, self.rolled_back_to)
                there = {self.full_name, *self._files.newest_first(FULL)}  # what is pruned no rollback goes back to
                self._copy_of = {copy: of for copy, of in self._copy_of.items() if copy in there}
                self._copy_of[self.full_name], self.rolled_back_to = origin, ""
            self._row_bytes = len(blob) / max(tower.n_items, 1)
            return rows.announcement(FULL.encode(), encode_announcement(announcement))
        self._deltas += 1
        return rows.announcement(announcement.sha256.encode(), encode_announcement(announcement))

    def _publish_popularity(self, stream: TowerStream, now_ms: int) -> Row:
        base = self._base
        update = None if base is None else popularity_update(stream.tower, base, stream.epoch, stream.trained)
        if update is None:
            return self._publish_vectors(stream, now_ms, self._withhold(stream, now_ms))
        announcement = self._announced(update, encode_snapshot(update), self._base_sha256, stream)
        self._note_popularity(stream, now_ms)
        return rows.announcement(POPULARITY.encode(), encode_announcement(announcement))

    def _note_popularity(self, stream: TowerStream, now_ms: int) -> None:
        self._popularity_ms, self._popularity_number, self._popularity_trained = now_ms, stream.number, stream.trained

    def _announced(self, snapshot: SnapshotRows, blob: bytes, base_sha256: str, stream: TowerStream) -> Announcement:
        """The announcement of these bytes, which are in a file unless they travel inside it."""
        kind, sha256 = snapshot.kind, digest(blob)
        inline = blob if len(blob) <= INLINE_MAX[kind] else None
        name = None
        if inline is None:
            name = self._files.write(kind, snapshot.epoch, snapshot.trained_events, sha256, blob)
            self._files_written += 1
            if self._files_written % PRUNE_EVERY == 0:
                self._prune()
        self._published[kind].inc()
        return Announcement(
            epoch=snapshot.epoch,
            trained_events=snapshot.trained_events,
            kind=kind,
            base_sha256=base_sha256,
            file=name,
            inline=inline,
            sha256=sha256,
            items=stream.tower.n_items,
            created_ms=wall_clock_ms(),
            shed=stream.shed.name.lower(),
        )

    def _prune(self) -> None:
        """Delete old files. That one cannot be deleted is no reason to keep back a snapshot that has been written."""
        try:
            for kind in (FULL, DELTA, POPULARITY):
                self._files.prune(kind, self._settings.snapshot_keep, self._settings.snapshot_keep_h)
            self._files.prune_unfinished(max(self._settings.snapshot_keep_h, UNFINISHED_H))
        except OSError as error:
            LOG.warning("old item snapshots not deleted, tried again after %d more: %s", PRUNE_EVERY, error)
