"""Lists against numpy's stable sort, and their explanations against float64."""

import numpy as np
import pytest

from models.ranking import explain_items, rank_items

ITEMS, K = 60, 4


def made_up_items(seed: int) -> dict:
    """Small whole numbers, so that scores are exact and often equal."""
    rng = np.random.default_rng(seed)
    return {
        "hidden": rng.integers(-2, 3, K).astype(np.float32),
        "vectors": rng.integers(-1, 2, (ITEMS, K)).astype(np.float32),
        "biases": rng.integers(-1, 2, ITEMS).astype(np.float32),
        "popularity": rng.integers(-1, 2, ITEMS).astype(np.float32),
        "available": rng.random(ITEMS) < 0.8,
        "marked": rng.random(ITEMS) < 0.3,
    }


@pytest.mark.parametrize("n_best", [1, 5, 60, 100])
@pytest.mark.parametrize("seed", range(5))
def test_the_list_is_numpys_stable_sort_of_what_may_be_listed(seed: int, n_best: int) -> None:
    items = made_up_items(seed)
    scores = items["vectors"] @ items["hidden"] + items["biases"] + items["popularity"]
    may = items["available"] & ~items["marked"]
    order = [row for row in np.argsort(-scores, kind="stable") if may[row]][:n_best]
    rows, best = rank_items(*items.values(), n_best)
    assert rows.tolist() == order
    assert best.tolist() == scores[order].tolist()


def test_scores_that_are_no_numbers_are_passed_over_wherever_they_stand() -> None:
    items = made_up_items(1) | {"available": np.ones(ITEMS, np.bool_), "marked": np.zeros(ITEMS, np.bool_)}
    items["vectors"][[0, 7, ITEMS - 1], 1] = np.nan
    rows, best = rank_items(*items.values(), ITEMS)
    assert sorted(rows.tolist()) == [row for row in range(ITEMS) if row not in (0, 7, ITEMS - 1)]
    assert np.isfinite(best).all()


def test_without_candidates_the_list_is_empty() -> None:
    rows, best = rank_items(*(made_up_items(1) | {"marked": np.ones(ITEMS, np.bool_)}).values(), 5)
    assert (rows.tolist(), best.tolist()) == ([], [])


def test_an_explanation_gives_taste_recent_and_the_greatest_part_of_the_recent() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(ITEMS, K)).astype(np.float32)
    embedding = rng.normal(size=K).astype(np.float32)
    listed, recent_rows = np.array([3, 9, 20]), np.array([5, -1, 7, 11])
    weights = np.array([0.9, 50, 0.5, 0.2], np.float32)
    taste, recent, because = explain_items(listed, embedding, recent_rows, weights, vectors, 0.7)
    for n, row in enumerate(listed):
        parts = {
            r: 0.7 * w * float(vectors[r] @ vectors[row]) for r, w in zip(recent_rows, weights, strict=True) if r >= 0
        }
        assert taste[n] == pytest.approx(0.7 * float(embedding @ vectors[row]), rel=1e-4)
        assert recent[n] == pytest.approx(sum(parts.values()), rel=1e-4)
        most = max(parts, key=parts.__getitem__)
        assert because[n] == (most if parts[most] > 0 else -1)
