"""Which items of a snapshot are close to one, and which have moved between two. numpy, no kernels: it runs once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.learning import Floats, Ints
from models.snapshots import SnapshotRows


@dataclass(frozen=True, slots=True)
class Moved:
    """An item that two snapshots have."""

    row: int
    """In the later one."""
    cosine: float
    """Between its two vectors; 1 if neither has a length, 0 if one has none."""
    norm_before: float
    norm_after: float


def closest(vectors: Floats, row: int, n: int) -> list[tuple[int, float]]:
    """The n rows of `vectors` (I, k) with the largest cosine to one row, and the cosine; ties by row, zeros last.

    >>> closest(np.array([[1, 0], [2, 0], [0, 3], [0, 0]], np.float32), 0, 2)
    [(1, 1.0), (2, 0.0)]
    """
    unit = _unit(vectors)
    cosines = unit @ unit[row]  # (I,) float64
    cosines[~unit.any(axis=1)] = -2
    cosines[row] = -np.inf
    order = np.argsort(-cosines, kind="stable")[: max(0, min(n, len(vectors) - 1))]
    return [(int(each), round(max(-1.0, float(cosines[each])), 6)) for each in order]


def shared_rows(one: Ints, other: Ints) -> tuple[Ints, Ints]:
    """Rows of the hashes that both have, (S,) each, in the order of the hashes."""
    _, first, second = np.intersect1d(one, other, return_indices=True)
    return first, second


def most_moved(before: SnapshotRows, after: SnapshotRows, n: int) -> list[Moved]:
    """The n items of both with the smallest cosine between their vectors; of equal ones the greatest change of norm."""
    first, second = shared_rows(before.hashes, after.hashes)
    one, other = before.vectors[first].astype(np.float64), after.vectors[second].astype(np.float64)
    norms_1, norms_2 = np.linalg.norm(one, axis=1), np.linalg.norm(other, axis=1)
    cosines = np.einsum("ij,ij->i", _unit(one), _unit(other))  # (S,)
    cosines[(norms_1 == 0) & (norms_2 == 0)] = 1.0
    order = np.lexsort((second, -np.abs(norms_2 - norms_1), np.round(cosines, 9)))[:n]
    columns = zip(second[order], cosines[order], norms_1[order], norms_2[order], strict=True)
    return [Moved(int(row), float(cosine), float(a), float(b)) for row, cosine, a, b in columns]


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Vectors of length 1; those without a length stay zero."""
    wide = vectors.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.divide(wide, norms, out=np.zeros_like(wide), where=norms > 0)
