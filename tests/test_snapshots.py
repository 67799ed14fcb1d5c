"""Snapshots: the same table on both sides, an update equals a full snapshot of the same moment, and what is refused."""

import base64
import hashlib
import json
from dataclasses import fields, replace

import numpy as np
import pytest
from safetensors.numpy import load, save
from worlds import MODEL, TOWER, event, feed, item_input, replay, tower_inputs

from models.item_table import ItemTable
from models.snapshots import (
    FULL,
    POPULARITY,
    Announcement,
    InvalidSnapshot,
    SnapshotRows,
    decode_announcement,
    decode_snapshot,
    digest,
    encode_announcement,
    encode_snapshot,
    require_digest,
    table_of,
    updated,
)
from models.tower_stream import TowerStream


def trained(n: int = 300) -> TowerStream:
    return feed(TowerStream(MODEL, TOWER), tower_inputs(n))


def full(stream: TowerStream) -> SnapshotRows:
    return stream.tower.full_snapshot(0, stream.trained)[0]


def through_bytes(rows: SnapshotRows) -> SnapshotRows:
    return decode_snapshot(encode_snapshot(rows))


def assert_same_table(one: ItemTable, other: ItemTable) -> None:
    for name in ("hashes", "available", "candidates", "ids", "titles", "epoch", "trained_events"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    for name in ("cold", "cold_counts", "alpha", "gamma", "floor"):
        assert np.array_equal(getattr(one.popularity, name), getattr(other.popularity, name)), name
    np.testing.assert_allclose(one.popularity.counts, other.popularity.counts, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(one.log_popularity, other.log_popularity, rtol=1e-4, atol=1e-4)


def test_a_snapshot_comes_back_from_its_bytes() -> None:
    rows = full(trained())
    back = through_bytes(rows)
    for field in fields(SnapshotRows):
        one, other = getattr(rows, field.name), getattr(back, field.name)
        if field.name == "popularity":
            for part in fields(type(rows.popularity)):
                assert np.array_equal(getattr(one, part.name), getattr(other, part.name)), part.name
        else:
            assert np.array_equal(one, other) if one is not None else other is None, field.name


def test_texts_of_any_alphabet_come_back() -> None:
    stream = TowerStream(MODEL, TOWER)
    for item_id, title in (("i1", ""), ("ключ", "日本語 🎬"), ("i3", "a\n\0b")):
        stream.accept(item_input(item_id, title=title, category=title[:2]))
    back = through_bytes(full(stream))
    assert back.ids == ("i1", "ключ", "i3")
    assert back.titles == ("", "日本語 🎬", "a\n\0b")
    assert back.categories == ("", "日本", "a\n")


def test_the_same_state_gives_the_same_bytes() -> None:
    assert encode_snapshot(full(trained())) == encode_snapshot(full(trained()))


def test_the_digest_is_sha256() -> None:
    assert digest(b"abc") == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize("more", [0, 1, 40, 120])
def test_an_update_applied_equals_a_full_snapshot_of_the_same_moment(more: int) -> None:
    inputs = tower_inputs(300 + more, n_items=80)
    stream = feed(TowerStream(MODEL, replace(TOWER, content_every=10_000)), inputs[:300])
    rows, base = stream.tower.full_snapshot(0, stream.trained)
    vectors = rows.vectors.copy()
    table = table_of(through_bytes(rows), "digest", 1)
    feed(stream, inputs[300:])
    if more > 100:
        feed(stream, [item_input(rows.ids[int(np.argmax(rows.available))], available=False)])
    update = stream.tower.popularity_update(base, 0, stream.trained)
    assert update is not None
    result = updated(table, through_bytes(update), 2)
    now = table_of(full(stream), "digest", 2)
    assert_same_table(result, now)
    assert np.array_equal(result.vectors[: base.n], vectors)  # vectors of known rows wait for the next full one
    assert np.array_equal(result.vectors[base.n :], now.vectors[base.n :])
    assert (result.sha256, result.created_ms) == ("digest", 2)
    if more > 100:
        assert len(now.ids) > base.n
        assert not np.array_equal(now.available[: base.n], table.available)


def test_an_update_leaves_the_table_it_applies_to_alone() -> None:
    stream = trained()
    rows, base = stream.tower.full_snapshot(0, stream.trained)
    table = table_of(through_bytes(rows), "", 1)
    before = (table.log_popularity.copy(), table.available.copy())
    feed(stream, tower_inputs(90, seed=5, n_items=60))
    update = stream.tower.popularity_update(base, 0, 0)
    assert update is not None
    updated(table, update, 2)
    assert np.array_equal(table.log_popularity, before[0])
    assert np.array_equal(table.available, before[1])


def test_a_user_can_be_recommended_an_item_that_only_the_update_brought() -> None:
    stream = trained()
    rows, base = stream.tower.full_snapshot(0, stream.trained)
    stream.accept(item_input("brand new"))
    update = stream.tower.popularity_update(base, 0, 0)
    assert update is not None
    table = updated(table_of(rows, "", 1), through_bytes(update), 2)
    result = replay([event(1, "i1")], table, replace(MODEL, top_k=200))[-1]
    assert result.recommendation is not None
    assert "brand new" in {i.item_id for i in result.recommendation.items}


# ---- refused -------------------------------------------------------------------------------------


def some_update() -> SnapshotRows:
    stream = trained()
    _, base = stream.tower.full_snapshot(0, 0)
    feed(stream, tower_inputs(30, seed=2))
    update = stream.tower.popularity_update(base, 0, 0)
    assert update is not None
    return update


def test_an_update_is_no_table_and_a_full_snapshot_no_update() -> None:
    update, rows = some_update(), full(trained())
    with pytest.raises(InvalidSnapshot, match="no table of its own"):
        table_of(update, "", 0)
    with pytest.raises(InvalidSnapshot, match="update was needed"):
        updated(table_of(rows, "", 0), rows, 0)


def test_an_update_of_a_larger_base_is_refused() -> None:
    small = table_of(full(feed(TowerStream(MODEL, TOWER), [item_input("i1")])), "", 0)
    with pytest.raises(InvalidSnapshot, match="of a snapshot with 1 rows"):
        updated(small, some_update(), 0)


@pytest.mark.parametrize("name", ["vector", "bias", "popularity", "cold_counts", "alpha", "gamma", "decay"])
@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(name: str, poison: float) -> None:
    rows = some_update()
    stream = trained()
    rows = replace(rows, vectors=full(stream).vectors, biases=full(stream).biases)
    tensors = {name: tensor.copy() for name, tensor in load(encode_snapshot(rows)).items()}
    tensors[name].flat[-1] = poison
    facts = {"format": "livetower-item-snapshot-1", "epoch": 0, "trained_events": 5, "floor": 0.01}
    with pytest.raises(InvalidSnapshot, match=f"{name} holds numbers that are not finite"):
        decode_snapshot(save(tensors, {"facts": json.dumps(facts)}))


def test_truncated_and_foreign_bytes_are_refused() -> None:
    blob = encode_snapshot(full(trained()))
    other_format = blob.replace(b"livetower-item-snapshot-1", b"livetower-item-snapshot-9")
    foreign = save({"x": np.zeros(3)}, {"facts": json.dumps({"format": "livetower-item-snapshot-1"})})
    broken = [blob[:cut] for cut in (0, 5, 8, 100, len(blob) // 2, len(blob) - 1)]
    for bad in (*broken, other_format, foreign, save({"x": np.zeros(3)}), b"\x02\0\0\0\0\0\0\0[]", b"\xff" * 50):
        with pytest.raises(InvalidSnapshot):
            decode_snapshot(bad)


# ---- announcements -------------------------------------------------------------------------------

IN_A_FILE = Announcement(0, 500, FULL, "", "full-0-500-abc.safetensors", None, "abc", 30, 77)
INLINE = Announcement(1, 600, POPULARITY, "abc", None, b"\0\xffbytes", digest(b"\0\xffbytes"), 30, 78)


@pytest.mark.parametrize("announcement", [IN_A_FILE, INLINE])
def test_an_announcement_comes_back_from_its_bytes(announcement: Announcement) -> None:
    assert decode_announcement(encode_announcement(announcement)) == announcement


def test_an_announcement_is_written_as_documented() -> None:
    assert json.loads(encode_announcement(INLINE)) == {
        "epoch": 1,
        "trained_events": 600,
        "kind": "popularity",
        "base_sha256": "abc",
        "inline": base64.b64encode(b"\0\xffbytes").decode(),
        "sha256": hashlib.sha256(b"\0\xffbytes").hexdigest(),
        "items": 30,
        "created_ms": 78,
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "delta"},
        {"kind": ["full"]},
        {"epoch": "0"},
        {"created_ms": True},
        {"sha256": None},
        {"file": "../elsewhere"},
        {"file": ".hidden"},
        {"file": None},
        {"inline": "not base64!"},
        {"inline": base64.b64encode(b"other bytes").decode()},
        {"inline": 5},
    ],
    ids=str,
)
def test_an_announcement_with_a_wrong_field_is_refused(changed: dict) -> None:
    record = json.loads(encode_announcement(IN_A_FILE)) | changed
    with pytest.raises(InvalidSnapshot):
        decode_announcement(json.dumps(record).encode())


@pytest.mark.parametrize(
    "name", ["epoch", "trained_events", "kind", "base_sha256", "file", "sha256", "items", "created_ms"]
)
def test_an_announcement_without_a_field_is_refused(name: str) -> None:
    record = json.loads(encode_announcement(IN_A_FILE))
    del record[name]
    with pytest.raises(InvalidSnapshot):
        decode_announcement(json.dumps(record).encode())


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b'"inline"', b"5", b"\xff"])
def test_bytes_that_are_no_announcement_are_refused(value: bytes | None) -> None:
    with pytest.raises(InvalidSnapshot):
        decode_announcement(value)


def test_bytes_that_were_not_announced_are_refused() -> None:
    require_digest(b"\0\xffbytes", INLINE)
    with pytest.raises(InvalidSnapshot, match="not those announced"):
        require_digest(b"\0\xffbytes.", INLINE)
