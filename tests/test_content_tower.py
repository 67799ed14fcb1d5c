"""The content tower against numpy's least squares, torch's Adam and columns written by hand."""

import numpy as np
import pytest
import torch
from torch_steps import TorchSteps

from models.content_tower import DECAY, Adam, ContentTower
from models.records import Item, pack_vectors
from models.settings import TowerSettings

RIDGE, K = 3.0, 5
FILMS = [
    Item("a", category="film", numbers=(("year", 1990.0),), tags=("war", "long")),
    Item("b", category="film", numbers=(("year", 2000.0),), tags=("war",)),
    Item("c", category="book", numbers=(("year", 2010.0),)),
    Item("d", category="book", tags=("long",)),  # says no year
]
YEARS = np.array([1990, 2000, 2010])
# film, war, long, book, in the order in which the items name them; year, whether it is said
DESIGN = np.zeros((4, 6))
DESIGN[[0, 1], 0] = DESIGN[[0, 1], 1] = DESIGN[[0, 3], 2] = DESIGN[[2, 3], 3] = DESIGN[:3, 5] = 1
DESIGN[:3, 4] = (YEARS - YEARS.mean()) / YEARS.std()
TARGETS = np.random.default_rng(0).normal(size=(4, K + 1)).astype(np.float32)


def content_tower(items: list[Item] = FILMS, **settings: object) -> ContentTower:
    told = {"content_columns": 8, "content_ridge": RIDGE, "content_numbers": "standardise"} | settings
    tower = ContentTower(K, TowerSettings(**told))  # type: ignore[arg-type]
    for item in items:
        tower.space.learn(item, None)
    return tower


def fitted(**settings: object) -> ContentTower:
    tower = content_tower(**settings)  # type: ignore[arg-type]
    tower.fit(tower.space.encode(FILMS), TARGETS)
    return tower


def predict(tower: ContentTower, *items: Item) -> np.ndarray:
    return tower.predict(tower.space.encode(items))


def year(value: float) -> Item:
    return Item("e", numbers=(("year", value),))


# ---- depth 0: the closed form --------------------------------------------------------------------


def test_the_fit_is_least_squares_with_ridge_rows() -> None:
    x = np.concatenate([DESIGN, np.sqrt(RIDGE) * np.eye(6)])
    y = np.concatenate([TARGETS - TARGETS.mean(0), np.zeros((6, K + 1))])
    weights = np.linalg.lstsq(x, y, rcond=None)[0]
    tower = fitted()
    np.testing.assert_allclose(predict(tower, *FILMS), TARGETS.mean(0) + DESIGN @ weights, rtol=1e-4, atol=1e-5)


def test_an_item_that_says_nothing_gets_the_mean_item() -> None:
    np.testing.assert_allclose(predict(fitted(), Item("e"))[0], TARGETS.mean(0), rtol=1e-5, atol=1e-6)


def test_names_without_a_column_learn_together_and_serve_every_unknown_one() -> None:
    tower = content_tower(content_columns=2)  # the category film, and one column for all others
    tower.fit(tower.space.encode(FILMS), TARGETS)
    known, unknown = predict(tower, Item("e", category="book"), Item("e", category="unheard of"))
    assert np.array_equal(known, unknown)
    assert not np.allclose(unknown, TARGETS.mean(0))


def test_fitting_anew_forgets_the_fit_before() -> None:
    tower = fitted()
    tower.fit(tower.space.encode(FILMS), TARGETS + 1)
    np.testing.assert_allclose(predict(tower, *FILMS), predict(fitted(), *FILMS) + 1, atol=1e-5)
    assert tower.fits == 2


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("numbers", ["standardise", "minmax", "buckets"])
def test_the_first_layer_is_the_design_times_its_weights(depth: int, numbers: str) -> None:
    items = [
        *FILMS,
        Item("e", title="Red Alien", vectors=pack_vectors({"image": [3, 4]})),
        Item("f", vectors=pack_vectors({"audio": [1, 0, 0], "image": [0, 2]})),
        Item("g"),
    ]
    tower = content_tower(items, content_depth=depth, content_numbers=numbers, content_text_columns=4)
    targets = np.random.default_rng(1).normal(size=(7, K + 1)).astype(np.float32)
    encoded = tower.space.encode(items)
    tower.fit(encoded, targets)
    with torch.no_grad():
        expected = tower.design(encoded) @ tower.first
        if depth:
            expected = expected + tower.first_bias
        for layer in tower.layers:
            expected = torch.relu(expected) @ layer.weight.T + layer.bias
        expected = tower.mean + tower.spread * expected
    np.testing.assert_allclose(predict(tower, *items), expected, rtol=1e-4, atol=1e-5)
    assert tower.design(encoded).shape == (7, tower.ends[-1])


# ---- numbers -------------------------------------------------------------------------------------


def test_a_number_is_cut_at_four_deviations() -> None:
    at_the_cut, beyond = predict(fitted(), year(YEARS.mean() + 4 * YEARS.std()), year(1e300))
    np.testing.assert_allclose(at_the_cut, beyond, rtol=1e-5)


def numbers_of(tower: ContentTower, *items: Item) -> np.ndarray:
    """Columns of the year, the first number."""
    begin = tower.ends[0]
    return tower.design(tower.space.encode(items))[:, begin : begin + tower.per_number].numpy()


def test_min_max_reads_the_range_as_minus_one_to_one_and_says_that_the_number_is_there() -> None:
    tower = fitted(content_numbers="minmax")
    columns = numbers_of(tower, year(1990), year(2005), year(2300), Item("e"))
    np.testing.assert_allclose(columns, [[-1, 1], [0.5, 1], [1, 1], [0, 0]])


def test_buckets_give_each_eighth_of_the_values_a_column() -> None:
    listed = [year(float(n)) for n in range(80)]
    tower = content_tower(listed, content_numbers="buckets")
    tower.fit(tower.space.encode(listed), np.zeros((80, K + 1), np.float32))
    columns = numbers_of(tower, year(0), year(9), year(11), year(79), year(1e9), Item("e"))
    assert columns.argmax(1)[:5].tolist() == [0, 0, 1, 7, 7]
    assert columns.sum(1).tolist() == [1, 1, 1, 1, 1, 0]


def test_an_outlier_among_the_catalogue_moves_no_other_item() -> None:
    listed = [year(float(1950 + n % 50)) for n in range(200)]
    plain, wild = content_tower(listed), content_tower([*listed[:100], year(1e20), *listed[100:]])
    for tower in (plain, wild):
        tower.fit(tower.space.encode(listed), np.zeros((200, K + 1), np.float32))
    np.testing.assert_allclose(numbers_of(wild, *listed), numbers_of(plain, *listed), atol=1e-6)
    assert wild.space.statistics.n_outliers == 1


# ---- text and vectors ----------------------------------------------------------------------------


def test_text_is_the_mean_of_its_n_grams_rows() -> None:
    tower = content_tower(content_text_columns=4)
    encoded = tower.space.encode([Item("e", title="war"), Item("e")])
    rows = encoded.ngrams[0][encoded.ngrams[0] >= 0]
    assert len(rows) == 6  # <war>, <wa war ar>, <war war>: the piece of five is the word itself
    begin = tower.ends[1]
    text = tower.design(encoded)[:, begin : begin + 4]
    np.testing.assert_allclose(text, [tower.bag.weight[rows.tolist()].mean(0).numpy(), np.zeros(4)], rtol=1e-5)


def test_a_projection_keeps_angles_between_vectors() -> None:
    rng = np.random.default_rng(2)
    one, other = rng.normal(size=(2, 512))
    near = one + 0.3 * other
    items = [
        Item(f"{n}", vectors=pack_vectors({"image": v.tolist()})) for n, v in enumerate((one, near, other, 5 * one))
    ]
    tower = content_tower(items, content_vector_columns=128)
    tower.project_known_vectors()
    projected = tower.design(tower.space.encode(items))[:, tower.ends[2] : tower.ends[2] + 128].numpy()
    np.testing.assert_allclose(projected[0], projected[3], rtol=1e-4, atol=1e-6)  # the length tells nothing
    cosine = one @ near / np.linalg.norm(one) / np.linalg.norm(near)
    assert projected[0] @ projected[1] == pytest.approx(cosine, abs=0.2)
    assert projected[0] @ projected[2] == pytest.approx(0, abs=0.3)


def test_a_vector_that_nobody_listed_before_the_fit_waits_for_the_next() -> None:
    tower = fitted()
    late = Item("e", vectors=pack_vectors({"image": [1, 2]}))
    tower.space.learn(late, None)
    np.testing.assert_allclose(predict(tower, late)[0], TARGETS.mean(0), rtol=1e-5, atol=1e-6)
    tower.fit(tower.space.encode([*FILMS, late]), np.concatenate([TARGETS, [np.ones(K + 1, np.float32)]]))
    assert not np.allclose(predict(tower, late)[0], tower.mean.numpy())


# ---- hidden layers -------------------------------------------------------------------------------


def exclusive_or(n: int = 80) -> tuple[list[Item], np.ndarray]:
    """Items whose vector hangs on whether they have one of two tags but not both: no sum over tags can say it."""
    sides = [(f"a{n // 2 % 2}", f"b{n % 2}") for n in range(n)]
    items = [Item(f"{n}", tags=tags) for n, tags in enumerate(sides)]
    signs = np.array([1.0 if tags in (("a0", "b1"), ("a1", "b0")) else -1.0 for tags in sides], np.float32)
    return items, np.repeat(signs[:, None], K + 1, 1)


def test_a_hidden_layer_learns_what_no_sum_can_say() -> None:
    items, targets = exclusive_or()
    errors = {}
    for depth in (0, 1, 2):
        tower = content_tower(items, content_depth=depth, content_width=32, content_learning_rate=0.01)
        encoded = tower.space.encode(items)
        for _ in range(6):
            tower.fit(encoded, targets)
        errors[depth] = float(((tower.predict(encoded) - targets) ** 2).mean())
    assert errors[0] > 0.99  # the mean item
    assert errors[1] < 0.05
    assert errors[2] < 0.05


def test_equal_seeds_give_equal_towers_and_others_do_not() -> None:
    items, targets = exclusive_or(300)  # more than a batch, so that batches are drawn
    targets += np.random.default_rng(6).normal(size=targets.shape).astype(np.float32)
    one, same, other = (content_tower(items, content_depth=1, seed=seed) for seed in (4, 4, 5))
    for tower in (one, same, other):
        tower.fit(tower.space.encode(items), targets)
    assert np.array_equal(predict(one, *items), predict(same, *items))
    assert not np.array_equal(predict(one, *items), predict(other, *items))


def test_the_step_is_torchs_adam() -> None:
    rng = torch.Generator().manual_seed(0)
    ours, theirs = torch.ones(3, 2), torch.nn.Parameter(torch.ones(3, 2))
    adam, reference = Adam([ours], 0.01, DECAY), TorchSteps("adam", [theirs], 0.01, weight_decay=DECAY)
    for _ in range(20):
        gradient = torch.randn(3, 2, generator=rng)
        adam.step([gradient])
        theirs.grad = gradient.clone()
        reference.step()
    np.testing.assert_allclose(ours, theirs.detach(), rtol=1e-5)


def test_the_parameters_are_counted() -> None:
    # first 8 + 16 * 2 + 4 + 4 * 3 rows of 6, then 7; the bag of 5 x 4; the mean of 6
    closed = content_tower(content_text_columns=4, content_text_buckets=5, content_vector_columns=3)
    assert closed.n_parameters == 56 * 6 + 5 * 4 + 6
    deep = content_tower(content_depth=2, content_width=7, content_vector_columns=3)
    assert deep.n_parameters == 52 * 7 + 7 + (7 * 7 + 7) + (7 * 6 + 6) + 6


@pytest.mark.parametrize(
    ("wrong", "needed"),
    [
        ({"content_ridge": 0}, "positive; got 0"),  # columns that no item uses would make the fit singular
        ({"content_numbers": "log"}, "one of standardise, minmax, buckets; got 'log'"),
        ({"content_depth": 9}, r"in \[0, 8\]; got 9"),
        ({"content_text_columns": -1}, r"in \[0, 256\]; got -1"),
        ({"content_learning_rate": 0}, "positive; got 0"),
        ({"content_steps": 0}, "1 or more; got 0"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused(wrong: dict, needed: str) -> None:
    with pytest.raises(ValueError, match=rf"tower\.{next(iter(wrong))}: must be {needed}"):
        TowerSettings(**wrong)
