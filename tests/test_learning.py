"""The user's step against torch and the context by hand: neither knows the kernels."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch_steps import TorchSteps
from worlds import START_MS, event, item_table

from models import tower_reference
from models.hashing import draw, hash_id, stream_of
from models.item_table import ItemTable, activity_class
from models.learning import REDRAWS, context_vector, context_weights, user_gradient
from models.recommender import advance
from models.records import EventType
from models.settings import LOSSES, OPTIMIZERS, ModelSettings
from models.user_state import UserState

K, ITEMS, NEGATIVES, REG = 6, 40, 12, 0.01


def made_up_step(seed: int, loss: str = "softmax") -> dict[str, Any]:
    """The arguments of `user_gradient`; a third of the items is consumed, every fifth cannot be drawn."""
    rng = np.random.default_rng(seed)
    marked = rng.random(ITEMS) < 0.33
    sign = -1 if seed % 3 == 1 else 1
    return {
        "embedding": rng.normal(size=K).astype(np.float32),
        "context": rng.normal(size=K).astype(np.float32),
        "positive": int(rng.integers(ITEMS)),
        "weight": sign * (rng.random() + 0.5),
        "target": rng.normal() if seed % 2 else float(sign),
        "rated": bool(seed % 2),
        "marked": marked,
        "candidates": np.flatnonzero(np.arange(ITEMS) % 5 > 0),
        "vectors": rng.normal(size=(ITEMS, K)).astype(np.float32),
        "biases": rng.normal(size=ITEMS).astype(np.float32),
        "popularity": rng.normal(size=ITEMS).astype(np.float32),
        "gamma": 0.8,
        "stream": int(rng.integers(2**62)),
        "loss": LOSSES.index(loss),
        "n_negatives": NEGATIVES,
        "regularisation": REG,
    }


def drawn_negatives(step: dict[str, Any]) -> list[int]:
    """Each negative is drawn up to four times and left out when all four were consumed or the positive."""
    candidates, taken = step["candidates"], []
    for n in range(step["n_negatives"]):
        for attempt in range(REDRAWS + 1):
            row = int(candidates[draw(step["stream"], n * (REDRAWS + 1) + attempt, len(candidates))])
            if row != step["positive"] and not step["marked"][row]:
                taken.append(row)
                break
    return taken


def in_torch(step: dict[str, Any]) -> np.ndarray:
    """The gradient (k,) of the step by autograd in float64."""
    loss = LOSSES[step["loss"]]
    rows = [step["positive"], *drawn_negatives(step)]
    offsets = step["biases"][rows] + (0 if loss == "mse" else 1) * step["popularity"][rows]
    gradient = tower_reference.user_gradient(
        *(torch.tensor(x, dtype=torch.float64) for x in (step["embedding"], step["context"], step["vectors"][rows])),
        torch.tensor(offsets, dtype=torch.float64),
        step["gamma"],
        len(step["candidates"]),
        step["n_negatives"],
        loss,
        step["weight"],
        step["target"],
        step["rated"],
        step["regularisation"],
    )
    return gradient.numpy()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(6))
def test_the_gradient_equals_autograds(seed: int, loss: str) -> None:
    step = made_up_step(seed, loss)
    assert len(drawn_negatives(step)) > 4
    np.testing.assert_allclose(user_gradient(*step.values()), in_torch(step), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_negatives_are_never_consumed_nor_outside_the_candidates(loss: str) -> None:
    step = made_up_step(2, loss)
    may_be_drawn = np.isin(np.arange(ITEMS), step["candidates"]) & ~step["marked"]
    step["vectors"][~may_be_drawn] = np.nan  # one of them would make the step NaN
    step["vectors"][step["positive"]] = 1
    for stream in range(500):
        assert np.isfinite(user_gradient(*(step | {"stream": stream}).values())).all()


@pytest.mark.parametrize("weight", [1.0, -1.0])
def test_with_nothing_left_to_contrast_only_the_regularisation_moves(weight: float) -> None:
    step = made_up_step(2) | {"marked": np.ones(ITEMS, np.bool_), "weight": weight}
    np.testing.assert_allclose(user_gradient(*step.values()), REG * step["embedding"], rtol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", [EventType.VIEW, EventType.SKIP])
def test_a_step_raises_the_score_of_what_was_liked_and_lowers_that_of_what_was_not(loss: str, kind: EventType) -> None:
    step = made_up_step(2, loss) | {"weight": 1.0, "target": 1.0, "rated": False, "regularisation": 0.0}
    step["embedding"] *= 0
    step["context"] *= 0
    step["biases"] *= 0
    if kind is EventType.SKIP:
        step |= {"weight": -0.5, "target": -1.0}
    change = -user_gradient(*step.values()) @ step["vectors"][step["positive"]]
    assert (change > 0) == (kind is EventType.VIEW)


# ---- the optimisers, through `advance` -----------------------------------------------------------


def advanced(state: UserState | None, n: int, table: ItemTable, settings: ModelSettings) -> UserState:
    return advance(state, event(n, f"i{n}"), table, START_MS, settings).state


def gradient_in_torch(state: UserState, n: int, table: ItemTable, settings: ModelSettings) -> np.ndarray:
    """Gradient of the n-th event, from what its example says of the user."""
    example = advance(state, event(n, f"i{n}"), table, START_MS, settings).example
    assert example is not None
    rows = np.array([table.row_of(item) for item in state.recent.tolist()], np.int64)
    return in_torch(
        {
            "embedding": example.embedding,
            "context": sum(
                (
                    w * table.vectors[row].astype(np.float64)
                    for w, row in zip(example.recent_weights, rows, strict=True)
                ),
                np.zeros(settings.dimension),
            ),
            "positive": table.row_of(hash_id(f"i{n}")),
            "weight": example.weight,
            "target": example.target,
            "rated": example.rated,
            "marked": np.isin(table.hashes, state.consumed),
            "candidates": table.candidates,
            "vectors": table.vectors,
            "biases": table.biases,
            "popularity": table.log_popularity[activity_class(state.positives)],
            "gamma": float(table.popularity.gamma[activity_class(state.positives)]),
            "stream": stream_of(settings.seed, example.user, state.user_seq),
            "loss": LOSSES.index(settings.loss),
            "n_negatives": settings.negatives,
            "regularisation": settings.regularisation,
        }
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_users_steps_equal_torchs_or_a_float64_loops(loss: str, optimizer: str) -> None:
    settings = ModelSettings(dimension=8, negatives=10, top_k=5, loss=loss, optimizer=optimizer)
    table = item_table()
    state = advance(None, event(0, kind=EventType.REQUEST), table, START_MS, settings).state
    p = torch.nn.Parameter(torch.zeros(8, dtype=torch.float64))
    stepper = TorchSteps(optimizer, [p], lr=settings.rate) if optimizer != "adagrad" else None
    squares = 1e-6
    for n in range(1, 8):
        g = gradient_in_torch(state, n, table, settings)
        if stepper is not None:
            p.grad = torch.tensor(g)
            stepper.step()
        else:
            squares += float((g**2).mean())
            p.data -= 0.05 * torch.tensor(g) / math.sqrt(squares)
        state = advanced(state, n, table, settings)
        np.testing.assert_allclose(state.embedding, p.detach(), rtol=1e-3, atol=1e-5)
    if optimizer == "adagrad":
        assert state.accumulator == pytest.approx(squares, rel=1e-4)


@pytest.mark.parametrize("before", OPTIMIZERS)
@pytest.mark.parametrize("after", OPTIMIZERS)
def test_another_optimiser_keeps_the_vector_and_starts_its_moments(before: str, after: str) -> None:
    """It goes on as a user with the same vector would whose moments saw no step."""
    table = item_table()
    old, new = (ModelSettings(dimension=8, negatives=10, top_k=5, optimizer=name) for name in (before, after))
    state = None
    for n in range(4):
        state = advanced(state, n, table, old)
    assert state is not None
    step = advanced(state, 4, table, new).embedding - state.embedding
    g = gradient_in_torch(state, 4, table, new)
    if before == after and after != "sgd":
        assert state.accumulator > 1e-3 or state.steps == 4
    else:
        first = {
            "sgd": -new.rate * g,
            "adagrad": -new.rate * g / math.sqrt((g**2).mean() + 1e-6),
            "adam": -new.rate * np.sign(g),  # m / sqrt(v) of a first step, bias-corrected
        }[after]
        np.testing.assert_allclose(step, first, rtol=2e-3, atol=1e-6)


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
