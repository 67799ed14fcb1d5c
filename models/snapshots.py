"""Item snapshots as bytes: the full snapshot file, the popularity update, and the announcement that makes either of
them valid.

A snapshot is safetensors (no pickle; read by numpy, torch and many others) with these tensors, I items, F half-lives, 7
activity classes:

    popularity (I,F) f32   available (I,) u8   cold (I,) u8   cold_counts (F,) f32   alpha (7,F) f32   gamma (7,) f32
    hash (I,) int64   vector (I,k) f32   bias (I,) f32
    id_bytes, id_end; title_bytes, title_end; category_bytes, category_end      UTF-8 text, end offsets (I,) int64
    row (I,) int64   decay (F,) f32                                             popularity updates only

A full snapshot has every row. A popularity update carries all changes since the full snapshot it refers to: how far
every unnamed count has decayed since (`decay`), the rows whose count, cold flag or availability changed (`row`, their
rows in the full snapshot), and then the new rows (`row` -1). Of the second and third line of tensors it holds the new
rows alone: an item's vector, bias and texts change with full snapshots. A cold item has next to no events of its own;
`cold_counts` are added to its counts so that it is seen.

The same state gives the same bytes: neither file knows the time. The announcement (JSON, a record of `item-snapshots`)
does.
"""

import base64
import hashlib
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import orjson
from numpy.typing import NDArray

from models.item_table import ItemTable, Popularity, make_item_table, with_popularity
from models.learning import Floats, Ints
from models.tensor_bytes import InvalidTensors, Tensors, decode_tensors, encode_tensors

FORMAT: Final = "livetower-item-snapshot-1"
FULL: Final = "full"
POPULARITY: Final = "popularity"


class InvalidSnapshot(ValueError):
    """A snapshot or announcement that must not be used."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """A record of `item-snapshots`: from now on these bytes are valid. Exactly one of `file` and `inline` is set."""

    epoch: int
    trained_events: int
    kind: str  # full | popularity
    base_sha256: str  # popularity: the full snapshot it applies to; '' for a full one
    file: str | None  # name of the file, relative to the snapshot root
    inline: bytes | None
    sha256: str
    items: int
    created_ms: int


@dataclass(frozen=True, slots=True, eq=False)
class SnapshotRows:
    """The content of a snapshot; in an update `rows` and `decay` are set, and `hashes` to `categories` hold the new
    rows only.
    """

    epoch: int
    trained_events: int
    popularity: Popularity  # of I items
    available: NDArray[np.bool_]  # (I,)
    hashes: Ints  # (I,)
    vectors: Floats  # (I, k)
    biases: Floats  # (I,)
    ids: tuple[str, ...]
    titles: tuple[str, ...]
    categories: tuple[str, ...]
    rows: Ints | None = None  # (I,)
    decay: Floats | None = None  # (F,)


def digest(blob: bytes) -> str:
    """sha256 in hex."""
    return hashlib.sha256(blob).hexdigest()


# ---- snapshot <-> bytes --------------------------------------------------------------------------


def encode_snapshot(rows: SnapshotRows) -> bytes:
    """The bytes of a full snapshot or of a popularity update."""
    tensors: Tensors = {
        "popularity": rows.popularity.counts,
        "available": rows.available.astype(np.uint8),
        "cold": rows.popularity.cold.astype(np.uint8),
        "cold_counts": rows.popularity.cold_counts,
        "alpha": rows.popularity.alpha,
        "gamma": rows.popularity.gamma,
        "hash": rows.hashes,
        "vector": rows.vectors,
        "bias": rows.biases,
    }
    for name, texts in (("id", rows.ids), ("title", rows.titles), ("category", rows.categories)):
        tensors[f"{name}_bytes"], tensors[f"{name}_end"] = _pack_texts(texts)
    if rows.rows is not None and rows.decay is not None:
        tensors |= {"row": rows.rows, "decay": rows.decay}
    facts = {"epoch": rows.epoch, "trained_events": rows.trained_events, "floor": rows.popularity.floor}
    return encode_tensors(FORMAT, facts, tensors)


def decode_snapshot(blob: bytes) -> SnapshotRows:
    """The content of a snapshot's bytes. Raises InvalidSnapshot on bytes of another kind or version and on numbers that
    are not finite.
    """
    try:
        facts, tensors = decode_tensors(FORMAT, blob)
        ids, titles, categories = (
            _unpack_texts(tensors[f"{name}_bytes"], tensors[f"{name}_end"]) for name in ("id", "title", "category")
        )
        rows = SnapshotRows(
            epoch=facts["epoch"],
            trained_events=facts["trained_events"],
            popularity=Popularity(
                counts=tensors["popularity"],
                cold=tensors["cold"].astype(np.bool_),
                cold_counts=tensors["cold_counts"],
                alpha=tensors["alpha"],
                gamma=tensors["gamma"],
                floor=facts["floor"],
            ),
            available=tensors["available"].astype(np.bool_),
            hashes=tensors["hash"],
            vectors=tensors["vector"],
            biases=tensors["bias"],
            ids=ids,
            titles=titles,
            categories=categories,
            rows=tensors.get("row"),
            decay=tensors.get("decay"),
        )
    except (InvalidTensors, KeyError, UnicodeDecodeError) as error:
        raise InvalidSnapshot(f"not an item snapshot: {error}") from error
    for name in ("popularity", "cold_counts", "alpha", "gamma", "vector", "bias", "decay"):
        if name in tensors and not np.isfinite(tensors[name]).all():
            raise InvalidSnapshot(
                f"snapshot {rows.epoch}-{rows.trained_events}: {name} holds numbers that are not finite"
            )
    return rows


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
    """The table of a full snapshot. Raises InvalidSnapshot for an update."""
    if rows.rows is not None:
        raise InvalidSnapshot("a popularity update is no table of its own")
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
        popularity=rows.popularity,
    )


def updated(base: ItemTable, update: SnapshotRows, created_ms: int) -> ItemTable:
    """The table of the full snapshot `base` with a popularity update applied; `base` stays as it is. Raises
    InvalidSnapshot.
    """
    if update.rows is None or update.decay is None:
        raise InvalidSnapshot("a popularity update was needed; got a full snapshot")
    n_known = int((update.rows >= 0).sum())  # new rows stand last
    at = update.rows[:n_known]
    if n_known and at.max() >= len(base.hashes):
        raise InvalidSnapshot(f"the update names row {at.max()} of a snapshot with {len(base.hashes)} rows")
    counts = base.popularity.counts * update.decay
    cold, available = base.popularity.cold.copy(), base.available.copy()
    counts[at] = update.popularity.counts[:n_known]
    cold[at] = update.popularity.cold[:n_known]
    available[at] = update.available[:n_known]
    popularity = replace(
        update.popularity,
        counts=np.concatenate([counts, update.popularity.counts[n_known:]]),
        cold=np.concatenate([cold, update.popularity.cold[n_known:]]),
    )
    if n_known == len(update.rows) and np.array_equal(available, base.available):
        return with_popularity(base, popularity, update.trained_events, created_ms)
    return make_item_table(
        epoch=update.epoch,
        trained_events=update.trained_events,
        created_ms=created_ms,
        sha256=base.sha256,
        hashes=np.concatenate([base.hashes, update.hashes]),
        vectors=np.concatenate([base.vectors, update.vectors]),
        biases=np.concatenate([base.biases, update.biases]),
        available=np.concatenate([available, update.available[n_known:]]),
        ids=base.ids + update.ids,
        titles=base.titles + update.titles,
        popularity=popularity,
    )


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
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidSnapshot(f"not an announcement of an item snapshot: {error!r}") from error
    a = announcement
    numbers = (a.epoch, a.trained_events, a.items, a.created_ms)
    texts = (a.base_sha256, a.sha256, *((a.file,) if inline is None else ()))
    if not all(type(number) is int for number in numbers) or not all(isinstance(text, str) for text in texts):
        raise InvalidSnapshot(f"announcement {a.epoch!r}-{a.trained_events!r}: a field has the wrong type")
    if a.kind not in (FULL, POPULARITY):
        raise InvalidSnapshot(
            f"announcement {a.epoch}-{a.trained_events}: kind must be full or popularity; got {a.kind!r}"
        )
    if a.file is not None and ("/" in a.file or a.file.startswith(".")):
        raise InvalidSnapshot(f"announcement {a.epoch}-{a.trained_events}: file must be a plain name; got {a.file!r}")
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
