"""Lists against numpy's stable sort, and scores, parts and reasons against float64."""

from typing import Any

import numpy as np
import pytest
from worlds import START_MS, item_table

from models.hashing import hash_id
from models.item_table import ItemTable
from models.neighbours import NEIGHBOUR_FLOOR
from models.ranking import Taken, Viewer, rank_for_user, score_for_user
from models.strategies import PARTS, WEIGHTS, Strategy

ITEMS, K = 60, 4
RHO, TAU_S = 0.7, 3600.0


def made_up_table(seed: int = 0, **changed: Any) -> ItemTable:
    """Random items; each has up to three neighbours, and contents."""
    rng = np.random.default_rng(seed)
    neighbours = np.array([rng.choice(ITEMS, 3, replace=False) for _ in range(ITEMS)], np.int32)
    neighbours[::4, 2] = -1
    neighbours[::5] = -1
    parts: dict[str, Any] = {
        "neighbour_rows": neighbours,
        "neighbour_weights": np.sort(rng.random((ITEMS, 3)))[:, ::-1].astype(np.float32) * (neighbours >= 0),
        "content": rng.normal(size=(ITEMS, K)).astype(np.float16),
        "available": rng.random(ITEMS) < 0.8,
        "categories": tuple(rng.choice(["a", "b", "c", ""], ITEMS).tolist()),
    }
    return item_table(ITEMS, seed, dimension=K, **(parts | changed))


def viewer_of(seed: int = 0) -> Viewer:
    """Someone with five recent items, one of them unknown, and eight consumed ones."""
    rng = np.random.default_rng(100 + seed)
    recent = [hash_id(f"i{n}") for n in rng.choice(ITEMS, 5, replace=False)]
    recent[2] = hash_id("unknown")
    return Viewer(
        embedding=rng.normal(size=K).astype(np.float32),
        recent=np.array(recent),
        recent_ms=START_MS - np.array([60_000, 120_000, 600_000, 3_600_000, 9_000_000]),
        hidden=np.array([*recent, *[hash_id(f"i{n}") for n in rng.choice(ITEMS, 3, replace=False)]]),
        now_ms=START_MS,
    )


def taken_by(strategy: Strategy, table: ItemTable) -> Taken:
    return Taken(WEIGHTS[strategy], table.log_popularity[3], 0.8, 0.3, 0.25, RHO, TAU_S)


def parts_by_the_formula(viewer: Viewer, taken: Taken, table: ItemTable) -> np.ndarray:
    """(I, 7) in float64: the docstring of models/ranking.py, written out."""
    q, z = table.vectors.astype(np.float64), table.content.astype(np.float64)
    total = np.sqrt(sum(RHO**n for n in range(len(viewer.recent))))
    recent, closeness = np.zeros(K), np.zeros(ITEMS)
    for n, item in enumerate(viewer.recent):
        a = RHO**n * np.exp(-(START_MS - viewer.recent_ms[n]) / (1_000 * TAU_S)) / total
        for j in np.flatnonzero(table.hashes == item):
            recent = recent + a * q[j]
            for i, w in zip(table.neighbour_rows[j], table.neighbour_weights[j], strict=True):
                closeness[i] += a * float(w) if i >= 0 else 0
    events = (table.popularity.counts / table.popularity.unit)[:, -1]
    parts = [
        taken.gamma * q @ viewer.embedding,
        taken.gamma * q @ recent,
        taken.popularity,
        table.biases,
        taken.beta * np.log(1 + closeness / NEIGHBOUR_FLOOR),
        taken.gamma * z @ (viewer.embedding + recent),
        taken.exploration / np.sqrt(1 + events),
    ]
    return np.stack(parts, axis=1) * taken.weights


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("seed", range(3))
def test_scores_are_the_formulas(seed: int, strategy: Strategy) -> None:
    table, viewer = made_up_table(seed), viewer_of(seed)
    taken = taken_by(strategy, table)
    expected = parts_by_the_formula(viewer, taken, table).sum(1)
    expected[np.isin(table.hashes, viewer.hidden) | ~table.available] = np.nan
    np.testing.assert_allclose(score_for_user(viewer, taken, table.arrays), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("strategy", Strategy)
def test_the_parts_of_each_listed_item_are_the_formulas_and_sum_to_its_score(strategy: Strategy) -> None:
    table, viewer = made_up_table(), viewer_of()
    taken = taken_by(strategy, table)
    rows, parts, _ = rank_for_user(viewer, taken, table.arrays, ITEMS, 0)
    np.testing.assert_allclose(parts[:, 1:], parts_by_the_formula(viewer, taken, table)[rows], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(parts[:, 1:].sum(1), parts[:, 0], atol=1e-5)
    assert parts.shape[1] == 1 + len(PARTS)


@pytest.mark.parametrize("n_best", [1, 5, 60, 100])
@pytest.mark.parametrize("seed", range(5))
def test_the_list_is_numpys_stable_sort_of_what_may_be_listed(seed: int, n_best: int) -> None:
    rng = np.random.default_rng(seed)  # small whole numbers, so that scores are exact and often equal
    table = made_up_table(
        seed,
        vectors=rng.integers(-1, 2, (ITEMS, K)).astype(np.float32),
        biases=rng.integers(-1, 2, ITEMS).astype(np.float32),
    )
    viewer = viewer_of(seed)._replace(embedding=rng.integers(-2, 3, K).astype(np.float32), recent=np.zeros(0, np.int64))
    viewer = viewer._replace(recent_ms=viewer.recent)
    taken = taken_by(Strategy.MODEL, table)._replace(gamma=1.0, exploration=0.0)
    scores = table.vectors @ viewer.embedding + table.biases
    may = table.available & ~np.isin(table.hashes, viewer.hidden)
    order = [row for row in np.argsort(-scores, kind="stable") if may[row]][:n_best]
    rows, parts, _ = rank_for_user(viewer, taken, table.arrays, n_best, 0)
    assert rows.tolist() == order
    assert parts[:, 0].tolist() == scores[order].tolist()


@pytest.mark.parametrize("cap", [1, 2, 5])
@pytest.mark.parametrize("seed", range(6))
def test_a_category_cap_takes_the_best_that_its_category_still_has_room_for(seed: int, cap: int) -> None:
    table, viewer = made_up_table(seed), viewer_of(seed)
    taken = taken_by(Strategy.HYBRID, table)
    scores = score_for_user(viewer, taken, table.arrays)
    expected: list[int] = []
    for row in np.argsort(-scores, kind="stable"):
        same = sum(table.categories[other] == table.categories[row] for other in expected)
        if not np.isnan(scores[row]) and (table.categories[row] == "" or same < cap):
            expected.append(int(row))
    rows, _, _ = rank_for_user(viewer, taken, table.arrays, 12, cap)
    assert rows.tolist() == expected[:12]


def test_scores_that_are_no_numbers_are_passed_over_wherever_they_stand() -> None:
    vectors = made_up_table().vectors.copy()
    vectors[[0, 7, ITEMS - 1], 1] = np.nan
    table = made_up_table(vectors=vectors, available=np.ones(ITEMS, np.bool_))
    viewer = viewer_of()._replace(hidden=np.zeros(0, np.int64), recent=np.zeros(0, np.int64))
    viewer = viewer._replace(recent_ms=viewer.recent)
    rows, parts, _ = rank_for_user(viewer, taken_by(Strategy.HYBRID, table), table.arrays, ITEMS, 0)
    assert sorted(rows.tolist()) == [row for row in range(ITEMS) if row not in (0, 7, ITEMS - 1)]
    assert np.isfinite(parts).all()


def test_without_candidates_the_list_is_empty() -> None:
    table = made_up_table(available=np.zeros(ITEMS, np.bool_))
    rows, parts, because = rank_for_user(viewer_of(), taken_by(Strategy.HYBRID, table), table.arrays, 5, 0)
    assert (rows.tolist(), parts.tolist(), because.tolist()) == ([], [], [])


def test_because_is_the_recent_item_that_raised_the_score_most() -> None:
    rows = np.full((ITEMS, 3), -1, np.int32)
    weights = np.zeros((ITEMS, 3), np.float32)
    rows[1], weights[1] = [10, 11, -1], [0.5, 0.2, 0]
    rows[2], weights[2] = [11, 12, -1], [0.9, 0.1, 0]
    table = made_up_table(neighbour_rows=rows, neighbour_weights=weights, available=np.ones(ITEMS, np.bool_))
    viewer = viewer_of()._replace(
        recent=np.array([hash_id("i1"), hash_id("i2")]),
        recent_ms=np.array([START_MS, START_MS]),
        hidden=np.zeros(0, np.int64),
    )
    listed, _, because = rank_for_user(viewer, taken_by(Strategy.COLLABORATIVE, table), table.arrays, ITEMS, 0)
    causes = dict(zip(listed.tolist(), because.tolist(), strict=True))
    # i1 counts 1 / .7 times as much as i2: of i11 they raise 0.2 and 0.63
    assert [causes[row] for row in (10, 11, 12, 13)] == [1, 2, 2, -1]


def test_the_scratch_arrays_are_left_as_they_were() -> None:
    table = made_up_table()
    for strategy in Strategy:
        rank_for_user(viewer_of(), taken_by(strategy, table), table.arrays, 10, 2)
        score_for_user(viewer_of(), taken_by(strategy, table), table.arrays)
    assert not table.arrays.marked.any()
    assert not table.arrays.closeness.any()
    assert (table.arrays.place == -1).all()
