"""A tower as one file: what comes back, what an unseen item gets, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from worlds import BORDER, MODEL, TOWER, feed, item_input, tower_inputs

from models.hashing import hash_id
from models.records import Item, pack_vectors
from models.settings import ModelSettings
from models.tensor_bytes import decode_tensors, encode_tensors
from models.tower_artefact import FORMAT, InvalidArtefact, encode_tower, load_stream, load_tower
from models.tower_stream import TowerStream


@pytest.fixture(scope="module")
def trained() -> TowerStream:
    stream = TowerStream(MODEL, TOWER)
    feed(stream, [*tower_inputs(300), item_input("cold", tags=["t1"], vectors={"image": [1, 2, 3]}), BORDER])
    assert stream.tower.content.fitted
    return stream


def test_the_loaded_tower_holds_every_row_and_every_weight(trained: TowerStream) -> None:
    loaded = load_tower(encode_tower(trained))
    for name, array in trained.tower.rows.stored().items():
        assert np.array_equal(loaded.rows.stored()[name], array), name
    for name in ("unit", "alpha", "alpha_squares", "gamma", "gamma_squares"):
        assert np.array_equal(getattr(loaded, name), getattr(trained.tower, name)), name
    assert loaded.settings == trained.tower.settings
    assert loaded.catalogue == trained.tower.catalogue


@pytest.mark.parametrize("depth", [0, 2])
def test_the_loaded_module_embeds_unseen_items_from_their_features(depth: int) -> None:
    stream = feed(TowerStream(MODEL, replace(TOWER, content_depth=depth)), tower_inputs(300))
    unseen = [Item("new", tags=("t1", "t3"), numbers=(("year", 1980.0),)), Item("other", tags=("t2",)), "i1"]
    expected = stream.tower(unseen)
    served = load_tower(encode_tower(stream))(unseen)
    assert served.shape == (3, 8)
    assert np.array_equal(served.detach(), expected.detach())
    assert not np.array_equal(served[0].detach(), served[1].detach())


def test_half_keeps_vectors_to_three_digits_and_halves_their_bytes(trained: TowerStream) -> None:
    whole, half = encode_tower(trained), encode_tower(trained, half=True)
    vectors = trained.tower.rows.stored()["vectors"]
    np.testing.assert_allclose(load_tower(half).rows.stored()["vectors"], vectors, rtol=5e-4, atol=1e-6)
    assert len(whole) - len(half) == pytest.approx(vectors.nbytes / 2, abs=16)  # the header says F16 for F32


def test_a_stream_goes_on_from_the_file_as_the_trained_one_does(trained: TowerStream) -> None:
    settings = replace(TOWER, replays=0)  # the window of old examples is not in the file
    stream = feed(TowerStream(MODEL, settings), [*tower_inputs(300), BORDER])
    loaded = load_stream(encode_tower(stream), MODEL, settings)
    assert (loaded.number, loaded.trained) == (stream.number, stream.trained)
    for going_on in (stream, loaded):
        feed(going_on, [*tower_inputs(100, seed=5), BORDER])
    for name, array in stream.tower.rows.stored().items():
        assert np.array_equal(loaded.tower.rows.stored()[name], array), name


def test_all_of_a_loaded_stream_is_still_to_be_written_to_state(trained: TowerStream) -> None:
    tower = load_stream(encode_tower(trained), MODEL, TOWER).tower
    assert tower.changed_entries == set(tower.catalogue)
    assert tower.rows.dirty[: -(-tower.rows.n // 64)].all()


def test_a_listed_item_without_a_row_is_kept() -> None:
    stream = feed(TowerStream(MODEL, TOWER), [*tower_inputs(50), item_input("later", title="Soon", available=False)])
    assert load_tower(encode_tower(stream)).catalogue[hash_id("later")].item.title == "Soon"


def test_the_same_tower_gives_the_same_bytes(trained: TowerStream) -> None:
    assert encode_tower(trained) == encode_tower(load_stream(encode_tower(trained), MODEL, TOWER))


def test_an_artefact_with_vectors_serves_them(trained: TowerStream) -> None:
    loaded = load_tower(encode_tower(trained))
    slot = loaded.content.space.vectors["image"]
    assert (slot.number, slot.length) == (0, 3)
    item = Item("x", vectors=pack_vectors({"image": [1, 2, 3]}))
    assert loaded.content.space.encode([item]).described().tolist() == [True]


# ---- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("blob", [b"", b"LTB1", b"\xff" * 40], ids=["empty", "foreign", "noise"])
def test_foreign_bytes_are_refused(blob: bytes) -> None:
    with pytest.raises(InvalidArtefact, match="not an item tower"):
        load_tower(blob)


def test_another_version_is_refused_by_its_name(trained: TowerStream) -> None:
    blob = encode_tower(trained).replace(b"livetower-item-tower-1", b"livetower-item-tower-2")
    with pytest.raises(InvalidArtefact, match="livetower-item-tower-2"):
        load_tower(blob)


@pytest.mark.parametrize("changed", [{"half_lives": (9.0,)}, {"content_columns": 13}, {"content_depth": 1}], ids=str)
def test_settings_that_shape_the_tower_must_be_its_own(trained: TowerStream, changed: dict) -> None:
    with pytest.raises(InvalidArtefact, match=next(iter(changed)).removesuffix("_depth")):
        load_stream(encode_tower(trained), MODEL, replace(TOWER, **changed))


def test_another_dimension_is_refused(trained: TowerStream) -> None:
    with pytest.raises(InvalidArtefact, match=r"'dimension': 8.*'dimension': 16"):
        load_stream(encode_tower(trained), ModelSettings(dimension=16), TOWER)


def damaged(trained: TowerStream, **changed: object) -> bytes:
    """The artefact with other tensors; None leaves one out."""
    facts, tensors = decode_tensors(FORMAT, encode_tower(trained))
    facts.pop("format")
    return encode_tensors(FORMAT, facts, {n: t for n, t in (tensors | changed).items() if t is not None})


@pytest.mark.parametrize(
    "name", ["row_vectors", "row_events", "alpha", "catalogue_end", "content.first", "number_sample"]
)
def test_a_missing_tensor_is_refused(trained: TowerStream, name: str) -> None:
    with pytest.raises(InvalidArtefact):
        load_tower(damaged(trained, **{name: None}))


def test_rows_of_unequal_length_and_numbers_that_are_not_finite_are_refused(trained: TowerStream) -> None:
    vectors = trained.tower.rows.stored()["vectors"].copy()
    with pytest.raises(InvalidArtefact, match="shapes"):
        load_tower(damaged(trained, row_vectors=vectors[:-1]))
    vectors[3, 1] = np.nan
    with pytest.raises(InvalidArtefact, match="vectors holds numbers that are not finite"):
        load_tower(damaged(trained, row_vectors=vectors))
