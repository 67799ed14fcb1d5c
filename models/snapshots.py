"""Item snapshots as bytes: the full snapshot file, the delta, the popularity update, and the announcement that makes
each of them valid.

A snapshot is safetensors (no pickle; read by numpy, torch and many others) with these tensors, I items, F half-lives, 7
activity classes:

    count (I,F) f64   unit (F,) f64   available (I,) u8   cold (I,) u8   cold_counts (F,) f32
    alpha (7,F) f32   gamma (7,) f32   beta (2,7) f32
    hash (I,) int64   vector (I,k) f32   bias (I,) f32
    content (I,c) f16   neighbour_row (I,N) int32, -1 where there is none   neighbour_weight (I,N) f32
    id_bytes, id_end; title_bytes, title_end; category_bytes, category_end      UTF-8 text, end offsets (I,) int64
    row (I,) int64                                                              deltas and popularity updates only

    full         every row
    delta        what changed since the full snapshot or delta before it: rows touched since (`row`, their rows in that
                 snapshot), then the new rows (`row` -1), all of them whole
    popularity   the counts, cold flags and availability that changed since the latest full snapshot or delta (`row`),
                 then the new rows (`row` -1); of the tensors of the third line on it holds the new rows alone

An item has been met count / unit times, each time faded since: the unit grows with every event instead of all counts
being multiplied, so a count that nobody names fades by the unit alone, and base + delta is bit for bit the full
snapshot of the same moment. Rows keep their numbers from one full snapshot to the next. A cold item has next to no
events of its own; `cold_counts` are added to its counts so that it is seen.

The same state gives the same bytes: no file knows the time. The announcement (JSON, a record of `item-snapshots`) does.
Version 1 knew neither deltas nor units; its files are still read.
"""

import base64
import hashlib
import re
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from models.item_table import CLASSES, ItemTable, Popularity, make_item_table, with_popularity
from models.learning import Floats, Ints
from models.records import TIME_END_MS
from models.shown import shown
from models.snapshot_checks import require_facts, require_tensors, require_version_1
from models.tensor_bytes import InvalidTensors, Tensors, decode_tensors, encode_tensors

FORMAT: Final = "livetower-item-snapshot-2"
FORMAT_1: Final = "livetower-item-snapshot-1"
FULL: Final = "full"
DELTA: Final = "delta"
POPULARITY: Final = "popularity"
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}")
"""What `operators/snapshot_files.py` writes, and nothing that a file system or a store could take for more."""


class InvalidSnapshot(ValueError):
    """A snapshot or announcement that must not be used."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """A record of `item-snapshots`: from now on these bytes are valid. Exactly one of `file` and `inline` is set."""

    epoch: int
    trained_events: int
    kind: str  # full | delta | popularity
    base_sha256: str  # delta, popularity: the full snapshot or delta it applies to; '' for a full one
    file: str | None  # name of the file, relative to the snapshot root
    inline: bytes | None
    sha256: str
    items: int
    created_ms: int
    shed: str = "nothing"  # what the tower goes without to keep up (tower_stream.Shed)


@dataclass(frozen=True, slots=True, eq=False)
class SnapshotRows:
    """The content of a snapshot: I rows, of which W are whole. All are in a full one and in a delta; in a popularity
    update the new rows are, which stand last.
    """

    kind: str
    epoch: int
    trained_events: int
    popularity: Popularity  # of I items
    available: NDArray[np.bool_]  # (I,)
    hashes: Ints  # (W,)
    vectors: Floats  # (W, k)
    biases: Floats  # (W,)
    ids: tuple[str, ...]
    titles: tuple[str, ...]
    categories: tuple[str, ...]
    content: NDArray[np.float16]  # (W, c)
    neighbour_rows: NDArray[np.int32]  # (W, N)
    neighbour_weights: Floats  # (W, N)
    beta: Floats  # (2, CLASSES)
    rows: Ints | None = None  # (I,) in the base, -1 for new ones; None in a full snapshot


def digest(blob: bytes) -> str:
    """sha256 in hex."""
    return hashlib.sha256(blob).hexdigest()


# ---- snapshot <-> bytes --------------------------------------------------------------------------


def encode_snapshot(rows: SnapshotRows) -> bytes:
    """The bytes of a snapshot of any kind."""
    popularity = rows.popularity
    tensors: Tensors = {
        "count": popularity.counts.astype(np.float64),
        "unit": popularity.unit,
        "available": rows.available.astype(np.uint8),
        "cold": popularity.cold.astype(np.uint8),
        "cold_counts": popularity.cold_counts,
        "alpha": popularity.alpha,
        "gamma": popularity.gamma,
        "beta": rows.beta,
        "hash": rows.hashes,
        "vector": rows.vectors,
        "bias": rows.biases,
        "content": rows.content,
        "neighbour_row": rows.neighbour_rows,
        "neighbour_weight": rows.neighbour_weights,
    }
    for name, texts in (("id", rows.ids), ("title", rows.titles), ("category", rows.categories)):
        tensors[f"{name}_bytes"], tensors[f"{name}_end"] = _pack_texts(texts)
    if rows.rows is not None:
        tensors["row"] = rows.rows
    facts = {"kind": rows.kind, "epoch": rows.epoch, "trained_events": rows.trained_events, "floor": popularity.floor}
    return encode_tensors(FORMAT, facts, tensors)


def decode_snapshot(blob: bytes) -> SnapshotRows:
    """The content of a snapshot's bytes. Raises InvalidSnapshot on bytes of another kind or version and on tensors that
    do not fit each other or hold numbers that nothing can be ranked with (`snapshot_checks.py`).
    """
    try:
        facts, tensors = decode_tensors(FORMAT, blob, FORMAT_1)
        if facts["format"] == FORMAT_1:
            require_version_1(tensors)
            _complete_version_1(facts, tensors)
        require_facts(facts)
        require_tensors(facts["kind"], tensors)
        ids, titles, categories = (
            _unpack_texts(tensors[f"{name}_bytes"], tensors[f"{name}_end"]) for name in ("id", "title", "category")
        )
        return SnapshotRows(
            kind=facts["kind"],
            epoch=facts["epoch"],
            trained_events=facts["trained_events"],
            popularity=Popularity(
                counts=tensors["count"],
                cold=tensors["cold"].astype(np.bool_),
                cold_counts=tensors["cold_counts"],
                alpha=tensors["alpha"],
                gamma=tensors["gamma"],
                floor=facts["floor"],
                unit=tensors["unit"],
            ),
            available=tensors["available"].astype(np.bool_),
            hashes=tensors["hash"],
            vectors=tensors["vector"],
            biases=tensors["bias"],
            ids=ids,
            titles=titles,
            categories=categories,
            content=tensors["content"],
            neighbour_rows=tensors["neighbour_row"],
            neighbour_weights=tensors["neighbour_weight"],
            beta=tensors["beta"],
            rows=tensors.get("row"),
        )
    except (InvalidTensors, UnicodeDecodeError) as error:
        raise InvalidSnapshot(f"not an item snapshot: {error}") from error


def _complete_version_1(facts: dict[str, Any], tensors: Tensors) -> None:
    """Version 1 had float32 counts in events, and updates told how far the others had decayed."""
    decay = tensors.pop("decay", None)  # (F,)
    n_half_lives = tensors["popularity"].shape[1]
    facts["kind"] = FULL if decay is None else POPULARITY
    tensors["unit"] = np.ones(n_half_lives) if decay is None else 1 / decay.astype(np.float64)
    tensors["count"] = tensors.pop("popularity") * tensors["unit"]
    n = len(tensors["hash"])
    tensors["content"], tensors["neighbour_row"] = np.zeros((n, 0), np.float16), np.zeros((n, 0), np.int32)
    tensors["neighbour_weight"], tensors["beta"] = np.zeros((n, 0), np.float32), np.zeros((2, CLASSES), np.float32)


def _pack_texts(texts: tuple[str, ...]) -> tuple[NDArray[np.uint8], Ints]:
    encoded = [text.encode() for text in texts]
    return np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([len(text) for text in encoded], dtype=np.int64)


def _unpack_texts(packed: NDArray[np.uint8], ends: Ints) -> tuple[str, ...]:
    blob, start, texts = packed.tobytes(), 0, []
    for end in ends.tolist():
        texts.append(blob[start:end].decode())
        start = end
    return tuple(texts)


# ---- snapshot -> table ---------------------------------------------------------------------------


def table_of(rows: SnapshotRows, sha256: str, created_ms: int) -> ItemTable:
    """The table of a full snapshot. Raises InvalidSnapshot for a delta or an update."""
    if rows.rows is not None:
        raise InvalidSnapshot(f"a snapshot of the kind {rows.kind} is no table of its own")
    _require_neighbours_within(rows.neighbour_rows, len(rows.hashes))
    return make_item_table(
        epoch=rows.epoch,
        trained_events=rows.trained_events,
        created_ms=created_ms,
        sha256=sha256,
        hashes=rows.hashes,
        vectors=rows.vectors,
        biases=rows.biases,
        available=rows.available,
        ids=rows.ids,
        titles=rows.titles,
        categories=rows.categories,
        content=rows.content,
        neighbour_rows=rows.neighbour_rows,
        neighbour_weights=rows.neighbour_weights,
        beta=rows.beta,
        popularity=rows.popularity,
    )


def updated(base: ItemTable, update: SnapshotRows, created_ms: int) -> ItemTable:
    """The table of a full snapshot or delta, `base`, with a popularity update applied; `base` stays as it is. Raises
    InvalidSnapshot.
    """
    if update.kind != POPULARITY or update.rows is None:
        raise InvalidSnapshot(f"a popularity update was needed; got a snapshot of the kind {update.kind}")
    known, new = _known_and_new(base, update.rows)
    popularity, available = _changed_popularity(base, update, known)
    if not new and np.array_equal(available, base.available):
        return replace(with_popularity(base, popularity, update.trained_events, created_ms), beta=update.beta)
    _require_neighbours_within(update.neighbour_rows, len(available))
    return make_item_table(
        epoch=update.epoch,
        trained_events=update.trained_events,
        created_ms=created_ms,
        sha256=base.sha256,
        available=available,
        popularity=popularity,
        beta=update.beta,
        ids=base.ids + update.ids,
        titles=base.titles + update.titles,
        categories=base.categories + update.categories,
        **{name: _changed(base, update, name, known[:0]) for name in WHOLE},
    )


def with_delta(base: ItemTable, delta: SnapshotRows, sha256: str, created_ms: int) -> ItemTable:
    """The table of the full snapshot or delta `base` with the next delta, of this digest, applied; `base` stays as it
    is. It is the table of a full snapshot of the delta's moment. Raises InvalidSnapshot.
    """
    if delta.kind != DELTA or delta.rows is None:
        raise InvalidSnapshot(f"a delta was needed; got a snapshot of the kind {delta.kind}")
    known, _ = _known_and_new(base, delta.rows)
    popularity, available = _changed_popularity(base, delta, known)
    _require_neighbours_within(delta.neighbour_rows, len(available))
    return make_item_table(
        epoch=delta.epoch,
        trained_events=delta.trained_events,
        created_ms=created_ms,
        sha256=sha256,
        available=available,
        popularity=popularity,
        beta=delta.beta,
        ids=_changed_texts(base.ids, delta.ids, known),
        titles=_changed_texts(base.titles, delta.titles, known),
        categories=_changed_texts(base.categories, delta.categories, known),
        **{name: _changed(base, delta, name, known) for name in WHOLE},
    )


WHOLE: Final = ("hashes", "vectors", "biases", "content", "neighbour_rows", "neighbour_weights")
"""What a whole row has of numbers, beside its popularity and availability."""


def _known_and_new(base: ItemTable, rows: Ints) -> tuple[Ints, int]:
    """Rows of the base that an update names, and how many new ones stand after them."""
    known = rows[: int((rows >= 0).sum())]
    if len(known) and known.max() >= len(base.hashes):
        raise InvalidSnapshot(f"the update names row {known.max()} of a snapshot with {len(base.hashes)} rows")
    return known, len(rows) - len(known)


def _changed_popularity(base: ItemTable, update: SnapshotRows, known: Ints) -> tuple[Popularity, NDArray[np.bool_]]:
    """Popularity and availability of all rows after the update."""
    news = update.popularity
    counts = _put(base.popularity.counts, news.counts, known)
    popularity = replace(news, counts=counts, cold=_put(base.popularity.cold, news.cold, known))
    return popularity, _put(base.available, update.available, known)


def _changed(base: ItemTable, update: SnapshotRows, name: str, known: Ints) -> NDArray[Any]:
    one, other = getattr(base, name), getattr(update, name)
    if one.shape[1:] != other.shape[1:]:
        raise InvalidSnapshot(
            f"snapshot {update.epoch}-{update.trained_events}: {name} of the base have the shape {one.shape[1:]}; "
            f"got {other.shape[1:]}"
        )
    return _put(one, other, known)


def _put(array: NDArray[Any], rows: NDArray[Any], known: Ints) -> NDArray[Any]:
    """A copy of the array with rows at the places `known`, and the rest of them after its end."""
    result: NDArray[Any] = np.concatenate([array, rows[len(known) :]])
    result[known] = rows[: len(known)]
    return result


def _changed_texts(texts: tuple[str, ...], rows: tuple[str, ...], known: Ints) -> tuple[str, ...]:
    result = [*texts, *rows[len(known) :]]
    for row, text in zip(known.tolist(), rows, strict=False):
        result[row] = text
    return tuple(result)


def _require_neighbours_within(neighbour_rows: NDArray[np.int32], n: int) -> None:
    """Kernels read the rows that these name without another look."""
    if neighbour_rows.size and not -1 <= neighbour_rows.min() <= neighbour_rows.max() < n:
        raise InvalidSnapshot(f"neighbour_row must be in [-1, {n}); got {neighbour_rows.min()}, {neighbour_rows.max()}")


# ---- announcements -------------------------------------------------------------------------------


def encode_announcement(announcement: Announcement) -> bytes:
    """The value of a record on `item-snapshots`."""
    a = announcement
    record = {
        "epoch": a.epoch,
        "trained_events": a.trained_events,
        "kind": a.kind,
        "base_sha256": a.base_sha256,
        "sha256": a.sha256,
        "items": a.items,
        "created_ms": a.created_ms,
        "shed": a.shed,
    }
    if a.inline is None:
        return orjson.dumps(record | {"file": a.file})
    return orjson.dumps(record | {"inline": base64.b64encode(a.inline).decode()})


def decode_announcement(value: bytes | None) -> Announcement:
    """The announcement in a Kafka value. Raises InvalidSnapshot; inline bytes are checked against their digest."""
    try:
        record = orjson.loads(value or b"")
        inline = base64.b64decode(record["inline"], validate=True) if "inline" in record else None
        announcement = Announcement(
            epoch=record["epoch"],
            trained_events=record["trained_events"],
            kind=record["kind"],
            base_sha256=record["base_sha256"],
            file=None if inline is not None else record["file"],
            inline=inline,
            sha256=record["sha256"],
            items=record["items"],
            created_ms=record["created_ms"],
            shed=record.get("shed", "nothing"),  # version 1 did not say
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidSnapshot(f"not an announcement of an item snapshot: {error!r}") from error
    a = announcement
    numbers = (a.epoch, a.trained_events, a.items, a.created_ms)
    texts = (a.base_sha256, a.sha256, a.shed, *((a.file,) if inline is None else ()))
    if not all(type(number) is int for number in numbers) or not all(isinstance(text, str) for text in texts):
        raise InvalidSnapshot(f"announcement {shown(a.epoch)}-{shown(a.trained_events)}: a field has the wrong type")
    if min(numbers) < 0 or max(numbers[:-1]) >= 2**63 or a.created_ms >= TIME_END_MS:
        raise InvalidSnapshot(f"announcement {a.epoch}-{a.trained_events}: a number lies out of its range")
    if a.kind not in (FULL, DELTA, POPULARITY):
        raise InvalidSnapshot(
            f"announcement {a.epoch}-{a.trained_events}: kind must be full, delta or popularity; got {shown(a.kind)}"
        )
    if a.file is not None and not _PLAIN_NAME.fullmatch(a.file):
        raise InvalidSnapshot(
            f"announcement {a.epoch}-{a.trained_events}: file must be a plain name of at most 255 letters, digits, "
            f"dots and dashes; got {shown(a.file)}"
        )
    if inline is not None:
        require_digest(inline, a)
    return announcement


def require_digest(blob: bytes, announcement: Announcement) -> None:
    """Raise InvalidSnapshot unless these are the announced bytes."""
    if digest(blob) != announcement.sha256:
        raise InvalidSnapshot(
            f"snapshot {announcement.epoch}-{announcement.trained_events}: the bytes are not those announced "
            f"(sha256 {announcement.sha256[:12]}… was needed; got {digest(blob)[:12]}…)"
        )
