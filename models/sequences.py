"""The bounded sequences of a user state, as kernels extend them: short arrays that are replaced, never changed."""

import numpy as np
from numpy.typing import NDArray

from models.kernels import part
from models.learning import Ints


@part
def contains(sequence: Ints, value: int) -> bool:
    """Whether the value is in the sequence."""
    for other in sequence:  # noqa: SIM110  # any() of a generator does not compile
        if other == value:
            return True
    return False


@part
def prepended(newest_first: Ints, value: int, at_most: int) -> Ints:
    """The sequence with `value` before it, cut at its end to `at_most`."""
    n_kept = min(len(newest_first), at_most - 1)
    longer = np.empty(n_kept + 1, np.int64)
    longer[0] = value
    longer[1:] = newest_first[:n_kept]
    return longer


@part
def appended(oldest_first: Ints, value: int, at_most: int) -> Ints:
    """The sequence with `value` after it, cut at its start to `at_most`."""
    n_kept = max(0, min(len(oldest_first), at_most - 1))
    longer = np.empty(min(n_kept + 1, at_most), np.int64)
    if at_most == 0:
        return longer
    longer[:n_kept] = oldest_first[len(oldest_first) - n_kept :]
    longer[n_kept] = value
    return longer


@part
def consumed_with(
    items: Ints, days: NDArray[np.uint32], item: int, day: int, at_most: int
) -> tuple[Ints, NDArray[np.uint32], int]:
    """Consumed items and days (C,), oldest first, with `item` as the newest, and how many fell off at the bound."""
    longer = np.empty(len(items) + 1, np.int64)
    longer_days = np.empty(len(items) + 1, np.uint32)
    n = 0
    for at in range(len(items)):
        if items[at] != item:
            longer[n], longer_days[n] = items[at], days[at]
            n += 1
    longer[n], longer_days[n] = item, day
    n_dropped = max(0, n + 1 - at_most)
    return longer[n_dropped : n + 1], longer_days[n_dropped : n + 1], n_dropped
