"""Click-through: which of the lists that were seen led to an interaction, by snapshot and by strategy.

An interaction says with `rec_id` in which list its user met the item, and with `position` (0 is the best place) where.
It knows no Kafka. A list counts as clicked once, however many of its items are; what names a list that was not seen, or
an item that its list did not hold (there), is counted apart.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from livetower.watch.bounded import keep_newest

LISTS_MAX = 100_000
"""Lists that can still be clicked: at 1,000 a second those of the last 100 seconds; about 40 MB of lists of ten."""
SNAPSHOTS_MAX = 1_024
"""Snapshots that are told apart: at one a second those of the last 17 minutes."""
STRATEGIES_MAX = 64


@dataclass(frozen=True, slots=True)
class Clicks:
    """What became of the lists of one snapshot or one strategy."""

    name: str
    lists: int
    clicked: int

    @property
    def rate(self) -> float:
        """Clicked lists per list."""
        return self.clicked / self.lists


@dataclass(slots=True)
class _SeenList:
    strategy: str
    snapshot: str
    item_ids: Sequence[str]
    clicked: bool = False


class ClickThrough:
    """Counts of what was seen so far. Bounds: the newest LISTS_MAX lists and SNAPSHOTS_MAX snapshots."""

    def __init__(self, lists_max: int = LISTS_MAX) -> None:
        self._lists_max = lists_max
        self._lists: dict[str, _SeenList] = {}  # by rec_id
        self._by_strategy: dict[str, list[int]] = {}  # lists, clicked
        self._by_snapshot: dict[str, list[int]] = {}
        self.unknown = 0
        """Clicks on lists that were not seen, or so long ago that they are forgotten."""
        self.mistaken = 0
        """Clicks on items that the list they name did not hold, or not at this position."""

    def accept_list(self, rec_id: str, strategy: str, snapshot: str, item_ids: Sequence[str]) -> None:
        """A list, best item first; one that is delivered again counts once."""
        if rec_id in self._lists:
            return
        keep_newest(self._lists, rec_id, _SeenList(strategy, snapshot, item_ids), self._lists_max)
        for counts, name, most in (
            (self._by_strategy, strategy, STRATEGIES_MAX),
            (self._by_snapshot, snapshot, SNAPSHOTS_MAX),
        ):
            if name not in counts:
                keep_newest(counts, name, [0, 0], most)
            counts[name][0] += 1

    def accept_click(self, rec_id: str, position: int | None, item_id: str) -> None:
        """A positive interaction that names the list in which the user met the item."""
        seen = self._lists.get(rec_id)
        if seen is None:
            self.unknown += 1
            return
        there = seen.item_ids if position is None else seen.item_ids[position : position + 1]
        if item_id not in there:
            self.mistaken += 1
            return
        if seen.clicked:
            return
        seen.clicked = True
        for counts, name in ((self._by_strategy, seen.strategy), (self._by_snapshot, seen.snapshot)):
            if name in counts:
                counts[name][1] += 1

    def by_strategy(self) -> tuple[Clicks, ...]:
        """The strategies in the order of their first list."""
        return tuple(Clicks(name, *counts) for name, counts in self._by_strategy.items())

    def by_snapshot(self, most: int) -> tuple[Clicks, ...]:
        """The snapshots whose lists were clicked most; among equals those of newer lists first."""
        newest_first = (Clicks(name, *counts) for name, counts in reversed(self._by_snapshot.items()))
        return tuple(heapq.nlargest(most, newest_first, key=lambda clicks: clicks.clicked))
