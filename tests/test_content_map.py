"""The content map against numpy's least squares, with the ridge written as rows of its own."""

import numpy as np
import pytest

from models.content_map import FEATURES_MAX, ContentMap
from models.records import Item
from models.settings import TowerSettings

RIDGE, K = 3.0, 5
FILMS = [
    Item("a", category="film", numbers=(("year", 1990.0),), tags=("war", "long")),
    Item("b", category="film", numbers=(("year", 2000.0),), tags=("war",)),
    Item("c", category="book", numbers=(("year", 2010.0),)),
    Item("d", category="book", tags=("long",)),  # says no year
]
YEARS = np.array([1990, 2000, 2010])
# film, year, war, long, book: the order in which the items name them
DESIGN = np.zeros((4, 5))
DESIGN[[0, 1], 0] = DESIGN[[0, 1], 2] = DESIGN[[0, 3], 3] = DESIGN[[2, 3], 4] = 1
DESIGN[:3, 1] = (YEARS - YEARS.mean()) / YEARS.std()


def contents(content: ContentMap, items: list[Item]) -> tuple[np.ndarray, np.ndarray]:
    columns, values = zip(*(content.contents(item) for item in items), strict=True)
    return np.stack(columns), np.stack(values)


def fitted(n_columns: int = 5) -> tuple[ContentMap, np.ndarray]:
    content = ContentMap(n_columns, K)
    targets = np.random.default_rng(0).normal(size=(4, K + 1)).astype(np.float32)
    content.fit(*contents(content, FILMS), targets, RIDGE)
    return content, targets


def test_the_fit_is_least_squares_with_ridge_rows() -> None:
    content, targets = fitted()
    centred = targets - targets.mean(0)
    x = np.concatenate([DESIGN, np.sqrt(RIDGE) * np.eye(5)])
    y = np.concatenate([centred, np.zeros((5, K + 1))])
    weights = np.linalg.lstsq(x, y, rcond=None)[0]
    np.testing.assert_allclose(content.weights, weights, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        content(*contents(content, FILMS)), targets.mean(0) + DESIGN @ weights, rtol=1e-4, atol=1e-5
    )


def test_an_item_that_says_nothing_known_gets_the_mean_item() -> None:
    content, targets = fitted()
    np.testing.assert_allclose(content(*contents(content, [Item("e")]))[0], targets.mean(0), rtol=1e-5, atol=1e-6)


def test_a_number_is_cut_at_four_deviations() -> None:
    content, _ = fitted()
    far = YEARS.mean() + 4 * YEARS.std()
    at_the_cut, beyond = (content(*contents(content, [Item("e", numbers=(("year", y),))])) for y in (far, 1e300))
    np.testing.assert_allclose(at_the_cut, beyond, rtol=1e-5)


def test_a_number_that_never_varies_is_no_division_by_zero() -> None:
    content = ContentMap(3, K)
    items = [Item(f"{n}", numbers=(("year", 2000.0),)) for n in range(4)]
    content.fit(*contents(content, items), np.ones((4, K + 1), np.float32), RIDGE)
    assert np.isfinite(content(*contents(content, [Item("e", numbers=(("year", 2001.0),))])).numpy()).all()


def test_names_beyond_the_columns_share_them() -> None:
    content = ContentMap(3, K)
    columns, _ = content.contents(Item("a", tags=tuple(f"t{n}" for n in range(20))))
    assert columns[:3].tolist() == [0, 1, 2]
    assert set(columns[3:20].tolist()) <= {0, 1, 2}
    assert (columns[20:] == -1).all()
    assert len(content.names) == 3
    again, _ = content.contents(Item("b", tags=("t19", "t0")))
    assert again[:2].tolist() == [columns[19], 0]


def test_at_most_32_contents_are_used_the_category_first_then_numbers() -> None:
    content = ContentMap(100, K)
    item = Item("a", category="c", numbers=(("n", 5.0),), tags=tuple(f"t{n}" for n in range(40)))
    columns, values = content.contents(item)
    assert len(columns) == FEATURES_MAX == 32
    assert list(content.names)[:3] == ["category=c", "number:n", "tag=t0"]
    assert values[:3].tolist() == [1, 5, 1]


def test_asking_without_new_names_gives_none_a_column() -> None:
    content, _ = fitted(8)
    names = dict(content.names)
    columns, _ = content.contents(Item("e", category="film", tags=("new",)), new_names=False)
    assert columns[:2].tolist() == [0, -1]
    assert content.names == names


def test_a_ridge_of_zero_is_refused_because_unused_columns_make_the_fit_singular() -> None:
    with pytest.raises(ValueError, match=r"tower\.content_ridge: must be positive; got 0"):
        TowerSettings(content_ridge=0)
