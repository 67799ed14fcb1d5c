"""The gradient of beta against torch.autograd, and what it learns."""

import math

import numpy as np
import pytest
import torch

from models.blending import EVERY, blend_gradient
from models.item_table import CLASSES
from models.neighbours import NEIGHBOUR_FLOOR
from models.strategies import ALONE, WITH_MODEL

ITEMS, B, S, L, F = 30, 12, 6, 3, 2
FLOOR = 0.01


def batch(seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    neighbour_rows = np.array([rng.choice(ITEMS, 4, replace=False) for _ in range(ITEMS - 5)], np.int32)
    neighbour_rows[::3, 2:] = -1
    scores = rng.normal(size=(B, 1 + S)).astype(np.float32)
    negatives = rng.integers(0, ITEMS, (B, S))
    negatives[:, -1] = -1
    scores[:, -1] = np.nan
    return {
        "scores": scores,
        "positive": rng.integers(0, ITEMS, B),
        "negatives": negatives,
        "recent": rng.integers(-1, ITEMS, (B, L)),  # some are newer than the lists
        "recent_weights": rng.random((B, L)).astype(np.float32),
        "activity": rng.integers(0, CLASSES, B),
        "fresh": rng.random(B) < 0.8,
        "n_drawable": ITEMS,
        "alpha": rng.normal(size=(CLASSES, F)).astype(np.float32),
        "counts": rng.random((ITEMS, F)) * 9,
        "unit": np.array([2.0, 5.0]),
        "floor": FLOOR,
        "beta": rng.random((2, CLASSES)).astype(np.float32),
        "neighbour_rows": neighbour_rows,
        "neighbour_weights": rng.random((ITEMS - 5, 4)).astype(np.float32),
        "closeness": np.zeros(ITEMS, np.float32),
    }


def loss_in_torch(of: dict, beta: torch.Tensor) -> torch.Tensor:
    """The docstring of models/blending.py, written out in float64."""
    total = torch.zeros((), dtype=torch.float64)
    correction = math.log((ITEMS - 1) / S)
    for e in range(0, B, EVERY):
        if not of["fresh"][e]:
            continue
        closeness = np.zeros(ITEMS)
        for j, a in zip(of["recent"][e], of["recent_weights"][e], strict=True):
            if 0 <= j < len(of["neighbour_rows"]):
                for i, w in zip(of["neighbour_rows"][j], of["neighbour_weights"][j], strict=True):
                    if i < 0:
                        break
                    closeness[i] += float(a) * float(w)
        rows = np.array([of["positive"][e], *of["negatives"][e][:-1]])
        near = torch.from_numpy(np.log(1 + closeness[rows] / NEIGHBOUR_FLOOR))
        popularity = np.log(of["counts"][rows] / of["unit"] + FLOOR) @ of["alpha"][of["activity"][e]].astype(float)
        sampled = torch.tensor([0.0] + [correction] * (len(rows) - 1))
        model = torch.from_numpy(of["scores"][e, :-1].astype(float))
        for which, base in ((WITH_MODEL, model), (ALONE, torch.from_numpy(popularity))):
            logits = base + beta[which, of["activity"][e]] * near + sampled
            total = total - torch.log_softmax(logits, 0)[0]
    return total


@pytest.mark.parametrize("seed", range(4))
def test_the_gradient_is_torchs(seed: int) -> None:
    of = batch(seed)
    beta = torch.from_numpy(of["beta"].astype(np.float64)).requires_grad_()
    loss_in_torch(of, beta).backward()
    assert beta.grad is not None
    assert beta.grad.abs().sum() > 0
    np.testing.assert_allclose(blend_gradient(*of.values()), beta.grad.numpy(), rtol=1e-4, atol=1e-5)
    assert not of["closeness"].any()


def test_examples_that_are_not_fresh_teach_nothing() -> None:
    of = batch()
    of["fresh"][:] = False
    assert not blend_gradient(*of.values()).any()
