"""Would a list of the most frequent items have held what a user does next? Told event by event, before it is counted.

An event is tested against the most frequent items among all events before it, without those that its user has consumed.
Equal counts share their places: rank = 1 + #greater + ceil(#equal / 2). A user's first event (nobody knows the user)
and a repeated (user, item) pair (lists leave out what was consumed) are not scored.

Its readers: live_hits.py, and livetower/demo/live_quality.py for a stream that is known in advance.
"""

from livetower.watch.bounded import keep_newest

NOT_SCORED, MISS, HIT = -1, 0, 1


class PopularityTest:
    """Counts of all events so far. Bounds: one number per item, and `items_max` consumed items of the newest
    `users_max` users; a user beyond them is met as a new one.
    """

    def __init__(self, length: int, users_max: int, items_max: int) -> None:
        self._length = length
        self._users_max = users_max
        self._items_max = items_max
        self._counts: dict[str, int] = {}
        self._at_least = [0, 0]  # at_least[c]: number of items with c or more events (c >= 1); the last entry is 0
        self._consumed: dict[str, dict[str, None]] = {}

    def test_and_count(self, user: str, item: str) -> int:
        """HIT, MISS or NOT_SCORED for this event; then it counts.

        Ann's second event asks for x, which Bob has made the most popular item that she has not consumed:

        >>> popularity = PopularityTest(length=1, users_max=10, items_max=10)
        >>> [popularity.test_and_count(user, item) for user, item in (("ann", "w"), ("bob", "x"), ("ann", "x"))]
        [-1, -1, 1]
        """
        own = self._consumed.get(user, {})
        count = self._counts.get(item, 0)
        outcome = NOT_SCORED if not own or item in own else self._outcome(count, own)
        self.consume(user, item)
        self._counts[item] = count + 1
        if count + 2 == len(self._at_least):
            self._at_least.append(0)
        self._at_least[count + 1] += 1
        return outcome

    def consume(self, user: str, item: str) -> None:
        """The user has the item now; it says nothing about the item's popularity (a dislike)."""
        own = self._consumed.get(user, {})
        keep_newest(own, item, None, self._items_max)
        keep_newest(self._consumed, user, own, self._users_max)

    def _outcome(self, count: int, own: dict[str, None]) -> int:
        """HIT if an item with `count` events ranks in the first places of the items that are not the user's `own`."""
        if count == 0:  # never seen: no popularity list can hold it
            return MISS
        more = self._at_least[count + 1]
        if more - len(own) >= self._length:  # spares most events the loop over what the user has consumed
            return MISS
        equal = self._at_least[count] - more - 1
        for item in own:
            theirs = self._counts.get(item, 0)
            if theirs > count:
                more -= 1
            elif theirs == count:
                equal -= 1
        return HIT if 1 + more + (equal + 1) // 2 <= self._length else MISS
