"""The tower's kernel against torch autograd, which knows nothing of the hand-written gradient."""

import math

import numpy as np
import pytest
import torch

from models.examples import consumed_bits
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
        used = [l for l in range(RECENT) if batch["recent"][e, l] >= 0]
        h = torch.tensor(batch["embedding"][e], dtype=torch.float64)
        for l in used:
            h = h + float(batch["recent_weights"][e, l]) * q[batch["recent"][e, l]]
            penalty = penalty + float(batch["recent_weights"][e, l]) * q[batch["recent"][e, l]].square().sum() / 2
        rows = [int(batch["positive"][e]), *[int(n) for n in batch["negatives"][e] if n >= 0]]
        shift = torch.tensor([0.0] + [math.log((ITEMS - 1) / NEGATIVES)] * (len(rows) - 1), dtype=torch.float64)
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
