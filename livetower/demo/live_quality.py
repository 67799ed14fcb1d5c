"""Hit rates of lists that arrive live, and of global popularity on the same events.

It knows no Kafka, Flink, clock or data set.

Prequential, as models/evaluation.py does it offline: an event is tested before it is learned.

  live        Event n of a user is tested against the list that the service sent in answer to event n-1 of that user.
              The service answers an event after learning it and before learning that user's next one, so this list
              cannot know event n, however late it arrives here; the answer to event n itself is never used for event n.
  popularity  Event n is tested against the ten most frequent items among ALL events sent before it, without those its
              user has consumed (livetower/watch/popularity.py).

Not scored, for both: a user's first event (nobody knows the user) and a repeated (user, item) pair (both leave out what
was consumed). Everything else counts: where no list came, the live side has missed. Kafka delivers at least once, and a
job that restarts may answer an event again, with a table that has since learned more: the first answer to an event
counts, later ones do not.
"""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from livetower.watch.hit_rates import HitRates
from livetower.watch.popularity import HIT, NOT_SCORED, PopularityTest

LIST_LENGTH = 10


def next_events(users: Sequence[str]) -> list[int]:
    """For each event the position of its user's next event, or -1.

    >>> next_events(["ann", "bob", "ann", "ann"])
    [2, -1, 3, -1]
    """
    following = [-1] * len(users)
    latest: dict[str, int] = {}
    for event, user in enumerate(users):
        if user in latest:
            following[latest[user]] = event
        latest[user] = event
    return following


def popularity_hits(users: Sequence[str], items: Sequence[str], length: int = LIST_LENGTH) -> npt.NDArray[np.int8]:
    """HIT, MISS or NOT_SCORED for each event of the sent stream, by global popularity up to that event.

    Ann's second event asks for x, which Bob has made the most popular item that she has not consumed:

    >>> popularity_hits(["ann", "bob", "ann"], ["w", "x", "x"], length=1).tolist()
    [-1, -1, 1]
    """
    popularity = PopularityTest(length, users_max=len(users) + 1, items_max=len(users) + 1)
    return np.array([popularity.test_and_count(*event) for event in zip(users, items, strict=True)], np.int8)


class LiveQuality:
    """Scores of one sent stream; lists may arrive in any order between users.

    users, items: of all events in the order in which they are sent. A user's order must survive the way (one Kafka key,
    one partition, an idempotent producer). Bounds: one byte per event and mark; nothing of a list is kept once it is
    scored.
    """

    def __init__(self, users: Sequence[str], items: Sequence[str], length: int = LIST_LENGTH) -> None:
        self._items = items
        self._length = length
        self._next = next_events(users)
        self._popularity = popularity_hits(users, items, length)
        self._live_hit = np.zeros(len(users), bool)  # tested against its list, and the list held the item
        self._tested = np.zeros(len(users), bool)  # its list has arrived
        self._answered = np.zeros(len(users), bool)  # its own list, which tests the user's next event, has arrived
        self.repeated = 0  # lists for an event that had been answered before

    def accept_list(self, event: int, item_ids: Collection[str]) -> bool:
        """Take the list, best item first, that answers the event at this position; False if it was answered before."""
        if self._answered[event]:
            self.repeated += 1
            return False
        self._answered[event] = True
        tested = self._next[event]
        if tested >= 0:
            self._tested[tested] = True
            self._live_hit[tested] = self._items[tested] in list(item_ids)[: self._length]
        return True

    def answered(self, start: int, stop: int) -> int:
        """Number of the events start, …, stop-1 for which a list has arrived."""
        return int(self._answered[start:stop].sum())

    def rates(self, start: int, stop: int) -> HitRates:
        """Final rates of the events start, …, stop-1: an event whose list never came is a miss."""
        return self._count(start, stop, self._popularity[start:stop] != NOT_SCORED)

    def rates_so_far(self, start: int, stop: int) -> HitRates:
        """Rates of those events start, …, stop-1 whose list has arrived: a view while others are still on their way."""
        return self._count(start, stop, (self._popularity[start:stop] != NOT_SCORED) & self._tested[start:stop])

    def _count(self, start: int, stop: int, scored: npt.NDArray[np.bool_]) -> HitRates:
        return HitRates(
            scored=int(scored.sum()),
            live_hits=int((self._live_hit[start:stop] & scored).sum()),
            popularity_hits=int(((self._popularity[start:stop] == HIT) & scored).sum()),
        )
