"""The item tower: whom it admits, what it knows of an item, who leaves, and what it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from worlds import BORDER, MODEL, TOWER, example, example_input, feed, item_input, tower_inputs

from models.hashing import hash_id
from models.item_tower import ItemTower
from models.publishing import full_snapshot, popularity_update
from models.records import Item, pack_vectors
from models.settings import LOSSES, OPTIMIZERS
from models.tower_kernels import first_vectors
from models.tower_reference import Rows
from models.tower_stream import TowerStream

ADMISSION = replace(TOWER, admission_events=3, admission_users=2)


def met(tower: ItemTower, item_id: str, *users: str) -> bool:
    """Whether the item has a row after an event of each of these users."""
    for user in users:
        tower.meet_item(hash_id(item_id), item_id, hash_id(user))
    return tower.rows.row_of(hash_id(item_id)) >= 0


# ---- admission -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("users", "admitted"),
    [("uv", False), ("uuuuuu", False), ("uuv", True), ("uvv", True), ("uvw", True)],
)
def test_an_unknown_item_needs_three_events_of_two_users(users: str, admitted: bool) -> None:
    assert met(ItemTower(8, ADMISSION), "i1", *users) == admitted


def test_one_event_admits_when_the_settings_say_so() -> None:
    assert met(ItemTower(8, replace(TOWER, admission_events=1)), "i1", "u")


def test_the_catalogue_admits_at_once() -> None:
    tower = ItemTower(8, ADMISSION)
    tower.list_item(Item("i1"))
    assert tower.rows.row_of(hash_id("i1")) == 0
    assert tower.n_items == 1


def test_an_item_that_waits_is_admitted_when_the_catalogue_names_it() -> None:
    tower = ItemTower(8, ADMISSION)
    assert not met(tower, "i1", "u")
    tower.list_item(Item("i1", title="Alien"))
    assert met(tower, "i1")
    assert not tower.waiting


def test_of_too_many_waiting_the_one_without_events_for_longest_gives_way() -> None:
    tower = ItemTower(8, replace(ADMISSION, admission_waiting_max=2))
    for item_id in ("a", "b", "a", "c"):
        met(tower, item_id, "u")
    assert [w.item_id for w in tower.waiting.values()] == ["a", "c"]
    assert {hash_id("a"), hash_id("b"), hash_id("c")} == tower.changed_entries


# ---- what the catalogue says ---------------------------------------------------------------------


def availability(tower: ItemTower, item_id: str) -> bool:
    return bool(tower.rows.available[tower.rows.row_of(hash_id(item_id))])


def test_a_tombstone_makes_an_item_unavailable_and_keeps_what_is_known_of_it() -> None:
    tower = ItemTower(8, TOWER)
    tower.list_item(Item("i1", title="Alien", updated_ms=5))
    tower.list_item(Item("i1", available=False))
    assert not availability(tower, "i1")
    assert tower.catalogue[hash_id("i1")].item == Item("i1", title="Alien", updated_ms=5, available=False)
    tower.list_item(Item("i1", title="Aliens", updated_ms=6))
    assert availability(tower, "i1")


def test_a_tombstone_of_an_item_nobody_knows_leaves_no_trace() -> None:
    tower = ItemTower(8, TOWER)
    tower.list_item(Item("i1", available=False))
    assert (tower.n_items, tower.catalogue, tower.changed_entries) == (0, {}, set())


def test_an_item_listed_as_unavailable_stays_so_when_events_name_it() -> None:
    tower = ItemTower(8, ADMISSION)
    tower.list_item(Item("i1", title="Not out yet", available=False))
    assert tower.n_items == 0
    assert met(tower, "i1", "u")
    assert not availability(tower, "i1")
    tower.list_item(Item("i1", title="Out now"))
    assert availability(tower, "i1")


@pytest.mark.parametrize(
    ("known_ms", "new_ms", "taken"), [(5, 4, False), (5, 5, True), (5, 6, True), (None, 1, True), (5, None, True)]
)
def test_an_entry_older_than_the_known_one_is_left_aside(known_ms: int | None, new_ms: int | None, taken: bool) -> None:
    tower = ItemTower(8, TOWER)
    tower.list_item(Item("i1", title="known", updated_ms=known_ms))
    tower.list_item(Item("i1", title="new", updated_ms=new_ms))
    assert tower.catalogue[hash_id("i1")].item.title == ("new" if taken else "known")


# ---- eviction ------------------------------------------------------------------------------------


def test_at_max_items_the_one_whose_last_event_is_longest_ago_gives_way() -> None:
    stream = TowerStream(MODEL, replace(TOWER, max_items=100, admission_events=1))
    for n in [1, *range(100), 0]:  # i1 has two events, and yet its last one is longest ago
        feed(stream, [example_input(example(f"u{n}", f"i{n}", seed=n)), BORDER])
    vectors = {n: stream.tower.rows.vectors[n].copy() for n in (2, 3, 99)}
    generation = stream.tower.generation
    stream.accept(example_input(example("new", "i100")))
    tower = stream.tower
    assert tower.n_items == 100
    assert tower.rows.row_of(hash_id("i1")) == -1
    assert hash_id("i1") not in tower.catalogue
    assert hash_id("i1") in tower.changed_entries
    assert tower.generation == generation + 1
    for n, vector in vectors.items():
        assert np.array_equal(tower.rows.vectors[tower.rows.row_of(hash_id(f"i{n}"))], vector)


def test_a_listed_item_that_was_evicted_comes_back_with_its_next_event() -> None:
    tower = ItemTower(8, replace(ADMISSION, max_items=100))
    for n in range(101):
        tower.list_item(Item(f"i{n}", title=f"title {n}"))
    assert tower.rows.row_of(hash_id("i0")) == -1
    assert met(tower, "i0", "u")
    assert tower.catalogue[hash_id("i0")].item.title == "title 0"


# ---- first vectors -------------------------------------------------------------------------------


def taught_by_genre() -> ItemTower:
    """Warm items of two genres whose vectors point opposite ways, and the content tower fitted to them."""
    tower = ItemTower(8, replace(TOWER, content_ridge=0.01))
    for n in range(20):
        tower.list_item(Item(f"i{n}", category="war" if n % 2 else "love"))
        tower.rows.vectors[n] = 1 if n % 2 else -1
        tower.rows.biases[n] = 0.5 if n % 2 else -0.5
        tower.rows.events[n] = 3
    tower.fit_content()
    return tower


def test_an_unknown_item_with_contents_gets_the_content_towers_vector() -> None:
    tower = taught_by_genre()
    tower.list_item(Item("new", category="war"))
    row = tower.rows.row_of(hash_id("new"))
    np.testing.assert_allclose(tower.rows.vectors[row], 1, atol=0.01)
    assert tower.rows.biases[row] == pytest.approx(0.5, abs=0.01)


def test_an_unknown_item_without_contents_gets_its_first_vector() -> None:
    tower = taught_by_genre()
    tower.list_item(Item("new"))
    expected = first_vectors(np.array([hash_id("new")]), tower.settings.seed, 8)[0]
    assert np.array_equal(tower.rows.vectors[tower.rows.row_of(hash_id("new"))], expected)


def test_a_fit_gives_items_without_events_the_vector_it_predicts_and_leaves_the_others() -> None:
    tower = taught_by_genre()
    tower.list_item(Item("cold", category="love"))
    tower.list_item(Item("seen once", category="love"))
    cold, seen = (tower.rows.row_of(hash_id(item_id)) for item_id in ("cold", "seen once"))
    tower.rows.vectors[[cold, seen]] = 7
    tower.rows.events[seen] = 1
    tower.rows.dirty[:] = False
    tower.fit_content()
    np.testing.assert_allclose(tower.rows.vectors[cold], -1, atol=0.01)
    assert (tower.rows.vectors[seen] == 7).all()
    assert tower.rows.dirty[cold // 64]


def test_the_module_serves_rows_contents_and_first_vectors_and_asking_changes_nothing() -> None:
    tower = taught_by_genre()
    names = dict(tower.content.space.names)
    served = tower(["i1", Item("unlisted", category="love", tags=("a new tag",)), "nobody knows"])
    assert served.shape == (3, 8)
    assert torch.equal(served[0], torch.ones(8))
    np.testing.assert_allclose(served[1], -1, atol=0.01)
    assert torch.equal(served[2], torch.from_numpy(first_vectors(np.array([hash_id("nobody knows")]), 0, 8)[0]))
    assert tower.content.space.names == names
    assert tower.n_items == 20
    assert tower([]).shape == (0, 8)


def test_content_vectors_are_what_content_alone_predicts_whatever_events_have_taught() -> None:
    tower = taught_by_genre()
    tower.list_item(Item("says nothing"))
    tower.rows.vectors[:4] = 7
    tower.content.mean += 3  # what an item that says nothing would get
    vectors = tower.content_vectors(np.array([1, 0, tower.rows.row_of(hash_id("says nothing"))]))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[:2], np.array([[4], [2]]).repeat(8, 1), atol=0.01)
    assert (vectors[2] == 0).all()
    assert tower.content_vectors(np.zeros(0, np.int64)).shape == (0, 8)


def test_content_vectors_are_zeros_before_the_first_fit() -> None:
    tower = ItemTower(8, TOWER)
    tower.list_item(Item("i1", category="war"))
    assert tower.content_vectors(np.array([0])).tolist() == [[0.0] * 8]


def test_a_new_picture_alone_gives_an_item_a_usable_vector() -> None:
    tower = ItemTower(8, replace(TOWER, content_ridge=0.01))
    rng = np.random.default_rng(3)
    sides = {n: np.where(n % 2, 1.0, -1.0) * np.ones(16) + rng.normal(0, 0.1, 16) for n in range(21)}
    for n in range(20):
        tower.list_item(Item(f"i{n}", vectors=pack_vectors({"image": sides[n]})))
        tower.rows.vectors[n], tower.rows.events[n] = 1 if n % 2 else -1, 3
    tower.fit_content()
    tower.list_item(Item("new", vectors=pack_vectors({"image": sides[20]})))
    np.testing.assert_allclose(tower.rows.vectors[20], -1, atol=0.2)


def test_the_parameters_are_counted() -> None:
    tower = ItemTower(8, TOWER)
    tower.list_item(Item("i1"))
    tower.list_item(Item("i2"))
    # two rows of 9; 7 classes of 2 alphas, 2 betas, a gamma; 12 names + 128 buckets + 4 * 32 columns, each 9; the mean
    assert tower.n_parameters == 2 * 9 + 7 * 5 + (12 + 128 + 128) * 9 + 9


def test_the_parameters_stay_the_rows_memory_when_that_grows() -> None:
    tower = ItemTower(8, TOWER)
    for n in range(1_030):
        tower.list_item(Item(f"i{n}"))
    tower.rows.vectors[1_029] = 3
    assert tower.vectors.data_ptr() == tower.rows.vectors.ctypes.data
    assert (tower.vectors[1_029] == 3).all()
    assert {name for name, _ in tower.named_parameters()} == {"vectors", "biases", "content.first"}


# ---- negatives -----------------------------------------------------------------------------------


def test_an_item_without_events_is_no_negative_and_stays_where_its_content_placed_it() -> None:
    stream = TowerStream(MODEL, replace(TOWER, content_warm_events=10_000))
    feed(stream, [item_input(f"listed {n}", tags=["a"]) for n in range(50)])
    feed(stream, [example_input(example(f"u{n}", f"i{n % 12}", seed=n)) for n in range(24)] + [BORDER])
    rows = stream.tower.rows
    before, taught = (rows.vectors[:50].copy(), rows.biases[:50].copy()), rows.biases[50:62].copy()
    feed(stream, [example_input(example(f"v{n}", f"i{n % 12}", seed=n)) for n in range(80)] + [BORDER])
    assert np.array_equal(rows.vectors[:50], before[0])
    assert np.array_equal(rows.biases[:50], before[1])
    assert (rows.biases[50:62] != taught).all()


def test_while_ten_items_or_fewer_have_had_an_event_all_are_negatives() -> None:
    stream = feed(TowerStream(MODEL, TOWER), [item_input(f"listed {n}") for n in range(20)])
    feed(stream, [example_input(example("u", "i0")), BORDER])
    assert stream.tower.drawable()[0].tolist() == list(range(21))
    assert stream.tower.rows.biases[:20].any()


def test_negatives_are_found_anew_after_first_events_and_evictions() -> None:
    stream = TowerStream(MODEL, replace(TOWER, max_items=100))
    for n in range(150):
        feed(stream, [example_input(example(f"u{n}", f"i{n}", seed=n)), BORDER])
        tower = stream.tower
        rows, hashes = tower.drawable()
        expected = np.flatnonzero(tower.rows.events[: tower.rows.n])
        if len(expected) > 10:
            assert np.array_equal(rows, expected)
            assert np.array_equal(hashes, tower.rows.hashes[expected])


# ---- learning and counting -----------------------------------------------------------------------


def test_items_that_are_consumed_together_come_to_point_the_same_way() -> None:
    stream = TowerStream(MODEL, replace(TOWER, negatives=20))
    rng = np.random.default_rng(0)
    for n in range(600):
        taste = int(rng.integers(2))
        one, other = (f"i{taste}-{rng.integers(10)}" for _ in range(2))
        made = example(f"u{n}", one, recent=[other], consumed=[other], seed=n)
        stream.accept(
            example_input(replace(made, embedding=np.zeros(8, np.float32), recent_weights=np.ones(1, np.float32)))
        )
    ids = [f"i{taste}-{n}" for taste in range(2) for n in range(10)]
    q = torch.nn.functional.normalize(stream.tower(ids)).numpy()
    alike = q @ q.T
    assert min(alike[:10, :10].mean(), alike[10:, 10:].mean()) > 0.5
    assert alike[:10, 10:].mean() < 0


def test_an_explicit_negative_lowers_its_item_and_counts_for_nothing() -> None:
    stream = feed(TowerStream(MODEL, TOWER), [*tower_inputs(100), BORDER])
    rows = stream.tower.rows
    row = rows.row_of(hash_id("i1"))
    before = rows.biases[row], rows.counts[: rows.n].copy(), rows.events[: rows.n].copy(), stream.tower.unit.copy()
    alpha, gamma = stream.tower.alpha.copy(), stream.tower.gamma.copy()
    disliked = replace(example("u", "i1"), weight=-1.0, target=-1.0)
    feed(stream, [example_input(disliked), BORDER])
    assert rows.biases[row] < before[0]
    assert np.array_equal(rows.counts[: rows.n], before[1])
    assert np.array_equal(rows.events[: rows.n], before[2])
    assert np.array_equal(stream.tower.unit, before[3])
    assert np.array_equal(stream.tower.alpha, alpha)
    assert np.array_equal(stream.tower.gamma, gamma)
    assert stream.trained == stream.window.end


def test_explicit_negatives_admit_no_item() -> None:
    stream = TowerStream(MODEL, TOWER)  # which admits at the first event
    feed(stream, [example_input(replace(example("u", "i1"), weight=-1.0)), BORDER])
    assert (stream.tower.n_items, len(stream.tower.waiting), len(stream.tower.catalogue)) == (0, 0, 0)
    feed(stream, [example_input(example("u", "i1")), BORDER])
    assert stream.tower.n_items == 1


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_tower_makes_the_step_of_its_settings(loss: str, optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One batch of the real tower against the reference, from what it was given to the moments it keeps."""
    settings = replace(TOWER, content_every=10_000)  # a fit of the content map moves rows, too
    stream = feed(TowerStream(replace(MODEL, loss=loss, optimizer=optimizer), settings), [*tower_inputs(100), BORDER])
    rows, seen = stream.tower.rows, []
    step = ItemTower._step
    monkeypatch.setattr(ItemTower, "_step", lambda tower, *g: seen.append([a.copy() for a in g]) or step(tower, *g))

    def column(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array[: rows.n].reshape(rows.n, -1).astype(np.float64))

    vectors, biases = column(rows.vectors), column(rows.biases)
    reference = Rows(vectors, biases[:, 0], optimizer, *TOWER.rates(optimizer))
    if optimizer == "adagrad":
        reference.squares = [column(rows.vector_squares), column(rows.bias_squares)]
    elif optimizer == "adam":
        reference.means = [column(rows.vector_means), column(rows.bias_means)]
        reference.variances = [column(rows.vector_variances), column(rows.bias_variances)]
        reference.steps = torch.from_numpy(rows.steps[: rows.n, None].astype(np.int64))
    known = [stream.tower.catalogue[key].item.item_id for key in rows.hashes[:8].tolist()]
    feed(stream, [example_input(example(f"u{n}", item, recent=known[:2], seed=n)) for n, item in enumerate(known)])
    (gradient,) = seen
    reference.step(*(torch.from_numpy(a) for a in gradient))
    np.testing.assert_allclose(rows.vectors[: rows.n], reference.values[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rows.biases[: rows.n, None], reference.values[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_batch_whose_gradient_is_not_finite_is_skipped_and_counted(loss: str, optimizer: str) -> None:
    stream = feed(TowerStream(replace(MODEL, loss=loss, optimizer=optimizer), TOWER), tower_inputs(100))
    poisoned = replace(example("u", "i1"), embedding=np.full(8, np.nan, np.float32))
    feed(stream, [BORDER])
    before = stream.tower.rows.vectors[: stream.tower.n_items].copy()
    feed(stream, [example_input(poisoned), BORDER])
    assert stream.tower.skipped_batches == 1
    assert np.array_equal(stream.tower.rows.vectors[: stream.tower.n_items], before)


def test_counts_in_large_units_are_scaled_back_without_a_change_of_popularity() -> None:
    tower = ItemTower(8, replace(TOWER, half_lives=(1.0, 1_000.0)))
    for n in range(12):
        tower.list_item(Item(f"i{n}"))
    hashes = np.array([hash_id(f"i{n}") for n in range(12)])
    expected, generation = np.zeros((12, 2)), tower.generation
    for number in range(1, 1_200):
        tower.count(hashes[[number % 12]], number)
        expected *= 0.5 ** (1 / tower.half_lives)
        expected[number % 12] += 1
    assert tower.generation == generation + 1  # 2^930 > 1e280
    np.testing.assert_allclose(tower.rows.counts[:12] / tower.unit, expected, rtol=1e-9, atol=1e-200)


def test_an_update_across_renumbered_rows_is_refused() -> None:
    tower = ItemTower(8, replace(TOWER, max_items=100))
    for n in range(100):
        tower.list_item(Item(f"i{n}"))
    _, base = full_snapshot(tower, 0, 0)
    assert popularity_update(tower, base, 0, 0) is not None
    tower.list_item(Item("one more"))
    assert popularity_update(tower, base, 0, 0) is None


def test_an_item_with_features_is_cold_until_it_has_had_five_events() -> None:
    stream = TowerStream(MODEL, replace(TOWER, batch=1, half_lives=(1e9,), cold_events=5, cold_popularity=0.5))
    stream.accept(item_input("i1", tags=["a"]))
    for n in range(4):
        stream.accept(example_input(example(f"u{n}", "i1")))
    stream.accept(item_input("i2", category="b"))
    stream.accept(item_input("says nothing"))
    popularity = full_snapshot(stream.tower, 0, 0)[0].popularity
    assert popularity.cold.tolist() == [True, True, False]
    np.testing.assert_allclose(popularity.cold_counts, [0.5 * 4 / 3], rtol=1e-6)  # half the mean item's count
    stream.accept(example_input(example("u5", "i1")))
    assert full_snapshot(stream.tower, 0, 0)[0].popularity.cold.tolist() == [False, True, False]
