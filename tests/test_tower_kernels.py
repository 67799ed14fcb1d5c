"""The tower's kernel against torch autograd, which knows nothing of the hand-written gradient."""

import math

import numpy as np
import pytest
import torch

from models.examples import fingerprints
from models.hashing import hash_id
from models.tower_kernels import (
    GAMMA_HIGH,
    GAMMA_LOW,
    adagrad_classes,
    adagrad_rows,
    batch_gradient,
    count_events,
    draw_negatives,
    first_vectors,
)

K, ITEMS, EXAMPLES, NEGATIVES, RECENT, CLASSES, HALF_LIVES = 6, 40, 9, 7, 4, 7, 3
FLOOR, REG = 0.01, 0.003
DRAWABLE = 33  # of the items, those that negatives are drawn from


def made_up_batch(seed: int = 1) -> dict:
    rng = np.random.default_rng(seed)
    recent = rng.integers(-1, ITEMS, (EXAMPLES, RECENT))
    negatives = rng.integers(-1, ITEMS, (EXAMPLES, NEGATIVES))
    return {
        "vectors": rng.normal(size=(ITEMS, K)).astype(np.float32),
        "biases": rng.normal(size=ITEMS).astype(np.float32),
        "counts": rng.random((ITEMS, HALF_LIVES)) * 20,
        "unit": 1 + rng.random(HALF_LIVES),
        "floor": FLOOR,
        "alpha": rng.normal(size=(CLASSES, HALF_LIVES)).astype(np.float32),
        "gamma": rng.random(CLASSES).astype(np.float32) + 0.5,
        "n_rows": ITEMS,
        "n_drawable": DRAWABLE,
        "embedding": rng.normal(size=(EXAMPLES, K)).astype(np.float32),
        "recent_weights": rng.random((EXAMPLES, RECENT)).astype(np.float32),
        "recent": recent,
        "activity": rng.integers(0, CLASSES, EXAMPLES),
        "weight": rng.random(EXAMPLES).astype(np.float32) + 0.5,
        "positive": rng.integers(0, ITEMS, EXAMPLES),
        "negatives": negatives,
        "fresh": rng.random(EXAMPLES) < 0.6,
        "regularisation": REG,
        "place": np.full(ITEMS, -1, np.int32),
    }


def torch_gradients(batch: dict) -> dict[str, torch.Tensor]:
    """The docstring's formula in float64, differentiated by autograd; alpha and gamma see fresh examples only."""
    q = torch.tensor(batch["vectors"], dtype=torch.float64, requires_grad=True)
    b = torch.tensor(batch["biases"], dtype=torch.float64, requires_grad=True)
    alpha = torch.tensor(batch["alpha"], dtype=torch.float64, requires_grad=True)
    gamma = torch.tensor(batch["gamma"], dtype=torch.float64, requires_grad=True)
    logs = torch.log(torch.tensor(batch["counts"] / batch["unit"]) + FLOOR)
    loss = torch.zeros((), dtype=torch.float64)
    penalty = torch.zeros((), dtype=torch.float64)
    for e in range(EXAMPLES):
        a = int(batch["activity"][e])
        a_row, g = (alpha[a], gamma[a]) if batch["fresh"][e] else (alpha[a].detach(), gamma[a].detach())
        used = [place for place in range(RECENT) if batch["recent"][e, place] >= 0]
        h = torch.tensor(batch["embedding"][e], dtype=torch.float64)
        for place in used:
            weight, row = float(batch["recent_weights"][e, place]), batch["recent"][e, place]
            h = h + weight * q[row]
            penalty = penalty + weight * q[row].square().sum() / 2
        rows = [int(batch["positive"][e]), *[int(n) for n in batch["negatives"][e] if n >= 0]]
        shift = torch.tensor([0.0] + [math.log((DRAWABLE - 1) / NEGATIVES)] * (len(rows) - 1), dtype=torch.float64)
        scores = g * (q[rows] @ h) + b[rows] + logs[rows] @ a_row + shift
        loss = loss - float(batch["weight"][e]) * torch.log_softmax(scores, 0)[0]
        penalty = penalty + q[rows].square().sum() / 2
    (loss + REG * penalty).backward()
    return {"loss": loss.detach(), "q": q.grad, "b": b.grad, "alpha": alpha.grad, "gamma": gamma.grad}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_gradient_of_the_batch_equals_autograds(seed: int) -> None:
    batch = made_up_batch(seed)
    rows, g_vectors, g_biases, g_alpha, g_gamma, loss = batch_gradient(*batch.values())
    expected = torch_gradients(batch)
    dense_q, dense_b = np.zeros((ITEMS, K)), np.zeros(ITEMS)
    dense_q[rows], dense_b[rows] = g_vectors, g_biases
    assert len(set(rows.tolist())) == len(rows)
    assert loss == pytest.approx(float(expected["loss"]), rel=1e-5)
    np.testing.assert_allclose(dense_q, expected["q"], rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(dense_b, expected["b"], rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(g_alpha, expected["alpha"], rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(g_gamma, expected["gamma"], rtol=2e-4, atol=2e-5)
    assert (batch["place"] == -1).all()


# ---- the step ------------------------------------------------------------------------------------


def made_up_rows() -> dict:
    rng = np.random.default_rng(4)
    rows = np.array([7, 2, 11])
    return {
        "rows": rows,
        "g_vectors": rng.normal(size=(3, K)).astype(np.float32),
        "g_biases": rng.normal(size=3).astype(np.float32),
        "vectors": rng.normal(size=(ITEMS, K)).astype(np.float32),
        "biases": rng.normal(size=ITEMS).astype(np.float32),
        "vector_squares": rng.random(ITEMS).astype(np.float32),
        "bias_squares": rng.random(ITEMS).astype(np.float32),
        "learning_rate": 0.15,
        "learning_rate_bias": 0.1,
    }


def test_adagrad_steps_on_the_touched_rows_and_on_no_other() -> None:
    step = made_up_rows()
    before = {name: np.array(value, dtype=np.float64) for name, value in step.items()}
    assert adagrad_rows(*step.values())
    expected = {name: before[name].copy() for name in ("vectors", "biases", "vector_squares", "bias_squares")}
    for n, row in enumerate(step["rows"]):
        g, g_bias = before["g_vectors"][n], before["g_biases"][n]
        expected["vector_squares"][row] += (g**2).mean()
        expected["bias_squares"][row] += g_bias**2
        expected["vectors"][row] -= 0.15 * g / np.sqrt(expected["vector_squares"][row])
        expected["biases"][row] -= 0.1 * g_bias / np.sqrt(expected["bias_squares"][row])
    for name, value in expected.items():
        np.testing.assert_allclose(step[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["g_vectors", "g_biases"])
def test_a_gradient_that_is_not_finite_changes_nothing_at_all(where: str, poison: float) -> None:
    step = made_up_rows()
    step[where].flat[-1] = poison
    before = {name: np.copy(value) for name, value in step.items()}
    assert not adagrad_rows(*step.values())
    for name, value in before.items():
        assert np.array_equal(step[name], value, equal_nan=True), name


def test_adagrad_on_gamma_keeps_it_within_its_bounds() -> None:
    gamma, squares = np.array([0.06, 1, 2.99], np.float32), np.array([0.1, 0.1, 0.1], np.float32)
    gradient = np.array([2, 0.5, -2], np.float32)
    adagrad_classes(gradient, gamma, squares, 0.02, GAMMA_LOW, GAMMA_HIGH)
    np.testing.assert_allclose(squares, [4.1, 0.35, 4.1], rtol=1e-6)
    np.testing.assert_allclose(gamma, [0.05, 1 - 0.02 * 0.5 / math.sqrt(0.35), 3], rtol=1e-6)


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
