"""The tower's kernel against the same step in torch, whose gradients are autograd's."""

import time
from typing import Any

import numpy as np
import pytest
import torch

from models.examples import fingerprints
from models.hashing import hash_id
from models.optimisers import INITIAL_SQUARES, adagrad_rows
from models.settings import LOSSES
from models.tower_kernels import batch_gradient, count_events, draw_negatives, first_vectors
from models.tower_reference import Gradients, Rows, batch_gradients

K, ITEMS, EXAMPLES, NEGATIVES, RECENT, CLASSES, HALF_LIVES = 6, 40, 9, 7, 4, 7, 3
FLOOR, REG = 0.01, 0.003
DRAWABLE = 33  # of the items, those that negatives are drawn from


def made_up_batch(loss: str, seed: int = 1, *, n_items: int = ITEMS, **shape: int) -> dict[str, Any]:
    """Arguments of `batch_gradient`: explicit negatives, ratings and implicit events, some recents and draws missing,
    and one example without any.
    """
    sizes = {"examples": EXAMPLES, "negatives": NEGATIVES, "recent": RECENT, "k": K} | shape
    n, k = sizes["examples"], sizes["k"]
    rng = np.random.default_rng(seed)
    recent = rng.integers(-1, n_items, (n, sizes["recent"]))
    negatives = rng.integers(-1, n_items, (n, sizes["negatives"]))
    recent[2], negatives[3], recent[4], negatives[4] = -1, -1, -1, -1
    sign = np.where(np.arange(n) % 3 == 1, -1, 1)
    return {
        "vectors": rng.normal(size=(n_items, k)).astype(np.float32),
        "biases": rng.normal(size=n_items).astype(np.float32),
        "counts": rng.random((n_items, HALF_LIVES)) * 20,
        "unit": 1 + rng.random(HALF_LIVES),
        "floor": FLOOR,
        "alpha": rng.normal(size=(CLASSES, HALF_LIVES)).astype(np.float32),
        "gamma": rng.random(CLASSES).astype(np.float32) + 0.5,
        "n_rows": n_items,
        "n_drawable": DRAWABLE,
        "embedding": rng.normal(size=(n, k)).astype(np.float32),
        "recent_weights": rng.random((n, sizes["recent"])).astype(np.float32),
        "recent": recent,
        "activity": rng.integers(0, CLASSES, n),
        "weight": (sign * (rng.random(n) + 0.5)).astype(np.float32),
        "target": np.where(np.arange(n) % 2 == 1, rng.normal(size=n), sign).astype(np.float32),
        "rated": np.arange(n) % 2 == 1,
        "positive": rng.integers(0, n_items, n),
        "negatives": negatives,
        "fresh": rng.random(n) < 0.6,
        "loss": LOSSES.index(loss),
        "regularisation": REG,
        "place": np.full(n_items, -1, np.int32),
    }


def in_torch(batch: dict[str, Any], dtype: torch.dtype = torch.float64) -> dict[str, Any]:
    """The same arguments for `batch_gradients`."""
    changed = {name: value for name, value in batch.items() if name not in ("counts", "unit", "floor", "place")}
    changed["loss"] = LOSSES[batch["loss"]]
    changed["n_rows"] = changed.pop("n_drawable")
    changed["log_popularity"] = np.log(batch["counts"] / batch["unit"] + FLOOR)
    arrays = {name: torch.from_numpy(value) for name, value in changed.items() if isinstance(value, np.ndarray)}
    return changed | {name: a.to(dtype) if a.is_floating_point() else a for name, a in arrays.items()}


def dense(rows: Any, values: Any, n_rows: int) -> np.ndarray:
    spread = np.zeros((n_rows, *values.shape[1:]))
    spread[rows] = values
    return spread


def assert_equal_gradients(found: tuple, expected: Gradients, n_rows: int) -> None:
    rows, g_vectors, g_biases, g_alpha, g_gamma, loss, scores = found
    close = {"rtol": 2e-4, "atol": 2e-5}
    assert sorted(rows.tolist()) == expected.rows.tolist()
    assert loss == pytest.approx(expected.loss, rel=1e-5)
    np.testing.assert_allclose(dense(rows, g_vectors, n_rows), dense(expected.rows, expected.vectors, n_rows), **close)
    np.testing.assert_allclose(dense(rows, g_biases, n_rows), dense(expected.rows, expected.biases, n_rows), **close)
    np.testing.assert_allclose(g_alpha, expected.alpha, **close)
    np.testing.assert_allclose(g_gamma, expected.gamma, **close)
    np.testing.assert_allclose(scores, expected.scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_gradient_and_score_of_the_batch_equals_autograds(loss: str, seed: int) -> None:
    batch = made_up_batch(loss, seed)
    assert_equal_gradients(batch_gradient(*batch.values()), batch_gradients(**in_torch(batch)), ITEMS)
    assert (batch["place"] == -1).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_scores_that_are_far_apart_leave_loss_and_gradients_finite(loss: str) -> None:
    batch = made_up_batch(loss)
    batch["biases"][::2] += 300
    found, expected = batch_gradient(*batch.values()), batch_gradients(**in_torch(batch))
    assert np.isfinite(expected.loss)
    assert_equal_gradients(found, expected, ITEMS)


def test_softmax_moves_no_biases_together_whatever_the_sign() -> None:
    _, _, g_biases, *_ = batch_gradient(*made_up_batch("softmax").values())
    assert abs(g_biases.sum()) < 1e-5 < abs(g_biases).max()


def test_with_nothing_to_contrast_with_only_the_regularisation_moves_under_softmax() -> None:
    batch = made_up_batch("softmax") | {"negatives": np.full((EXAMPLES, NEGATIVES), -1)}
    rows, g_vectors, g_biases, g_alpha, g_gamma, loss, scores = batch_gradient(*batch.values())
    uses = dense(batch["positive"], 0 * batch["weight"], ITEMS)
    np.add.at(uses, batch["positive"], 1)
    np.add.at(uses, batch["recent"][batch["recent"] >= 0], batch["recent_weights"][batch["recent"] >= 0])
    np.testing.assert_allclose(g_vectors, REG * uses[rows, None] * batch["vectors"][rows], rtol=1e-5, atol=1e-7)
    assert (loss, abs(g_biases).max(), abs(g_alpha).max(), abs(g_gamma).max()) == (0, 0, 0, 0)
    assert np.isfinite(scores).sum() == EXAMPLES


@pytest.mark.parametrize("loss", LOSSES)
def test_a_score_that_is_no_number_shows_in_the_gradient(loss: str) -> None:
    batch = made_up_batch(loss)
    batch["vectors"][batch["positive"][0]] = np.nan
    assert not np.isfinite(batch_gradient(*batch.values())[1]).all()


def test_the_kernels_make_the_step_at_least_five_times_faster_than_torch() -> None:
    """Best of several, in one thread both: gradient and AdaGrad of 64 examples on 2,000 items."""
    torch.set_num_threads(1)
    batch = made_up_batch("softmax", n_items=2_000, examples=64, negatives=100, recent=20, k=64)
    arguments = in_torch(batch, torch.float32)
    vectors, biases = batch["vectors"].copy(), batch["biases"].copy()
    squares = np.full((2, len(biases)), INITIAL_SQUARES, np.float32)
    reference = Rows(arguments["vectors"].clone(), arguments["biases"].clone(), "adagrad", 0.15, 0.1)

    def numba_step() -> None:
        rows, g_vectors, g_biases, *_ = batch_gradient(*batch.values())
        adagrad_rows(rows, g_vectors, g_biases, vectors, biases, squares[0], squares[1], 0.15, 0.1)

    def torch_step() -> None:
        gradients = batch_gradients(**arguments)
        reference.step(*gradients[:3])

    def best(step: Any, n: int) -> float:
        times = []
        for _ in range(n):
            began = time.perf_counter()
            step()
            times.append(time.perf_counter() - began)
        return min(times[1:])

    ratio = best(torch_step, 12) / best(numba_step, 40)
    assert ratio >= 5, f"torch took {ratio:.1f} times as long"


# ---- counts, draws, first vectors ----------------------------------------------------------------


def test_growing_units_equal_counts_that_halve_every_half_life() -> None:
    half_lives = np.array([3.0, 50.0])
    rows = np.random.default_rng(5).integers(0, 6, 200)
    counts, unit, expected = np.zeros((6, 2)), np.ones(2), np.zeros((6, 2))
    for part in np.split(rows, [1, 40]):
        count_events(part, counts, unit, half_lives)
    for row in rows:
        expected *= 0.5 ** (1 / half_lives)
        expected[row] += 1
    np.testing.assert_allclose(counts / unit, expected, rtol=1e-9)


def test_negatives_are_neither_the_positive_nor_consumed_and_are_spread_over_the_rest() -> None:
    hashes = np.array([hash_id(f"i{n}") for n in range(ITEMS)])
    consumed = fingerprints(hashes)
    of_each = [np.arange(0, 10), np.arange(0, 0), np.arange(5, 38), np.arange(3, 4)]
    ends = np.cumsum([len(items) for items in of_each])
    positive = np.array([12, 13, 39, -1])
    drawn = draw_negatives(77, ITEMS, hashes, consumed[np.concatenate(of_each)], ends, positive, 400)
    assert (drawn[3] == -1).all()  # an item without a row draws nothing
    for e in range(3):
        allowed = set(range(ITEMS)) - set(of_each[e].tolist()) - {int(positive[e])}
        assert set(drawn[e].tolist()) - {-1} == allowed
    assert (drawn[1] >= 0).all()
    assert (drawn[2] == -1).any()  # 6 of 40 rows are left: four draws often all miss


def test_draws_are_a_function_of_the_stream() -> None:
    hashes, none = np.arange(ITEMS), np.zeros(0, np.uint16)
    one, again, other = (
        draw_negatives(stream, ITEMS, hashes, none, np.zeros(3, np.int64), np.arange(3), 20) for stream in (5, 5, 6)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_first_vectors_are_normal_and_a_function_of_item_and_seed_alone() -> None:
    hashes = np.array([hash_id(f"i{n}") for n in range(2_000)])
    vectors = first_vectors(hashes, 0, 64)
    assert np.isfinite(vectors).all()
    assert vectors.std() == pytest.approx(0.05, rel=0.02)
    assert abs(vectors.mean()) < 0.0005
    assert ((vectors / 0.05) ** 4).mean() == pytest.approx(3, rel=0.05)  # a normal's kurtosis
    assert np.array_equal(first_vectors(hashes[[5, 3]], 0, 64), vectors[[5, 3]])
    assert not np.array_equal(first_vectors(hashes, 1, 64), vectors)
    assert len(np.unique(vectors[:, 0])) == len(vectors)
