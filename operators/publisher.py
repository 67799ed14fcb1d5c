"""When the item tower publishes, and how: write the file, then announce it.

    full         at every point of `next_full` that the training passes, and after `snapshot_interval_s` with news; with
                 the first input or timer after a restore, so that a file that went missing is replaced
    popularity   after `popularity_examples` examples or `popularity_interval_s`: all changes since the last full
                 snapshot

A file that cannot be written (a full disk, a store out of reach) delays the announcement and loses nothing: it is tried
again later.
"""

import logging

from pyflink.common import Row
from pyflink.metrics import MetricGroup

from models.item_tower import SnapshotBase
from models.publishing import next_full
from models.settings import TowerSettings
from models.snapshots import FULL, POPULARITY, Announcement, digest, encode_announcement, encode_snapshot
from models.tower_stream import TowerStream
from operators import rows
from operators.snapshot_files import SnapshotFiles
from operators.wall_clock import wall_clock_ms

LOG = logging.getLogger(__name__)
INLINE_MAX = 256 * 1024
"""Bytes of an update that travels inside its announcement; a larger one becomes a file."""
RETRY_MS = 1_000
PRUNE_EVERY = 20


class Publisher:
    """What was published last, and so what is due."""

    def __init__(self, files: SnapshotFiles, settings: TowerSettings, metrics: MetricGroup) -> None:
        self._files = files
        self._settings = settings
        self._full, self._popularity = metrics.counter("snapshots_full"), metrics.counter("snapshots_popularity")
        self._write_failed = metrics.counter("snapshot_write_failed")
        self._base: SnapshotBase | None = None
        self._base_sha256 = ""
        self._full_ms, self._full_number, self._next_full = 0, 0, 0
        self._popularity_ms, self._popularity_number, self._popularity_trained = 0, 0, 0
        self._fulls = 0
        self._not_before_ms = 0

    def owes(self, stream: TowerStream) -> bool:
        """Whether anything has come in that no full snapshot holds yet."""
        return stream.number != self._full_number

    def publish_due(self, stream: TowerStream, now_ms: int) -> list[Row]:
        """The announcements that are due now, their files written."""
        if now_ms < self._not_before_ms or stream.tower.n_items == 0:
            return []
        try:
            if self._full_due(stream, now_ms):
                return [self._publish_full(stream, now_ms)]
            if self._popularity_due(stream, now_ms):
                return [self._publish_popularity(stream, now_ms)]
        except OSError as error:
            self._write_failed.inc()
            self._not_before_ms = now_ms + RETRY_MS
            LOG.warning("item snapshot at example %d not written, the last one stays in use: %s", stream.trained, error)
        return []

    def _full_due(self, stream: TowerStream, now_ms: int) -> bool:
        if self._base is None:
            return True
        since_ms = now_ms - self._full_ms
        if self._base.generation != stream.tower.generation:  # rows were renumbered: updates cannot refer to the last
            return since_ms >= 1_000 * self._settings.snapshot_apart_s
        waited = since_ms >= 1_000 * self._settings.snapshot_interval_s and stream.number != self._full_number
        passed = stream.trained >= self._next_full
        return (passed and since_ms >= 1_000 * self._settings.snapshot_apart_s) or waited

    def _popularity_due(self, stream: TowerStream, now_ms: int) -> bool:
        examples = stream.trained - self._popularity_trained
        since_ms = now_ms - self._popularity_ms
        waited = since_ms >= 1_000 * self._settings.popularity_interval_s and stream.number != self._popularity_number
        return examples >= self._settings.popularity_examples or waited

    def _publish_full(self, stream: TowerStream, now_ms: int) -> Row:
        snapshot, base = stream.tower.full_snapshot(0, stream.trained)
        blob = encode_snapshot(snapshot)
        sha256 = digest(blob)
        name = self._files.write(FULL, snapshot.epoch, snapshot.trained_events, sha256, blob)
        self._base, self._base_sha256 = base, sha256
        self._full_ms = self._popularity_ms = now_ms
        self._full_number = self._popularity_number = stream.number
        self._popularity_trained = stream.trained
        self._next_full = next_full(stream.trained, self._settings.snapshot_examples)
        self._full.inc()
        self._fulls += 1
        if self._fulls % PRUNE_EVERY == 0:
            self._prune()
        announcement = Announcement(
            snapshot.epoch,
            snapshot.trained_events,
            FULL,
            "",
            name,
            None,
            sha256,
            stream.tower.n_items,
            wall_clock_ms(),
        )
        return rows.announcement(FULL.encode(), encode_announcement(announcement))

    def _prune(self) -> None:
        """Delete old files. That one cannot be deleted is no reason to keep back a snapshot that has been written."""
        try:
            for kind in (FULL, POPULARITY):
                self._files.prune(kind, self._settings.snapshot_keep, self._settings.snapshot_keep_h)
        except OSError as error:
            LOG.warning("old item snapshots not deleted, tried again after %d more: %s", PRUNE_EVERY, error)

    def _publish_popularity(self, stream: TowerStream, now_ms: int) -> Row:
        update = stream.tower.popularity_update(self._base, 0, stream.trained) if self._base is not None else None
        if update is None:
            return self._publish_full(stream, now_ms)
        blob = encode_snapshot(update)
        sha256 = digest(blob)
        inline = blob if len(blob) <= INLINE_MAX else None
        name = None if inline else self._files.write(POPULARITY, update.epoch, update.trained_events, sha256, blob)
        self._popularity_ms, self._popularity_number, self._popularity_trained = now_ms, stream.number, stream.trained
        self._popularity.inc()
        announcement = Announcement(
            update.epoch,
            update.trained_events,
            POPULARITY,
            self._base_sha256,
            name,
            inline,
            sha256,
            stream.tower.n_items,
            wall_clock_ms(),
        )
        return rows.announcement(POPULARITY.encode(), encode_announcement(announcement))
