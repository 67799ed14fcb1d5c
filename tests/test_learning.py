"""The user's step against torch autograd and the context by hand: neither knows the kernels."""

import math

import numpy as np
import pytest
import torch

from models.hashing import draw
from models.learning import REDRAWS, context_vector, context_weights, step_embedding

K, ITEMS, NEGATIVES, LEARNING_RATE, REG = 6, 40, 12, 0.05, 0.01


def made_up_step(seed: int) -> dict:
    """The arguments of one step; a third of the items is consumed, every fifth cannot be drawn."""
    rng = np.random.default_rng(seed)
    marked = rng.random(ITEMS) < 0.33
    return {
        "embedding": rng.normal(size=K).astype(np.float32),
        "accumulator": 0.02,
        "context": rng.normal(size=K).astype(np.float32),
        "positive": int(rng.integers(ITEMS)),
        "marked": marked,
        "candidates": np.flatnonzero(np.arange(ITEMS) % 5 > 0),
        "vectors": rng.normal(size=(ITEMS, K)).astype(np.float32),
        "biases": rng.normal(size=ITEMS).astype(np.float32),
        "popularity": rng.normal(size=ITEMS).astype(np.float32),
        "gamma": 0.8,
        "stream": int(rng.integers(2**62)),
        "n_negatives": NEGATIVES,
        "learning_rate": LEARNING_RATE,
        "regularisation": REG,
    }


def drawn_negatives(step: dict) -> list[int]:
    """Each negative is drawn up to four times and left out when all four were consumed or the positive."""
    candidates, taken = step["candidates"], []
    for n in range(NEGATIVES):
        for attempt in range(REDRAWS + 1):
            row = int(candidates[draw(step["stream"], n * (REDRAWS + 1) + attempt, len(candidates))])
            if row != step["positive"] and not step["marked"][row]:
                taken.append(row)
                break
    return taken


@pytest.mark.parametrize("seed", range(6))
def test_the_step_equals_adagrad_on_autograds_gradient(seed: int) -> None:
    step = made_up_step(seed)
    p = torch.tensor(step["embedding"], dtype=torch.float64, requires_grad=True)
    rows = [step["positive"], *drawn_negatives(step)]
    q = torch.tensor(step["vectors"][rows], dtype=torch.float64)
    h = p + torch.tensor(step["context"], dtype=torch.float64)
    correction = math.log((len(step["candidates"]) - 1) / NEGATIVES)
    shift = torch.tensor([0.0] + [correction] * (len(rows) - 1), dtype=torch.float64)
    scores = step["gamma"] * q @ h + torch.tensor(step["biases"][rows] + step["popularity"][rows]) + shift
    (-torch.log_softmax(scores, 0)[0] + REG / 2 * p.square().sum()).backward()
    expected_accumulator = 0.02 + float(p.grad.square().mean())
    expected = step["embedding"] - LEARNING_RATE * p.grad.numpy() / math.sqrt(expected_accumulator)

    embedding, accumulator = step_embedding(*step.values())

    assert len(rows) > 4
    np.testing.assert_allclose(embedding, expected, rtol=1e-4, atol=1e-5)
    assert accumulator == pytest.approx(expected_accumulator, rel=1e-4)


def test_negatives_are_never_consumed_nor_outside_the_candidates() -> None:
    step = made_up_step(1)
    may_be_drawn = np.isin(np.arange(ITEMS), step["candidates"]) & ~step["marked"]
    step["vectors"][~may_be_drawn] = np.nan  # one of them would make the step NaN
    step["vectors"][step["positive"]] = 1
    for stream in range(500):
        embedding, accumulator = step_embedding(*(step | {"stream": stream}).values())
        assert np.isfinite(accumulator)
        assert np.isfinite(embedding).all()


def test_with_nothing_left_to_contrast_only_the_regularisation_moves() -> None:
    step = made_up_step(2) | {"marked": np.ones(ITEMS, np.bool_)}
    embedding, accumulator = step_embedding(*step.values())
    g = REG * step["embedding"].astype(np.float64)
    assert accumulator == pytest.approx(0.02 + float((g**2).mean()), rel=1e-5)
    np.testing.assert_allclose(embedding, step["embedding"] - LEARNING_RATE * g / math.sqrt(accumulator), rtol=1e-5)


def test_context_weights_fade_by_position_and_by_time() -> None:
    weights = context_weights(np.array([10_000, 8_000, 0], np.int64), 10_000, 0.5, 4.0)
    root = math.sqrt(1 + 0.5 + 0.25)
    np.testing.assert_allclose(
        weights, [1 / root, 0.5 * math.exp(-0.5) / root, 0.25 * math.exp(-2.5) / root], rtol=1e-6
    )


def test_an_item_from_the_future_counts_as_just_consumed() -> None:
    recent_ms = np.array([99_000_000, 10_000], np.int64)
    np.testing.assert_allclose(
        context_weights(recent_ms, 10_000, 0.5, 4.0), np.array([1, 0.5]) / math.sqrt(1.5), rtol=1e-6
    )


def test_a_tau_of_zero_turns_the_fading_by_time_off() -> None:
    recent_ms = np.array([0, 0], np.int64)
    np.testing.assert_allclose(
        context_weights(recent_ms, 10**15, 0.5, 0.0), np.array([1, 0.5]) / math.sqrt(1.5), rtol=1e-6
    )


def test_no_recent_items_have_no_weights_and_a_context_of_zeros() -> None:
    none = np.zeros(0, np.int64)
    assert context_weights(none, 0, 0.7, 3600.0).tolist() == []
    assert context_vector(none, np.zeros(0, np.float32), np.ones((3, 2), np.float32)).tolist() == [0, 0]


def test_the_context_leaves_out_items_that_the_table_lacks() -> None:
    vectors = np.array([[1, 2], [3, 4]], np.float32)
    weights = np.array([0.5, 9, 0.25], np.float32)
    assert context_vector(np.array([1, -1, 0]), weights, vectors).tolist() == [1.5 + 0.25, 2 + 0.5]
