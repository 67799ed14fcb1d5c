"""Each optimiser on the tower's rows: SGD and Adam against torch's own, AdaGrad against a loop in float64."""

import numpy as np
import pytest
import torch
from torch_steps import TorchSteps

from models.optimisers import INITIAL_SQUARES, adagrad_classes, adagrad_rows, adam_rows, sgd_rows
from models.settings import OPTIMIZERS
from models.tower_kernels import GAMMA_HIGH, GAMMA_LOW
from models.tower_reference import Rows

K, ITEMS, RATE, RATE_BIAS = 6, 12, 0.15, 0.1


class Kernels:
    """The rows of a tower and the kernel that steps them."""

    def __init__(self, optimizer: str) -> None:
        rng = np.random.default_rng(4)
        self.vectors = rng.normal(size=(ITEMS, K)).astype(np.float32)
        self.biases = rng.normal(size=ITEMS).astype(np.float32)
        if optimizer == "adagrad":
            self.step_rows, self.moments = adagrad_rows, [np.full(ITEMS, INITIAL_SQUARES, np.float32) for _ in "qb"]
        elif optimizer == "adam":
            moments = [np.zeros((ITEMS, K), np.float32) for _ in "mv"] + [np.zeros(ITEMS, np.float32) for _ in "mv"]
            self.step_rows, self.moments = adam_rows, [*moments, np.zeros(ITEMS, np.uint32)]
        else:
            self.step_rows, self.moments = sgd_rows, []

    def arrays(self) -> list[np.ndarray]:
        return [self.vectors, self.biases, *self.moments]

    def step(self, rows: np.ndarray, g_vectors: np.ndarray, g_biases: np.ndarray) -> bool:
        return bool(self.step_rows(rows, g_vectors, g_biases, *self.arrays(), RATE, RATE_BIAS))


def made_up_steps(n: int = 6) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Gradients of n batches on changing rows, each of another size; row 5 is never touched."""
    rng = np.random.default_rng(7)
    steps = []
    for at in range(n):
        rows = rng.permutation(np.delete(np.arange(ITEMS), 5))[: 3 + at]
        scale = 10.0 ** rng.integers(-3, 2)
        g_vectors = (scale * rng.normal(size=(len(rows), K))).astype(np.float32)
        steps.append((rows, g_vectors, (scale * rng.normal(size=len(rows))).astype(np.float32)))
    return steps


def torchs_own(optimizer: str, kernels: Kernels, steps: list) -> tuple[np.ndarray, np.ndarray]:
    """Vectors and biases after the steps by torch; each row is a parameter of its own, with no
    gradient where a batch does not touch it.
    """
    vectors = [torch.nn.Parameter(torch.tensor(row, dtype=torch.float64)) for row in kernels.vectors]
    biases = [torch.nn.Parameter(torch.tensor(bias, dtype=torch.float64)) for bias in kernels.biases]
    optimizers = [TorchSteps(optimizer, vectors, lr=RATE), TorchSteps(optimizer, biases, lr=RATE_BIAS)]
    for rows, g_vectors, g_biases in steps:
        for n, row in enumerate(rows):
            vectors[row].grad = torch.tensor(g_vectors[n], dtype=torch.float64)
            biases[row].grad = torch.tensor(g_biases[n], dtype=torch.float64)
        for each in optimizers:
            each.step()
        for parameter in (*vectors, *biases):
            parameter.grad = None
    return np.stack([v.detach() for v in vectors]), np.stack([b.detach() for b in biases])


def adagrad_loop(kernels: Kernels, steps: list) -> tuple[np.ndarray, np.ndarray]:
    """The same by the docstring's formula of row-wise AdaGrad in float64."""
    values = [kernels.vectors.astype(np.float64), kernels.biases.astype(np.float64)[:, None]]
    squares = np.full((2, ITEMS), 1e-6)
    for rows, g_vectors, g_biases in steps:
        for n, row in enumerate(rows):
            for which, g in enumerate((g_vectors[n].astype(np.float64), g_biases[n : n + 1].astype(np.float64))):
                squares[which, row] += (g**2).mean()
                values[which][row] -= (RATE, RATE_BIAS)[which] * g / np.sqrt(squares[which, row])
    return values[0], values[1][:, 0]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_steps_of_an_optimiser_equal_those_of_torch_or_of_a_float64_loop(optimizer: str) -> None:
    kernels, steps = Kernels(optimizer), made_up_steps()
    if optimizer == "adagrad":
        vectors, biases = adagrad_loop(kernels, steps)
    else:
        vectors, biases = torchs_own(optimizer, kernels, steps)
    untouched = [array[5].copy() for array in kernels.arrays()]
    for step in steps:
        assert kernels.step(*step)
    np.testing.assert_allclose(kernels.vectors, vectors, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(kernels.biases, biases, rtol=1e-4, atol=1e-5)
    assert all(np.array_equal(array[5], before) for array, before in zip(kernels.arrays(), untouched, strict=True))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_reference_makes_the_same_steps(optimizer: str) -> None:
    kernels, steps = Kernels(optimizer), made_up_steps()
    reference = Rows(
        torch.tensor(kernels.vectors, dtype=torch.float64),
        torch.tensor(kernels.biases, dtype=torch.float64),
        optimizer,
        RATE,
        RATE_BIAS,
    )
    for step in steps:
        kernels.step(*step)
        reference.step(*(torch.tensor(part) for part in step))
    np.testing.assert_allclose(kernels.vectors, reference.values[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(kernels.biases[:, None], reference.values[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [1, 2], ids=["vectors", "biases"])
def test_a_gradient_that_is_not_finite_changes_nothing_at_all(where: int, poison: float, optimizer: str) -> None:
    kernels, (step, *_) = Kernels(optimizer), made_up_steps()
    step[where].flat[-1] = poison
    before = [array.copy() for array in kernels.arrays()]
    assert not kernels.step(*step)
    assert all(np.array_equal(array, was) for array, was in zip(kernels.arrays(), before, strict=True))


def test_adagrad_on_gamma_keeps_it_within_its_bounds() -> None:
    gamma, squares = np.array([0.06, 1, 2.99], np.float32), np.array([0.1, 0.1, 0.1], np.float32)
    gradient = np.array([2, 0.5, -2], np.float32)
    adagrad_classes(gradient, gamma, squares, 0.02, GAMMA_LOW, GAMMA_HIGH)
    np.testing.assert_allclose(squares, [4.1, 0.35, 4.1], rtol=1e-6)
    np.testing.assert_allclose(gamma, [0.05, 1 - 0.02 * 0.5 / np.sqrt(0.35), 3], rtol=1e-6)
