"""The whole job in one thread: users and tower joined by snapshots, every event tested before it is learned.

Nothing here learns or ranks: `advance` is the user side, `TowerStream` the tower, and a snapshot passes between them as
the bytes that the job publishes. It publishes where the job does when nothing waits for a clock: vectors at the points
of `next_full`, always in full since a delta makes the same table, and popularity every `popularity_examples`. No gate
withholds any. `evaluation.py` has the measures; `livetower evaluate` prints.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from models.evaluation import rank_of
from models.hashing import hash_id
from models.item_table import ItemTable
from models.learning import Floats, Ints
from models.publishing import SnapshotBase, full_snapshot, next_full, popularity_update
from models.recommender import Advance, advance, scores_before
from models.records import Interaction, Item, Recommendation, encode_item
from models.settings import ModelSettings, TowerSettings
from models.snapshots import decode_snapshot, encode_snapshot, table_of, updated
from models.tower_stream import InputKind, TowerInput, TowerStream, input_of_user
from models.user_state import UserState

NOT_SCORED: Final = 0
"""Rank of an event whose user nobody knew."""
PROGRESS_EVERY: Final = 200


class LocalJob:
    """User states, tower and item table. `items` are what the catalogue says before the first event."""

    def __init__(self, model: ModelSettings, tower: TowerSettings, items: Iterable[Item] = ()) -> None:
        self.model = model
        self.settings = tower
        self.users: dict[str, UserState] = {}
        self.stream = TowerStream(model, tower)
        self.table: ItemTable | None = None
        self._full: ItemTable | None = None
        self._base: SnapshotBase | None = None
        self._next_full = 0
        self._popularity_trained = 0
        for item in items:
            self.stream.accept(TowerInput(InputKind.ITEM, encode_item(item)))
        self._publish_due(0)

    def rank(self, event: Interaction) -> int:
        """Rank of the event's item among all that its user has not consumed, before anything is learned from it.

        NOT_SCORED for a user without earlier positive events, MISS for an item that the table does not hold.
        """
        state = self.users.get(event.user_id)
        if state is None or state.positives == 0:
            return NOT_SCORED
        scores = np.zeros(0, np.float32) if self.table is None else self.scores(event)
        row = -1 if self.table is None else self.table.row_of(hash_id(event.item_id))
        return int(rank_of(scores, np.zeros(len(scores), np.bool_), row))

    def scores(self, event: Interaction) -> Floats:
        """(I,) the scores by which `advance` would rank at the event's time before learning it; NaN: no candidate."""
        assert self.table is not None
        return scores_before(self.users[event.user_id], event, self.table, self.model)

    def learn(self, event: Interaction) -> Advance:
        """What the job does with an event: the user side, the tower, and what is due to be published then."""
        result = advance(self.users.get(event.user_id), event, self.table, event.event_time_ms, self.model)
        _keep(self.users, event.user_id, result.state)
        if result.example_blob is not None:
            self.stream.accept(input_of_user(result.example_blob))
            self._publish_due(event.event_time_ms)
        return result

    def _publish_due(self, now_ms: int) -> None:
        tower, trained = self.stream.tower, self.stream.trained
        if tower.n_items == 0:
            return
        renumbered = self._base is not None and self._base.generation != tower.generation
        if self._base is None or renumbered or trained >= self._next_full:
            self._publish_full(now_ms)
        elif trained - self._popularity_trained >= self.settings.popularity_examples:
            self._publish_popularity(now_ms)

    def _publish_full(self, now_ms: int) -> None:
        rows, self._base = full_snapshot(self.stream.tower, 0, self.stream.trained)
        self._full = self.table = table_of(decode_snapshot(encode_snapshot(rows)), "", now_ms)
        self._next_full = next_full(self.stream.trained, self.settings.snapshot_examples)
        self._popularity_trained = self.stream.trained

    def _publish_popularity(self, now_ms: int) -> None:
        assert self._full is not None
        assert self._base is not None
        update = popularity_update(self.stream.tower, self._base, 0, self.stream.trained)
        assert update is not None
        self.table = updated(self._full, decode_snapshot(encode_snapshot(update)), now_ms)
        self._popularity_trained = self.stream.trained


def prequential_ranks(
    job: LocalJob,
    events: Sequence[Interaction],
    progress: Callable[[int], None],
    test: Callable[[LocalJob, Interaction, int], None] | None = None,
) -> Ints:
    """The rank (n,) of each event before it is learned; `progress` hears now and then how many events are done, `test`
    sees each event and its position before it is learned.
    """
    ranks = np.empty(len(events), np.int64)
    for n, event in enumerate(events):
        ranks[n] = job.rank(event) if job.model.is_positive(event.event_type) else NOT_SCORED
        if test is not None:
            test(job, event, n)
        job.learn(event)
        if n % PROGRESS_EVERY == 0:
            progress(n)
    progress(len(events))
    return ranks


def pinned_recommendations(
    items: ItemTable, events: Iterable[tuple[Interaction, int]], model: ModelSettings
) -> Iterator[Recommendation]:
    """The list after each (event, Kafka timestamp) with a table that never changes, as a job with `pin_snapshot` makes
    them; a duplicate has none.
    """
    users: dict[str, UserState] = {}
    for event, kafka_ms in events:
        result = advance(users.get(event.user_id), event, items, kafka_ms, model)
        _keep(users, event.user_id, result.state)
        if result.recommendation is not None:
            yield result.recommendation


def _keep(users: dict[str, UserState], user_id: str, state: UserState | None) -> None:
    if state is None:
        users.pop(user_id, None)
    else:
        users[user_id] = state
