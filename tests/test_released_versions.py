"""Bytes that released versions wrote, kept in tests/fixtures: whatever the code becomes, it goes on reading them.

A fixture is never written anew once its version is released. Raising a version adds one.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from worlds import MODEL, TOWER

from models.examples import decode_example, kafka_ms_of_example
from models.features import Slot
from models.hashing import hash_id
from models.records import Item, pack_vectors
from models.snapshots import decode_announcement, decode_snapshot, table_of, updated, with_delta
from models.tower_rows import TowerRows
from models.tower_state import restore_tower
from models.tower_stream import InputKind, TowerInput, TowerStream, decode_input
from models.user_state import UserState, decode_user_state

FIXTURES = Path(__file__).parent / "fixtures"
HALVES = [0.5, -1.0, 1.5, -2.0, 2.5, -3.0, 3.5, -4.0]


def fixture(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def test_a_user_state_of_version_1_is_read() -> None:
    assert decode_user_state(fixture("user_state_1.bin")) == UserState(
        embedding=np.array(HALVES, np.float32),
        accumulator=0.125,
        user_since_ms=1_760_000_000_000,
        user_seq=9,
        positives=3,
        newest_event_ms=1_760_000_060_000,
        late=1,
        no_table=2,
        forgotten=4,
        recent=np.array([-5, 6], np.int64),
        recent_ms=np.array([1_760_000_060_000, 1_760_000_000_000], np.int64),
        consumed=np.array([-5, 6, 7], np.int64),
        consumed_day=np.array([20_000, 20_001, 20_002], np.uint32),
        event_ids=np.array([1, 2, 3], np.int64),
        last_list=np.array([8, 9], np.int64),
    )


def test_a_user_state_of_version_2_is_read() -> None:
    assert decode_user_state(fixture("user_state_2.bin")) == replace(
        decode_user_state(fixture("user_state_1.bin")),
        rating_sum=7.5,
        rating_count=2,
        optimizer=2,
        moments=np.array(HALVES + [0.5] * 8, np.float32),
        steps=6,
    )


def test_an_example_of_version_1_is_read() -> None:
    e = decode_example(fixture("example_1.bin"))
    assert (e.activity, e.user, e.positive, e.kafka_ms, e.weight) == (4, -7, hash_id("i1"), 1_760_000_000_000, 0.5)
    assert (e.embedding.tolist(), e.recent_weights.tolist(), e.recent.tolist()) == (HALVES, [0.75, 0.25], [-5, 6])
    assert (e.consumed.tolist(), e.item_id) == ([1, 65_535, 300], "i1")
    assert (e.target, e.rated, kafka_ms_of_example(fixture("example_1.bin"))) == (1.0, False, 1_760_000_000_000)


def test_an_example_of_version_2_is_read() -> None:
    e = decode_example(fixture("example_2.bin"))
    assert (e.activity, e.user, e.positive, e.kafka_ms, e.weight) == (4, -7, hash_id("i1"), 1_760_000_000_000, -0.5)
    assert (e.embedding.tolist(), e.recent_weights.tolist(), e.recent.tolist()) == (HALVES, [0.75, 0.25], [-5, 6])
    assert (e.consumed.tolist(), e.item_id, e.target, e.rated) == ([1, 65_535, 300], "i1", -1.5, True)
    assert kafka_ms_of_example(fixture("example_2.bin")) == 1_760_000_000_000


def test_a_block_of_version_2_is_read() -> None:
    rows = TowerRows(8, 2, "adam")
    rows.append_block(fixture("block_2.bin"))
    assert (rows.n, rows.hashes[0], rows.events[0], rows.last_event[0]) == (1, hash_id("i1"), 5, 699)
    assert (rows.vectors[0].tolist(), rows.biases[0], rows.counts[0].tolist()) == (HALVES, 0.25, [2.0, 4.0])
    assert (rows.vector_means[0].tolist(), rows.vector_variances[0].tolist()) == (HALVES[::-1], [0.5] * 8)
    assert (rows.bias_means[0], rows.bias_variances[0], rows.steps[0]) == (-0.25, 0.125, 7)


def test_an_input_of_version_1_is_read() -> None:
    assert decode_input(fixture("input_1.bin")) == (513, TowerInput(InputKind.ITEM, b'{"item_id":"i1"}', True))


def test_a_snapshot_and_an_update_of_version_1_are_read() -> None:
    rows = decode_snapshot(fixture("snapshot_1.safetensors"))
    assert (rows.epoch, rows.trained_events, rows.ids, rows.titles) == (0, 500, ("i1", "ключ"), ("One", "日本"))
    assert rows.categories == ("film", "")
    assert rows.hashes.tolist() == [hash_id("i1"), hash_id("ключ")]
    assert rows.vectors.tolist() == [HALVES, HALVES[::-1]]
    assert rows.biases.tolist() == [0.25, -0.25]
    assert rows.popularity.counts.tolist() == [[2, 4], [1, 8]]
    assert rows.popularity.floor == 0.01
    assert rows.available.tolist() == [True, False]
    table = updated(table_of(rows, "", 0), decode_snapshot(fixture("popularity_1.safetensors")), 0)
    assert table.ids == ("i1", "ключ", "i3")
    assert table.popularity.events().tolist() == [[1, 3], [9, 9], [5, 5]]  # halved and to three quarters; named; new
    assert table.available.tolist() == [True, True, True]


def test_a_snapshot_a_delta_and_an_update_of_version_2_are_read() -> None:
    rows = decode_snapshot(fixture("snapshot_2.safetensors"))
    assert (rows.kind, rows.epoch, rows.trained_events, rows.ids) == ("full", 3, 500, ("i1", "ключ"))
    assert (rows.titles, rows.categories) == (("One", "日本"), ("film", ""))
    assert rows.hashes.tolist() == [hash_id("i1"), hash_id("ключ")]
    assert (rows.vectors.tolist(), rows.biases.tolist()) == ([HALVES, HALVES[::-1]], [0.25, -0.25])
    assert (rows.popularity.counts.tolist(), rows.popularity.unit.tolist()) == ([[2, 4], [1, 8]], [2, 4])
    assert (rows.content.tolist(), rows.content.dtype) == ([[0.5, 1.5, -2], [1, 0, 0]], np.float16)
    assert rows.neighbour_rows.tolist() == [[1, -1], [0, -1]]
    assert rows.neighbour_weights.tolist() == [[0.5, 0], [0.75, 0]]
    assert rows.beta.tolist() == [[0.125] * 7, [0.25] * 7]
    table = with_delta(table_of(rows, "", 0), decode_snapshot(fixture("delta_2.safetensors")), "d", 1)
    assert (table.epoch, table.trained_events, table.sha256) == (3, 600, "d")
    assert (table.ids, table.titles) == (("i1", "ключ", "i3"), ("One", "Two", "Three"))
    assert table.vectors.tolist() == [HALVES, HALVES, HALVES[::-1]]
    assert table.popularity.events().tolist() == [[0.5, 0.5], [1, 1], [2, 2]]
    table = updated(table, decode_snapshot(fixture("popularity_2.safetensors")), 0)
    assert table.popularity.events().tolist() == [[0.25, 0.25], [4, 4], [1, 1]]
    assert table.available.tolist() == [True, True, True]


def test_an_announcement_of_version_1_is_read() -> None:
    a = decode_announcement(fixture("announcement_1.json"))
    assert (a.epoch, a.trained_events, a.kind, a.base_sha256) == (1, 600, "popularity", "abc")
    assert (a.file, a.inline, a.items, a.created_ms) == (None, b"bytes", 30, 78)


def restored_tower(progress: str, listed: str) -> TowerStream:
    stream = TowerStream(MODEL, TOWER)
    blocks = {0: fixture("block_1.bin")}
    entries = [(hash_id("i1"), fixture(listed)), (hash_id("i2"), fixture("waiting_1.json"))]
    restore_tower(stream, fixture(progress), blocks.__getitem__, entries)
    return stream


def test_a_tower_of_version_1_is_restored_and_its_content_is_to_be_fitted_anew() -> None:
    stream = restored_tower("progress_1.safetensors", "listed_1.json")
    space = stream.tower.content.space
    assert (space.names, space.numbers) == ({"category=film": 1, "tag=t": 2}, {"year": 0})
    assert space.statistics.mean_and_deviation()[0][0] == 1999
    assert stream.tower.rows.names[0, :3].tolist() == [1, 2, -1]
    assert not stream.tower.content.fitted


def test_a_tower_of_version_2_is_restored_with_its_content_tower() -> None:
    tower = restored_tower("progress_2.safetensors", "listed_2.json").tower
    assert tower.catalogue[hash_id("i1")].item.vectors == pack_vectors({"image": [0.5, -1.0, 2.0]})
    assert (tower.content.fits, tower.content.space.vectors) == (3, {"image": Slot(0, 3)})
    # first[r, c] is ((9 r + c) mod 64) / 8 and the mean is c; film and t are rows 1 and 2; numbers begin at row 12,
    # behind the 12 names, and 1999 lies in the third bucket
    expected = [c + sum((9 * row + c) % 64 for row in (1, 2, 14)) / 8 for c in range(9)]
    plain = replace(tower.catalogue[hash_id("i1")].item, vectors=())
    assert tower.content.predict(tower.content.space.encode([plain]))[0].tolist() == expected


@pytest.mark.parametrize(
    ("progress", "listed"), [("progress_1.safetensors", "listed_1.json"), ("progress_2.safetensors", "listed_2.json")]
)
def test_a_tower_of_every_version_is_restored(progress: str, listed: str) -> None:
    stream = restored_tower(progress, listed)
    tower, rows = stream.tower, stream.tower.rows
    assert (stream.number, stream.trained, stream.shed_batches, tower.skipped_batches) == (700, 500, 3, 2)
    assert (tower.generation, tower.unit.tolist()) == (1, [2.0, 4.0])
    assert tower.gamma.tolist() == HALVES[:7]
    assert (rows.n, rows.hashes[0], rows.events[0], rows.last_event[0]) == (1, hash_id("i1"), 5, 699)
    assert (rows.vectors[0].tolist(), rows.biases[0], rows.counts[0].tolist()) == (HALVES, 0.25, [2.0, 4.0])
    assert (rows.vector_squares[0], rows.bias_squares[0], bool(rows.available[0])) == (0.5, 0.75, False)
    assert replace(tower.catalogue[hash_id("i1")].item, vectors=()) == Item(
        "i1", "One", "text", "film", ("t",), (("year", 1999.0),), False, 5
    )
    assert [(w.item_id, w.events, w.first_user, w.users) for w in tower.waiting.values()] == [("i2", 1, -9, 1)]
