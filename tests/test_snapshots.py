"""Snapshots: the same table on both sides, an update equals a full snapshot of the same moment, and what is refused."""

import base64
import hashlib
import json
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from worlds import MODEL, TOWER, event, example, example_input, feed, item_input, replay, tower_inputs

from models.item_table import ItemTable, Popularity
from models.publishing import SnapshotBase, delta_since, full_snapshot, popularity_update
from models.snapshots import (
    DELTA,
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
    with_delta,
)
from models.tower_stream import TowerStream


def trained(n: int = 300) -> TowerStream:
    return feed(TowerStream(MODEL, TOWER), tower_inputs(n))


def full(stream: TowerStream) -> SnapshotRows:
    return full_snapshot(stream.tower, 0, stream.trained)[0]


def through_bytes(rows: SnapshotRows) -> SnapshotRows:
    return decode_snapshot(encode_snapshot(rows))


def assert_same_table(one: ItemTable, other: ItemTable, *without: str) -> None:
    """All but digest and time, bit for bit; a popularity update leaves the vectors of known rows, too."""
    for field in fields(ItemTable):
        if field.name not in ("popularity", "sha256", "created_ms", "arrays", *without):
            assert np.array_equal(getattr(one, field.name), getattr(other, field.name)), field.name
    for name, array in one.arrays._asdict().items():
        if name not in without:
            assert np.array_equal(array, getattr(other.arrays, name)), name
    for field in fields(Popularity):
        assert np.array_equal(getattr(one.popularity, field.name), getattr(other.popularity, field.name)), field.name


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
    rows, base = full_snapshot(stream.tower, 0, stream.trained)
    vectors = rows.vectors.copy()
    table = table_of(through_bytes(rows), "digest", 1)
    feed(stream, inputs[300:])
    if more > 100:
        feed(stream, [item_input(rows.ids[int(np.argmax(rows.available))], available=False)])
    update = popularity_update(stream.tower, base, 0, stream.trained)
    assert update is not None
    result = updated(table, through_bytes(update), 2)
    now = table_of(full(stream), "digest", 2)
    assert_same_table(result, now, "vectors", "biases", "content", "neighbour_rows", "neighbour_weights")
    assert np.array_equal(result.vectors[: base.n], vectors)  # vectors of known rows wait for the next full one
    assert np.array_equal(result.vectors[base.n :], now.vectors[base.n :])
    assert (result.sha256, result.created_ms) == ("digest", 2)
    if more > 100:
        assert len(now.ids) > base.n
        assert not np.array_equal(now.available[: base.n], table.available)


def test_an_update_leaves_the_table_it_applies_to_alone() -> None:
    stream = trained()
    rows, base = full_snapshot(stream.tower, 0, stream.trained)
    table = table_of(through_bytes(rows), "", 1)
    before = (table.log_popularity.copy(), table.available.copy())
    feed(stream, tower_inputs(90, seed=5, n_items=60))
    update = popularity_update(stream.tower, base, 0, 0)
    assert update is not None
    updated(table, update, 2)
    assert np.array_equal(table.log_popularity, before[0])
    assert np.array_equal(table.available, before[1])


def test_a_user_can_be_recommended_an_item_that_only_the_update_brought() -> None:
    stream = trained()
    rows, base = full_snapshot(stream.tower, 0, stream.trained)
    stream.accept(item_input("brand new"))
    update = popularity_update(stream.tower, base, 0, 0)
    assert update is not None
    table = updated(table_of(rows, "", 1), through_bytes(update), 2)
    result = replay([event(1, "i1")], table, replace(MODEL, top_k=200))[-1]
    assert result.recommendation is not None
    assert "brand new" in {i.item_id for i in result.recommendation.items}


# ---- deltas --------------------------------------------------------------------------------------

SMALL = replace(TOWER, batch=3, max_items=100, half_lives=(0.1, 1_000.0), cold_events=2)


class Reader:
    """Follows a tower by what it publishes, and holds each table against a full snapshot of that moment."""

    def __init__(self) -> None:
        self.stream = TowerStream(MODEL, SMALL)
        self.base: SnapshotBase | None = None
        self.chain: ItemTable | None = None  # the latest full snapshot with its deltas
        self.kinds: list[str] = []

    def publish(self, kind: str) -> None:
        tower, trained = self.stream.tower, self.stream.trained
        if kind == POPULARITY and self.base is not None and self.chain is not None:
            update = popularity_update(tower, self.base, 0, trained)
            if update is not None:
                result = updated(self.chain, through_bytes(update), 2)
                n = len(self.chain.hashes)
                assert np.array_equal(result.vectors[:n], self.chain.vectors)
                self._compare(result, POPULARITY, "vectors", "biases", "titles", "categories")
            return
        made = delta_since(tower, self.base, 0, trained) if kind == DELTA and self.base is not None else None
        if made is not None and self.chain is not None:
            rows, self.base = made
            self.chain = with_delta(self.chain, through_bytes(rows), "digest", 2)
        else:
            rows, self.base = full_snapshot(tower, 0, trained)
            self.chain = table_of(through_bytes(rows), "digest", 2)
        self._compare(self.chain, rows.kind)

    def _compare(self, table: ItemTable, kind: str, *without: str) -> None:
        self.kinds.append(kind)
        now = table_of(through_bytes(full(self.stream)), "digest", 2)
        assert_same_table(table, now, *without)
        if not without and len(table.candidates):
            events = [event(1, "i1"), event(2, "i7")]
            assert replay(events, table)[-1].recommendation == replay(events, now)[-1].recommendation


def told(reader: Reader, step: tuple[str, int]) -> None:
    """One step of a story: learn a few examples, list or withdraw an item, list many (which evicts), or publish."""
    what, n = step
    made = (example_input(example(f"u{at % 5}", f"i{(at * at) % 40}", seed=at)) for at in range(n, n + 7))
    if what == "learn":
        feed(reader.stream, made)
    elif what == "list":
        feed(reader.stream, [item_input(f"i{n}", title=f"title {n}", category="ключ"[: n % 5])])
    elif what == "withdraw":
        feed(reader.stream, [item_input(f"i{n}", available=False)])
    elif what == "evict":
        feed(reader.stream, [item_input(f"many {n} {at}") for at in range(90)])
    else:
        reader.publish(what)


STEPS = st.sampled_from(("learn", "learn", "list", "withdraw", "evict", FULL, DELTA, DELTA, POPULARITY))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(STEPS, st.integers(0, 60)), max_size=25))
def test_a_chain_of_deltas_is_the_full_snapshot_of_the_same_moment_bit_for_bit(steps: list[tuple[str, int]]) -> None:
    reader = Reader()
    for step in [*steps, (DELTA, 0), ("learn", 3), (POPULARITY, 0), (DELTA, 0)]:
        told(reader, step)
    assert reader.kinds[-1] in (DELTA, FULL)


def test_such_chains_hold_deltas_new_rows_and_rescaled_counts() -> None:
    reader = Reader()
    for step in [("evict", 0), (FULL, 0), ("learn", 5), (DELTA, 0), ("list", 3), (DELTA, 0), (POPULARITY, 0)]:
        told(reader, step)
    generation = reader.stream.tower.generation
    for n in range(14):  # 98 events: past 2^930
        told(reader, ("learn", n))
        told(reader, (DELTA, 0))
    assert reader.kinds[:4] == [FULL, DELTA, DELTA, POPULARITY]
    assert reader.stream.tower.generation > generation
    assert reader.kinds[4:].count(FULL) >= 1


def test_a_delta_holds_the_rows_that_changed_and_no_others() -> None:
    stream = feed(TowerStream(MODEL, SMALL), [item_input(f"i{n}") for n in range(30)])
    rows, base = full_snapshot(stream.tower, 0, 0)
    feed(stream, [item_input("i4", title="changed"), item_input("new")])
    made = delta_since(stream.tower, base, 0, 0)
    assert made is not None
    delta, base = made
    assert delta.rows is not None
    assert (delta.rows.tolist(), delta.ids) == ([4, -1], ("i4", "new"))
    assert with_delta(table_of(rows, "", 0), delta, "d", 1).titles[4] == "changed"
    again = delta_since(stream.tower, base, 0, 0)
    assert again is not None
    assert again[0].ids == ()


def test_a_delta_brings_contents_neighbours_and_blend_weights_too() -> None:
    rows, base = full_snapshot((stream := trained()).tower, 0, 0)
    n = len(rows.hashes)
    some = {"content": (n, 3, np.float16), "neighbour_rows": (n, 2, np.int32), "neighbour_weights": (n, 2, np.float32)}
    rows = replace(rows, **{name: np.ones((n, width), kind) for name, (n, width, kind) in some.items()})
    table = table_of(through_bytes(rows), "", 0)
    feed(stream, [item_input("i2", title="touched")])
    made = delta_since(stream.tower, base, 0, 0)
    assert made is not None
    twos = {name: np.full((1, width), 2, kind) for name, (_, width, kind) in some.items()}
    delta = replace(made[0], beta=np.full((2, 7), 3, np.float32), **twos)
    result = with_delta(table, through_bytes(delta), "", 0)
    at = delta.rows.tolist()[0] if delta.rows is not None else -1
    for name, (_, width, kind) in some.items():
        expected = np.ones((n, width), kind)
        expected[at] = 2
        assert np.array_equal(getattr(result, name), expected), name
        assert getattr(result, name).dtype == (np.float32 if kind is np.float16 else kind)
    assert (result.beta == 3).all()


def test_a_delta_of_another_shape_is_refused() -> None:
    rows, base = full_snapshot((stream := trained()).tower, 0, 0)
    table = table_of(replace(rows, content=np.ones((len(rows.hashes), 3), np.float16)), "", 0)
    made = delta_since(stream.tower, base, 0, 0)
    assert made is not None
    with pytest.raises(InvalidSnapshot, match="content of the base have the shape"):
        with_delta(table, made[0], "", 0)


@pytest.mark.parametrize("bad", [-2, 10_000])
def test_neighbours_beyond_the_table_are_refused(bad: int) -> None:
    rows = full(trained())
    neighbours = np.full((len(rows.hashes), 2), bad, np.int32)
    with pytest.raises(InvalidSnapshot, match=r"neighbour_row must be in \[-1"):
        table_of(replace(rows, neighbour_rows=neighbours), "", 0)


# ---- refused -------------------------------------------------------------------------------------


def some_update() -> SnapshotRows:
    stream = trained()
    _, base = full_snapshot(stream.tower, 0, 0)
    feed(stream, tower_inputs(30, seed=2))
    update = popularity_update(stream.tower, base, 0, 0)
    assert update is not None
    return update


def test_each_kind_is_taken_for_what_it_is_only() -> None:
    update, rows = some_update(), full(trained())
    with pytest.raises(InvalidSnapshot, match="a delta was needed; got a snapshot of the kind popularity"):
        with_delta(table_of(rows, "", 0), update, "", 0)
    with pytest.raises(InvalidSnapshot, match="is no table of its own"):
        table_of(update, "", 0)
    with pytest.raises(InvalidSnapshot, match="update was needed"):
        updated(table_of(rows, "", 0), rows, 0)


def test_an_update_of_a_larger_base_is_refused() -> None:
    small = table_of(full(feed(TowerStream(MODEL, TOWER), [item_input("i1")])), "", 0)
    with pytest.raises(InvalidSnapshot, match="of a snapshot with 1 rows"):
        updated(small, some_update(), 0)


@pytest.mark.parametrize(
    "name",
    [
        "vector",
        "bias",
        "count",
        "cold_counts",
        "alpha",
        "gamma",
        "beta",
        "unit",
        "content",
        "neighbour_weight",
    ],
)
@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(name: str, poison: float) -> None:
    whole = full(trained())
    n = len(whole.hashes)
    rows = replace(
        whole,
        content=np.ones(whole.vectors.shape, np.float16),
        neighbour_rows=np.full((n, 2), -1, np.int32),
        neighbour_weights=np.ones((n, 2), np.float32),
    )
    tensors = {name: tensor.copy() for name, tensor in load(encode_snapshot(rows)).items()}
    tensors[name].flat[-1] = poison
    facts = {
        "format": "livetower-item-snapshot-2",
        "kind": "full",
        "epoch": 0,
        "trained_events": 5,
        "floor": 0.01,
    }
    with pytest.raises(InvalidSnapshot, match=f"{name} holds numbers that are not finite"):
        decode_snapshot(save(tensors, {"facts": json.dumps(facts)}))


def test_truncated_and_foreign_bytes_are_refused() -> None:
    blob = encode_snapshot(full(trained()))
    other_format = blob.replace(b"livetower-item-snapshot-2", b"livetower-item-snapshot-9")
    foreign = save({"x": np.zeros(3)}, {"facts": json.dumps({"format": "livetower-item-snapshot-2"})})
    broken = [blob[:cut] for cut in (0, 5, 8, 100, len(blob) // 2, len(blob) - 1)]
    for bad in (*broken, other_format, foreign, save({"x": np.zeros(3)}), b"\x02\0\0\0\0\0\0\0[]", b"\xff" * 50):
        with pytest.raises(InvalidSnapshot):
            decode_snapshot(bad)


# ---- announcements -------------------------------------------------------------------------------

IN_A_FILE = Announcement(0, 500, FULL, "", "full-0-500-abc.safetensors", None, "abc", 30, 77)
INLINE = Announcement(1, 600, POPULARITY, "abc", None, b"\0\xffbytes", digest(b"\0\xffbytes"), 30, 78, "negatives")


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
        "shed": "negatives",
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "half"},
        {"kind": ["full"]},
        {"epoch": "0"},
        {"created_ms": True},
        {"sha256": None},
        {"shed": 1},
        {"file": "../elsewhere"},
        {"file": ".hidden"},
        {"file": "/etc/passwd"},
        {"file": "s3://elsewhere/full.safetensors"},
        {"file": "full\0.safetensors"},
        {"file": "full%2f..%2fx"},
        {"file": ""},
        {"file": "f" * 256},
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
