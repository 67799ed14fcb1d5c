"""A full snapshot to pin: what a tower has learned of the first events of the stream."""

from pathlib import Path

from livetower.chaos.stream import ITEM_IDS, MadeUpStream
from models.item_table import ItemTable
from models.prequential import LocalJob
from models.publishing import full_snapshot
from models.records import InvalidRecord, Item, parse_interaction
from models.settings import ModelSettings, TowerSettings
from models.snapshots import decode_snapshot, digest, encode_snapshot, table_of

EVENTS = 2_000
BEGIN_MS, APART_MS = 1_760_000_000_000, 1_000
MAX_BYTES, TOLERANCE_MS = 65_536, 300_000


def write_pinned_snapshot(file: Path, seed: int) -> ItemTable:
    """Write it, and return the table that the job will read from it."""
    stream = MadeUpStream(seed)
    job = LocalJob(ModelSettings(), TowerSettings(), [Item(item_id) for item_id in ITEM_IDS])
    for n in range(EVENTS):
        now_ms = BEGIN_MS + APART_MS * n
        for record in stream.event(now_ms):
            try:
                job.learn(
                    parse_interaction(record.value, now_ms, max_bytes=MAX_BYTES, future_tolerance_ms=TOLERANCE_MS)
                )
            except InvalidRecord:
                continue
    rows, _ = full_snapshot(job.stream.tower, 0, job.stream.trained)
    blob = encode_snapshot(rows)
    file.write_bytes(blob)
    return table_of(decode_snapshot(blob), digest(blob), file.stat().st_mtime_ns // 1_000_000)
