"""A made-up world to test the operators and the job on: records good and bad, item snapshots, announcements."""

import json
from typing import Any

import numpy as np

from models.examples import Example, encode_example
from models.hashing import hash_id
from models.item_table import CLASSES, Popularity
from models.records import Reason
from models.settings import ModelSettings
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

NOW_MS = 1_760_000_000_000
MODEL = ModelSettings(dimension=8, negatives=10, top_k=5)
ITEMS = tuple(f"i{n}" for n in range(30))


def interaction(event_id: str, user_id: str = "u1", item_id: str | None = "i0", **fields: Any) -> bytes:
    """A view of the item at NOW_MS, unless the fields say otherwise; a field that is None is left out."""
    record = {
        "event_id": event_id,
        "user_id": user_id,
        "item_id": item_id,
        "event_type": "view",
        "event_time_ms": NOW_MS,
    }
    return json.dumps({name: v for name, v in (record | fields).items() if v is not None}).encode()


def item(item_id: str, **fields: Any) -> bytes:
    return json.dumps({"item_id": item_id} | fields).encode()


def bad_interactions(now_ms: int = NOW_MS) -> dict[str, tuple[bytes | None, bytes | None, Reason]]:
    """What is wrong → key, value and the reason it must be rejected with; the records are fine but for that."""

    def bad(reason: Reason, value: bytes | None = None, key: bytes | None = b"u1", **fields: Any) -> tuple:
        good = {"event_time_ms": now_ms} | fields
        return key, value if value is not None else interaction(**{"event_id": "bad"} | good), reason

    return {
        "null value": (b"u1", None, Reason.NULL_VALUE),
        "oversized": bad(Reason.OVERSIZED, context="x" * 65_536),
        "not UTF-8": bad(Reason.NOT_UTF8, b"\xff\x00{"),
        "not UTF-8 in an id": bad(Reason.NOT_UTF8, interaction("bad").replace(b'"i0"', b'"\xfe"')),
        "empty value": bad(Reason.MALFORMED_JSON, b""),
        "malformed JSON": bad(Reason.MALFORMED_JSON, b'{"event_id": "bad",'),
        "deeply nested": bad(Reason.MALFORMED_JSON, b"[" * 30_000),
        "not an object": bad(Reason.NOT_AN_OBJECT, b'["event_id"]'),
        "no event_id": bad(Reason.MISSING_FIELD, event_id=None),
        "no user_id": bad(Reason.MISSING_FIELD, user_id=None),
        "no item_id": bad(Reason.MISSING_FIELD, item_id=None),
        "no event_type": bad(Reason.MISSING_FIELD, event_type=None),
        "no event_time_ms": bad(Reason.MISSING_FIELD, event_time_ms=None),
        "user_id is a number": bad(Reason.INVALID_FIELD, user_id=5),
        "item_id is empty": bad(Reason.INVALID_FIELD, item_id=""),
        "event_id is too long": bad(Reason.INVALID_FIELD, event_id="e" * 513),
        "event_time_ms is text": bad(Reason.INVALID_FIELD, event_time_ms=str(now_ms)),
        "event_time_ms is true": bad(Reason.INVALID_FIELD, event_time_ms=True),
        "event_time_ms is negative": bad(Reason.INVALID_FIELD, event_time_ms=-1),
        "value is text": bad(Reason.INVALID_FIELD, interaction("bad", event_time_ms=now_ms, value="5")),
        "value is NaN": bad(Reason.NON_FINITE, interaction("bad", event_time_ms=now_ms, value=float("nan"))),
        "value is 1e999": bad(Reason.NON_FINITE, interaction("bad").replace(b'"view"', b'"view", "value": 1e999')),
        "unknown event_type": bad(Reason.UNKNOWN_EVENT_TYPE, event_type="stare"),
        "event_type is a list": bad(Reason.UNKNOWN_EVENT_TYPE, event_type=["view"]),
        "another schema": bad(Reason.UNSUPPORTED_VERSION, schema_version=2),
        "six minutes in the future": bad(Reason.FUTURE_TIME, event_time_ms=now_ms + 360_000),
        "no key": bad(Reason.NO_KEY, key=None),
        "another user's key": bad(Reason.KEY_MISMATCH, key=b"u2"),
        "key is not UTF-8": bad(Reason.KEY_MISMATCH, key=b"\xff\xfe\x00"),
        "empty key": bad(Reason.KEY_MISMATCH, key=b""),
    }


def bad_items() -> dict[str, tuple[bytes | None, bytes | None, Reason]]:
    """What is wrong → key, value and the reason it must be rejected with."""
    return {
        "neither key nor value": (None, None, Reason.NULL_VALUE),
        "tombstone of no text": (b"\xff", None, Reason.NOT_UTF8),
        "malformed JSON": (b"i1", b"{", Reason.MALFORMED_JSON),
        "not UTF-8": (b"i1", b"\xff\x00{", Reason.NOT_UTF8),
        "not an object": (b"i1", b"1", Reason.NOT_AN_OBJECT),
        "oversized": (b"i1", item("i1", text="x" * 65_536), Reason.OVERSIZED),
        "no item_id": (b"i1", b"{}", Reason.MISSING_FIELD),
        "tags are text": (b"i1", item("i1", tags="a"), Reason.INVALID_FIELD),
        "a number is text": (b"i1", item("i1", numbers={"year": "1999"}), Reason.INVALID_FIELD),
        "a number is infinite": (b"i1", item("i1", numbers={"year": float("inf")}), Reason.NON_FINITE),
        "another item's key": (b"i2", item("i1"), Reason.KEY_MISMATCH),
    }


def snapshot(trained_events: int = 0, seed: int = 0, items: tuple[str, ...] = ITEMS) -> bytes:
    """The bytes of a full snapshot of these items; other seeds give other vectors."""
    n, n_half_lives = len(items), 2
    popularity = Popularity(
        counts=np.ones((n, n_half_lives)),
        cold=np.zeros(n, np.bool_),
        cold_counts=np.zeros(n_half_lives, np.float32),
        alpha=np.ones((CLASSES, n_half_lives), np.float32),
        gamma=np.ones(CLASSES, np.float32),
        floor=0.01,
    )
    vectors = np.random.default_rng(seed).normal(size=(n, MODEL.dimension)).astype(np.float32)
    hashes = np.array([hash_id(item_id) for item_id in items])
    everything = (np.ones(n, np.bool_), hashes, vectors, np.zeros(n, np.float32), items, items, items)
    return encode_snapshot(SnapshotRows(FULL, 0, trained_events, popularity, *everything, **nothing_beside(n)))


def nothing_beside(n: int) -> dict[str, Any]:
    """What n whole rows of a snapshot have of contents and neighbours: nothing."""
    return {
        "content": np.zeros((n, 0), np.float16),
        "neighbour_rows": np.zeros((n, 0), np.int32),
        "neighbour_weights": np.zeros((n, 0), np.float32),
        "beta": np.zeros((2, CLASSES), np.float32),
    }


def delta(trained_events: int, row: int, value: float) -> bytes:
    """The bytes of a delta that gives one row of `snapshot()` a vector of this number."""
    popularity = Popularity(
        counts=np.ones((1, 2)),
        cold=np.zeros(1, np.bool_),
        cold_counts=np.zeros(2, np.float32),
        alpha=np.ones((CLASSES, 2), np.float32),
        gamma=np.ones(CLASSES, np.float32),
        floor=0.01,
    )
    vectors = np.full((1, MODEL.dimension), value, np.float32)
    name = (ITEMS[row],)
    whole = (np.ones(1, np.bool_), np.array([hash_id(ITEMS[row])]), vectors, np.zeros(1, np.float32), name, name, name)
    beside = nothing_beside(1)
    return encode_snapshot(SnapshotRows(DELTA, 0, trained_events, popularity, *whole, **beside, rows=np.array([row])))


def popularity_update(trained_events: int, row: int, count: float) -> bytes:
    """The bytes of an update that gives one row of `snapshot()` another count."""
    popularity = Popularity(
        counts=np.full((1, 2), count),
        cold=np.zeros(1, np.bool_),
        cold_counts=np.zeros(2, np.float32),
        alpha=np.ones((CLASSES, 2), np.float32),
        gamma=np.ones(CLASSES, np.float32),
        floor=0.01,
    )
    nothing = (np.zeros(0, np.int64), np.zeros((0, MODEL.dimension), np.float32), np.zeros(0, np.float32), (), (), ())
    beside = nothing_beside(0)
    named = np.array([row])
    return encode_snapshot(
        SnapshotRows(POPULARITY, 0, trained_events, popularity, np.ones(1, np.bool_), *nothing, **beside, rows=named)
    )


def announcement(
    blob: bytes, trained_events: int, *, kind: str = FULL, base: bytes | None = None, file: str | None = None
) -> Announcement:
    """The announcement of a snapshot in a file of that name, or inline."""
    base_sha256 = digest(base) if base is not None else ""
    inline = blob if file is None else None
    return Announcement(
        0, trained_events, kind, base_sha256, file, inline, digest(blob), len(ITEMS), NOW_MS + trained_events
    )


def announced(announcement: Announcement) -> tuple[bytes, bytes]:
    """A row of `item-snapshots`."""
    key = announcement.sha256 if announcement.kind == DELTA else announcement.kind
    return key.encode(), encode_announcement(announcement)


def example(n: int, item_id: str, kafka_ms: int = NOW_MS) -> bytes:
    """The n-th of a row of examples, by one of five users."""
    rng = np.random.default_rng(n)
    return encode_example(
        Example(
            user=hash_id(f"u{n % 5}"),
            activity=n % CLASSES,
            positive=hash_id(item_id),
            item_id=item_id,
            kafka_ms=kafka_ms,
            weight=1.0,
            embedding=rng.normal(size=MODEL.dimension).astype(np.float32),
            recent_weights=rng.random(3).astype(np.float32),
            recent=np.array([hash_id(ITEMS[(n + m) % len(ITEMS)]) for m in range(3)]),
            consumed=rng.integers(0, 65_536, 6).astype(np.uint16),
        )
    )
