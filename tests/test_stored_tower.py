"""The item tower of a checkpoint, read without torch: it equals the tower that was written."""

import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from fake_learned_state import FakeLearnedState
from worlds import BORDER, MODEL, TOWER, feed, item_input, tower_inputs

from livetower.inspect.errors import InspectError
from livetower.inspect.stored_tower import StoredTower, read_tower
from models.hashing import hash_id
from models.settings import OPTIMIZERS
from models.tensor_bytes import encode_tensors
from models.tower_progress import FORMAT
from models.tower_state import progress_parts
from models.tower_stream import TowerStream


@cache
def trained(optimizer: str = "adagrad", n_items: int = 150) -> TowerStream:
    """A tower of three blocks, at a border; no test changes it."""
    stream = TowerStream(replace(MODEL, optimizer=optimizer), TOWER)
    names = [item_input(f"i{n}", title=f"Title {n}", category=f"c{n % 3}") for n in range(n_items)]
    return feed(stream, [*names, item_input("plain"), *tower_inputs(200), BORDER])


def stored(stream: TowerStream) -> tuple[FakeLearnedState, StoredTower]:
    state = FakeLearnedState()
    state.keep_tower(stream)
    tower = read_tower(state)
    assert tower is not None
    return state, tower


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_row_is_read_as_it_was_written(optimizer: str) -> None:
    stream = trained(optimizer)
    _, tower = stored(stream)
    rows = stream.tower.rows
    assert rows.n > 128
    for name in ("hashes", "vectors", "biases", "events", "last_event", "available", "counts"):
        assert np.array_equal(getattr(tower, name), getattr(rows, name)[: rows.n]), name
    expected = np.sqrt((rows.vectors[: rows.n].astype(np.float64) ** 2).sum(1))
    assert np.allclose(tower.norms, expected, rtol=1e-12)
    assert tower.rows == {item: row for row, item in enumerate(rows.hashes[: rows.n].tolist())}
    assert (tower.facts["number"], tower.facts["trained"]) == (stream.number, stream.trained)
    assert np.array_equal(tower.tensors["gamma"], stream.tower.gamma)


def test_an_item_has_its_title_else_its_id_else_its_hash() -> None:
    _, tower = stored(trained())
    assert tower.title_of(hash_id("i3")) == "Title 3"
    assert tower.category_of(hash_id("i4")) == "c1"
    assert tower.title_of(hash_id("plain")) == "plain"
    assert (tower.title_of(-1), tower.item_id_of(-1), tower.category_of(-1)) == ("#ffffffffffffffff", None, "")


def test_settings_are_those_that_the_job_kept_or_none() -> None:
    state, tower = stored(trained())
    assert tower.settings is None
    facts, tensors = progress_parts(trained())
    state.kept_progress = encode_tensors(FORMAT, facts | {"settings": {"model": {"dimension": 8}}}, tensors)
    again = read_tower(state)
    assert again is not None
    assert again.settings == {"model": {"dimension": 8}}


def test_before_its_first_write_there_is_no_tower() -> None:
    assert read_tower(FakeLearnedState()) is None


def test_blocks_of_before_an_eviction_are_not_read() -> None:
    state, tower = stored(trained())
    state.kept_blocks[len(state.kept_blocks)] = state.kept_blocks[0]
    again = read_tower(state)
    assert again is not None
    assert np.array_equal(again.hashes, tower.hashes)


def test_a_block_that_is_missing_is_named() -> None:
    state, _ = stored(trained())
    del state.kept_blocks[1]
    with pytest.raises(InspectError, match="block 1 is missing") as raised:
        read_tower(state)
    assert raised.value.code == "LT-INS-204"


@pytest.mark.parametrize(
    ("part", "blob", "code"),
    [
        ("block", b"garbage", "LT-INS-201"),
        ("block", b"LTB9" + bytes(100), "LT-INS-202"),
        ("block", b"LTB2" + bytes(2), "LT-INS-201"),
        ("progress", b"garbage", "LT-INS-201"),
        ("entry", b"{}", "LT-INS-201"),
        ("entry", b"[]", "LT-INS-201"),
        ("entry", b"{", "LT-INS-201"),
    ],
)
def test_bytes_that_are_no_tower_are_one_line(part: str, blob: bytes, code: str) -> None:
    state, _ = stored(trained())
    if part == "block":
        state.kept_blocks[0] = blob
    elif part == "progress":
        state.kept_progress = blob
    else:
        state.kept_catalogue[hash_id("i1")] = blob
    with pytest.raises(InspectError) as raised:
        read_tower(state)
    assert raised.value.code == code
    assert state.uri in raised.value.cause


def test_progress_of_a_newer_version_says_so() -> None:
    state, _ = stored(trained())
    assert state.kept_progress is not None
    state.kept_progress = state.kept_progress.replace(b"tower-progress-2", b"tower-progress-9")
    with pytest.raises(InspectError) as raised:
        read_tower(state)
    assert raised.value.code == "LT-INS-202"


def test_reading_a_tower_needs_no_torch() -> None:
    code = "import sys, livetower.inspect.stored_tower, livetower.inspect.user_columns; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
