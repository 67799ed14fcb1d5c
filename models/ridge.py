"""Ridge regression in closed form (Hoerl and Kennard 1970)."""

import torch
from torch import Tensor


def fit_ridge(x: Tensor, y: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Weights (d,m) and intercept (m,) float64 that map x (n,d) to y (n,m).

        W = (X^T X + ridge I)^-1 X^T (Y - mean Y),   predicted = mean Y + x W

    Columns in which x holds nothing have no part in the sum, and their weights are 0 as the formula has it. A row of
    zeros predicts the mean. The cost is n u^2 + u^3 / 3 for u used columns.
    """
    x, y = x.double(), y.double()
    intercept = y.mean(0)
    weights = torch.zeros(x.shape[1], y.shape[1], dtype=torch.float64)
    used = torch.nonzero((x != 0).any(0)).flatten()
    x = x[:, used]
    gram = x.T @ x + ridge * torch.eye(len(used), dtype=torch.float64)
    weights[used] = torch.linalg.solve(gram, x.T @ (y - intercept))
    return weights, intercept
