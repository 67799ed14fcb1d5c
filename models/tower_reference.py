"""The training step in torch: the readable reference that the kernels are tested against, on both sides.

    h    = p + sum_l a_l q_{j_l}
    s_i  = gamma_c q_i . h + b_i + alpha_c . log popularity_i
    L    = sum over examples of `example_losses`, plus reg / 2 |q|^2 at each use of a row
    step = `Rows.step`: SGD, row-wise AdaGrad or Adam on the rows that were used

Gradients are autograd's. Nothing but tests runs this: the numba kernels (`tower_kernels.py`, `learning.py`,
`losses.py`, `optimisers.py`) make the same step some ten times faster on a CPU.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from models.losses import NEGATIVES, ZEROS
from models.optimisers import BETA_1, BETA_2, EPSILON, INITIAL_SQUARES

NOTHING = -1e30
"""Score of what was not drawn: its share of a softmax is 0 and, unlike minus infinity's, its gradient no NaN."""


def example_losses(
    loss: str,
    scores: Tensor,
    drawn: Tensor,
    n_rows: int,
    weight: Tensor,
    target: Tensor,
    rated: Tensor,
) -> Tensor:
    """The loss (B,) of each example; see losses.py for the formulas and their sources.

    scores (B,1+S): the item's, then those of its negatives; drawn (B,S): which of these count; n_rows: N, from how many
    they were drawn; weight, target and rated (B,).
    """
    n_negatives = drawn.shape[1]
    s_y, s_n = scores[:, 0], scores[:, 1:]  # (B,), (B, S)
    if loss == "mse":
        zeros = torch.where(drawn, s_n, 0.0).square().sum(1) * ZEROS / n_negatives
        zeros = torch.where(rated | (weight < 0), 0.0, zeros)
        return weight.abs() * ((s_y - target).square() + zeros) / 2
    if loss == "bce":
        prior = math.log(NEGATIVES)
        negatives = torch.where(drawn, logsigmoid(prior - s_n), 0.0).sum(1) * NEGATIVES / n_negatives
        return torch.where(
            weight > 0, -weight * (logsigmoid(s_y - prior) + negatives), weight * logsigmoid(prior - s_y)
        )
    correction = math.log(max(n_rows - 1, 1) / n_negatives)
    rivals = torch.where(drawn, s_n + correction, NOTHING)  # (B, S)
    everything = torch.cat([s_y[:, None], rivals], 1).logsumexp(1)
    log_p, log_not_p = s_y - everything, rivals.logsumexp(1) - everything
    losses = torch.where(weight > 0, -weight * log_p, weight * log_not_p)
    return torch.where(drawn.any(1), losses, 0.0)


class Gradients(NamedTuple):
    """What `tower_kernels.batch_gradient` returns."""

    rows: Tensor  # (n,) touched
    vectors: Tensor  # (n, k)
    biases: Tensor  # (n,)
    alpha: Tensor  # (7, F)
    gamma: Tensor  # (7,)
    loss: float  # without the regularisation
    scores: Tensor  # (B, 1+S), NaN where nothing was drawn or needed


def batch_gradients(
    vectors: Tensor,
    biases: Tensor,
    log_popularity: Tensor,
    alpha: Tensor,
    gamma: Tensor,
    n_rows: int,
    embedding: Tensor,
    recent_weights: Tensor,
    recent: Tensor,
    activity: Tensor,
    weight: Tensor,
    target: Tensor,
    rated: Tensor,
    positive: Tensor,
    negatives: Tensor,
    fresh: Tensor,
    loss: str,
    regularisation: float,
) -> Gradients:
    """Gradients of one batch of B examples by autograd; the arguments are those of `tower_kernels.batch_gradient`.

    log_popularity (I,F); recent (B,L) and negatives (B,S) are rows, -1 where there is none.
    """
    needed = torch.ones_like(rated) if loss == "softmax" else (weight > 0) & ~(rated & (loss == "mse"))
    drawn = (negatives >= 0) & needed[:, None]  # (B, S)
    used = torch.cat([torch.ones_like(drawn[:, :1]), drawn, recent >= 0], 1)  # (B, 1+S+L)
    every_row = torch.cat([positive[:, None], negatives, recent], 1)  # (B, 1+S+L)
    touched, places = torch.unique(every_row[used], return_inverse=True)
    at = torch.zeros(used.shape, dtype=torch.int64).masked_scatter(used, places)
    n_scored = 1 + negatives.shape[1]

    q, b = vectors[touched].requires_grad_(), biases[touched].requires_grad_()
    alpha, gamma = alpha.clone().requires_grad_(), gamma.clone().requires_grad_()
    a_c = torch.where(fresh[:, None], alpha[activity], alpha[activity].detach())  # (B, F)
    gamma_c = torch.where(fresh, gamma[activity], gamma[activity].detach())  # (B,)
    rows = q[at]  # (B, 1+S+L, k)
    a_l = torch.where(recent >= 0, recent_weights, 0.0)  # (B, L)
    h = embedding + (a_l[:, :, None] * rows[:, n_scored:]).sum(1)  # (B, k)
    scores = gamma_c[:, None] * (rows[:, :n_scored] @ h[:, :, None]).squeeze(2) + b[at[:, :n_scored]]
    if loss != "mse":
        scores = scores + (log_popularity[touched][at[:, :n_scored]] @ a_c[:, :, None]).squeeze(2)
    total = example_losses(loss, scores, drawn, n_rows, weight, target, rated).sum()
    uses = torch.cat([used[:, :n_scored].to(q.dtype), a_l], 1)
    (total + regularisation / 2 * (uses * rows.square().sum(2)).sum()).backward()  # type: ignore[no-untyped-call]

    def gradient(of: Tensor) -> Tensor:
        return torch.zeros_like(of) if of.grad is None else of.grad

    seen = torch.where(used[:, :n_scored], scores.detach(), torch.nan)
    return Gradients(touched, gradient(q), gradient(b), gradient(alpha), gradient(gamma), total.item(), seen)


def user_gradient(
    embedding: Tensor,
    context: Tensor,
    vectors: Tensor,
    offsets: Tensor,
    gamma: float,
    n_rows: int,
    n_negatives: int,
    loss: str,
    weight: float,
    target: float,
    rated: bool,
    regularisation: float,
) -> Tensor:
    """dL/dp (k,) of one event by autograd; vectors (1+n,k) and offsets (1+n,), bias and popularity, of the item and its
    n <= S negatives.
    """
    p = embedding.clone().requires_grad_()
    scores = gamma * vectors @ (p + context) + offsets
    drawn = torch.arange(n_negatives) < len(vectors) - 1
    padded = torch.cat([scores, torch.zeros(1 + n_negatives - len(scores), dtype=scores.dtype)])
    w, t, r = torch.tensor([weight]), torch.tensor([target]), torch.tensor([rated])
    example = example_losses(loss, padded[None], drawn[None], n_rows, w, t, r)
    (example.sum() + regularisation / 2 * p.square().sum()).backward()  # type: ignore[no-untyped-call]
    assert p.grad is not None
    return p.grad


class Rows:
    """Vectors (I,k) and biases (I,) with the moments of one optimiser; a step touches the rows it names, no other."""

    def __init__(
        self, vectors: Tensor, biases: Tensor, optimizer: str, learning_rate: float, learning_rate_bias: float
    ) -> None:
        self.values = (vectors, biases[:, None])
        self.optimizer = optimizer
        self.rates = (learning_rate, learning_rate_bias)
        self.squares = [torch.full((len(biases), 1), INITIAL_SQUARES, dtype=vectors.dtype) for _ in self.values]
        self.means = [torch.zeros_like(values) for values in self.values]
        self.variances = [torch.zeros_like(values) for values in self.values]
        self.steps = torch.zeros(len(biases), 1, dtype=torch.int64)

    def step(self, rows: Tensor, g_vectors: Tensor, g_biases: Tensor) -> None:
        """One step on these rows (n,); see optimisers.py for the formulas and their sources."""
        self.steps[rows] += 1
        for which, g in enumerate((g_vectors, g_biases[:, None])):
            self.values[which][rows] -= self.rates[which] * self._direction(which, rows, g)

    def _direction(self, which: int, rows: Tensor, g: Tensor) -> Tensor:
        if self.optimizer == "sgd":
            return g
        if self.optimizer == "adagrad":
            self.squares[which][rows] += g.square().mean(1, keepdim=True)
            return g / self.squares[which][rows].sqrt()
        m = self.means[which][rows] = BETA_1 * self.means[which][rows] + (1 - BETA_1) * g
        v = self.variances[which][rows] = BETA_2 * self.variances[which][rows] + (1 - BETA_2) * g.square()
        t = self.steps[rows]
        return (m / (1 - BETA_1**t)) / ((v / (1 - BETA_2**t)).sqrt() + EPSILON)
