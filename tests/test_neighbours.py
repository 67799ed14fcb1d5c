"""Closest items against the docstring's formula in float64 and by hand."""

import numpy as np
import pytest

from models.neighbours import RHO_COUNTED, closest_neighbours

RHO = 0.7


def by_the_formula(positive, recent, weights, n_rows: int, shrink: float) -> np.ndarray:
    """W (n_rows, n_rows) in float64, the docstring of models/neighbours.py written out."""
    counts = np.zeros((n_rows, n_rows))
    for i, js, a in zip(positive, recent, weights, strict=True):
        for position, j in enumerate(js):
            if i >= 0 and j >= 0 and i != j:
                counts[i, j] += a[position] * (RHO_COUNTED / RHO) ** position
                counts[j, i] += a[position] * (RHO_COUNTED / RHO) ** position
    totals = counts.sum(1) + shrink
    return counts / np.sqrt(totals[:, None] * totals[None, :])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_closest", [1, 4, 30])
def test_the_closest_are_those_of_the_formula_and_closest_first(seed: int, n_closest: int) -> None:
    rng = np.random.default_rng(seed)
    n_rows = 20
    positive = rng.integers(-1, n_rows, 60)
    recent = rng.integers(-1, n_rows, (60, 5))
    weights = rng.random((60, 5)).astype(np.float32)
    weights[rng.random((60, 5)) < 0.2] = 0
    expected = by_the_formula(positive, recent, weights, n_rows, 3.0)
    rows, found = closest_neighbours(positive, recent, weights, RHO, n_rows, n_closest, 3.0)
    for j in range(n_rows):
        best = [i for i in np.argsort(-expected[j], kind="stable") if expected[j, i] > 0][:n_closest]
        assert rows[j].tolist() == best + [-1] * (n_closest - len(best))
        np.testing.assert_allclose(found[j, : len(best)], expected[j, best], rtol=1e-5)
        assert not found[j, len(best) :].any()


def test_equally_close_items_stand_by_row() -> None:
    positive, recent = np.array([3, 1, 2]), np.array([[0], [0], [0]])
    rows, _ = closest_neighbours(positive, recent, np.ones((3, 1), np.float32), RHO, 4, 2, 0.0)
    assert rows.tolist() == [[1, 2], [0, -1], [0, -1], [0, -1]]


def test_without_examples_nothing_is_close() -> None:
    none = np.zeros(0, np.int64), np.zeros((0, 2), np.int64), np.zeros((0, 2), np.float32)
    rows, weights = closest_neighbours(*none, RHO, 3, 2, 1.0)
    assert rows.tolist() == [[-1, -1]] * 3
    assert weights.tolist() == [[0, 0]] * 3
