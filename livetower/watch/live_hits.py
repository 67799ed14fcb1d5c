"""Hit rates of lists that are seen on their topic, and of global popularity on the same events, as they come.

It knows no Kafka, clock or data set, and nothing of the future: an event is tested before it is learned, as in
models/evaluation.py. Event n of a user is tested against the list that answers event n-1 of that user, whichever of the
two is read first: topics have no common order. Events count whose list was seen: before the watch began, or when no
list came, there is nothing to judge. For popularity see popularity.py.

livetower/demo/live_quality.py does the same for a stream that is known in advance, where a list that never comes is a
miss.
"""

from collections.abc import Sequence

from livetower.watch.bounded import keep_newest
from livetower.watch.hit_rates import HitRates
from livetower.watch.popularity import HIT, NOT_SCORED, PopularityTest

LIST_LENGTH = 10
LISTS_MAX = 100_000
"""Lists that wait for their user's next event: about 40 MB of lists of ten items, which click_through.py holds too."""
USERS_MAX = 50_000
CONSUMED_MAX = 1_024


class LiveHits:
    """Rates of what was seen so far, of the newest LISTS_MAX lists, USERS_MAX users and CONSUMED_MAX items of each."""

    def __init__(self, length: int = LIST_LENGTH, lists_max: int = LISTS_MAX) -> None:
        self._length = length
        self._lists_max = lists_max
        self._popularity = PopularityTest(length, USERS_MAX, CONSUMED_MAX)
        self._newest: dict[str, str] = {}  # user -> rec_id of the list that answers the user's newest event
        self._lists: dict[str, Sequence[str]] = {}  # rec_id -> item ids, best first
        self._waiting: dict[str, tuple[str, int]] = {}  # rec_id -> the item it is tested with, popularity's outcome
        self._scored = self._live_hits = self._popularity_hits = 0

    def accept_event(self, rec_id: str, user: str, item: str | None, positive: bool) -> None:
        """An accepted interaction; `rec_id` names the list that will answer it, `item` is None if it has none."""
        tested = self._newest.get(user)
        if tested == rec_id:  # the same event again
            return
        keep_newest(self._newest, user, rec_id, USERS_MAX)
        if item is None:
            return
        if not positive:
            self._popularity.consume(user, item)
            return
        outcome = self._popularity.test_and_count(user, item)
        if tested is None or outcome == NOT_SCORED:
            return
        if (shown := self._lists.get(tested)) is None:
            keep_newest(self._waiting, tested, (item, outcome), self._lists_max)
        else:
            self._score(shown, item, outcome)

    def accept_list(self, rec_id: str, item_ids: Sequence[str]) -> None:
        """A list, best item first; the first one of a rec_id counts."""
        if rec_id in self._lists:
            return
        keep_newest(self._lists, rec_id, item_ids, self._lists_max)
        if (test := self._waiting.pop(rec_id, None)) is not None:
            self._score(item_ids, *test)

    def rates(self) -> HitRates:
        return HitRates(self._scored, self._live_hits, self._popularity_hits)

    def _score(self, shown: Sequence[str], item: str, outcome: int) -> None:
        self._scored += 1
        self._live_hits += item in shown[: self._length]
        self._popularity_hits += outcome == HIT
