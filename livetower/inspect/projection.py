"""Item vectors as points of a plane, by principal components."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Points of the vectors that are finite."""

    rows: NDArray[np.int64]  # (m,) which vectors they are of
    points: NDArray[np.float64]  # (m, 2)
    share: tuple[float, float]
    """Of all variance, what each axis shows."""


def project(vectors: NDArray[Any]) -> Projection:
    """The first two principal components of vectors (n, k): eigenvectors of their covariance, in float64.

    An axis points to where its largest loading is positive, so that equal vectors give equal pictures. With fewer than
    two vectors or dimensions what is missing is 0.
    """
    rows = np.flatnonzero(np.isfinite(vectors).all(1))
    centred = vectors[rows].astype(np.float64)
    points, share = np.zeros((len(rows), 2)), [0.0, 0.0]
    if len(rows) > 1:
        centred -= centred.mean(0)
        values, axes = np.linalg.eigh(centred.T @ centred / (len(rows) - 1))
        total = float(values.sum())
        for n in range(min(2, vectors.shape[1])):
            axis = axes[:, -1 - n]
            axis = axis * np.sign(axis[np.abs(axis).argmax()])
            points[:, n] = centred @ axis
            share[n] = float(values[-1 - n]) / total if total > 0 else 0.0
    return Projection(rows, points, (share[0], share[1]))
