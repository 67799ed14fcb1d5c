"""A stream as arrays of numbers, in which the baselines' kernels walk."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.learning import Ints
from models.records import Interaction


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """n events of users 0, 1, … and items 0, 1, …, both numbered by first use: the items seen before event e are the
    numbers below item[:e].max() + 1.
    """

    user: Ints  # (n,)
    item: Ints  # (n,)
    previous: Ints  # (n,) position of the user's event before this one, -1 for the first

    @property
    def n_users(self) -> int:
        """Users in the whole stream."""
        return int(self.user.max(initial=-1)) + 1

    @property
    def n_items(self) -> int:
        """Items in the whole stream."""
        return int(self.item.max(initial=-1)) + 1


def columns_of(events: Sequence[Interaction]) -> Columns:
    """The events as numbers."""
    user, item = by_first_use([e.user_id for e in events]), by_first_use([e.item_id for e in events])
    latest: dict[int, int] = {}
    previous = np.full(len(events), -1, np.int64)
    for n, u in enumerate(user.tolist()):
        previous[n] = latest.get(u, -1)
        latest[u] = n
    return Columns(user, item, previous)


def by_first_use(names: Sequence[str]) -> Ints:
    """Names as the numbers of their first use.

    >>> by_first_use(["b", "a", "b"]).tolist()
    [0, 1, 0]
    """
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
