"""What one event does: `advance`, the one function that decides.

Flink's operator, `prequential.py` and the tests call it; nobody holds a second copy. It is pure: the same arguments
give the same result, bit for bit, and arguments are never changed (but for the item table's scratch). Where the parts
live: `learning.py` makes the step, `ranking.py` the list, `examples.py` what the item tower learns from.
"""

import math
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.examples import Example, fingerprints
from models.hashing import hash_id, stream_of
from models.item_table import ItemTable, activity_class
from models.learning import ROWS_FOR_A_STEP, Floats, Ints, context_weights, learn_user
from models.ranking import Doubles, Taken, Viewer, rank_for_user, score_for_user
from models.ratings import rating_of, target_of
from models.records import EventType, Interaction, Recommendation, RecommendedItem
from models.sequences import appended, consumed_with, contains, prepended
from models.settings import LOSSES, OPTIMIZERS, ModelSettings
from models.strategies import WEIGHTS, Strategy, beta_row
from models.user_profile import seeded_embedding
from models.user_state import InvalidState, UserState, new_user_state, with_moments_of

DAY_MS: Final = 86_400_000
DECIMALS: Final = 6
"""Of scores in a list: what a float32 holds. The other digits of its float64 would make half of the record."""
STRATEGIES: Final = {str(strategy): strategy for strategy in Strategy}
Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Advance:
    """What came of an event: the user's next state, the fresh list (None before any item table), the example (None if
    nothing is to be learned from it). A duplicate is recognised by its event id and changes nothing.
    """

    state: UserState
    recommendation: Recommendation | None = None
    example: Example | None = None
    duplicate: bool = False


def advance(
    state: UserState | None, event: Interaction, items: ItemTable | None, now_ms: int, settings: ModelSettings
) -> Advance:
    """Learn from `event` and rank anew.

    `state` is None for a user never seen, `items` is None before the first snapshot; `now_ms` is the event's Kafka
    timestamp. Raises FloatingPointError if the step leaves the finite numbers, InvalidState if state or table have
    another dimension than the settings.
    """
    user = state if state is not None else new_user_state(settings.dimension, now_ms)
    _require_dimension(user, items, settings)
    event_id = hash_id(event.event_id)
    if contains(user.event_ids, event_id):
        return Advance(user, duplicate=True)
    strategy = event.strategy or STRATEGIES[settings.strategy]
    weight = settings.event_weights.get(event.event_type, 0.0)
    positive = weight > 0
    rating = rating_of(event)
    item = hash_id(event.item_id)
    learned: UserState | _Learned = user
    recent, recent_ms = user.recent, user.recent_ms
    consumed, consumed_day, n_forgotten = user.consumed, user.consumed_day, 0
    example = None
    if weight != 0:
        example = _example(user, event, item, weight, now_ms, settings)
        if items is not None:
            learned = _learn(user, event, example, items, settings)
    if positive:
        recent = prepended(recent, item, settings.recent_items)
        recent_ms = prepended(recent_ms, event.event_time_ms, settings.recent_items)
    named: tuple[int, ...] = (item,)
    if event.event_type is EventType.REQUEST:
        named = ()
    elif event.event_type is EventType.PROFILE:
        named = tuple([hash_id(item_id) for item_id in event.items[::-1]])  # the first named becomes the newest
        if items is not None:
            seeded = seeded_embedding(
                user.embedding, user.positives, event.items, event.categories, items, settings.profile_weight
            )
            learned = replace(user, embedding=seeded)
        for declared in named:
            recent = prepended(recent, declared, settings.recent_items)
            recent_ms = prepended(recent_ms, event.event_time_ms, settings.recent_items)
    for each in named:
        consumed, consumed_day, n_dropped = consumed_with(
            consumed, consumed_day, each, event.event_time_ms // DAY_MS, settings.consumed_max
        )
        n_forgotten += n_dropped
    positives = user.positives + positive
    listed = None
    if items is not None:
        viewer = Viewer(
            embedding=learned.embedding,
            recent=recent,
            recent_ms=recent_ms,
            hidden=_hidden(consumed, consumed_day, event, settings),
            now_ms=event.event_time_ms,
        )
        listed = _rank(viewer, positives, strategy, items, settings)
    next_user = UserState(
        embedding=learned.embedding,
        accumulator=learned.accumulator,
        user_since_ms=user.user_since_ms,
        user_seq=user.user_seq + 1,
        positives=positives,
        newest_event_ms=max(user.newest_event_ms, event.event_time_ms),
        late=user.late + (event.event_time_ms < user.newest_event_ms),
        no_table=user.no_table + (items is None),
        forgotten=user.forgotten + n_forgotten,
        recent=_frozen(recent),
        recent_ms=_frozen(recent_ms),
        consumed=_frozen(consumed),
        consumed_day=_frozen(consumed_day),
        event_ids=_frozen(appended(user.event_ids, event_id, settings.dedup_max)),
        last_list=user.last_list if listed is None or items is None else _frozen(items.hashes[listed.rows]),
        rating_sum=user.rating_sum + (rating if rating is not None else 0.0),
        rating_count=user.rating_count + (rating is not None),
        optimizer=learned.optimizer,
        moments=learned.moments,
        steps=learned.steps,
    )
    if listed is None or items is None:
        return Advance(next_user, example=example)
    return Advance(next_user, _recommendation(next_user, event, strategy, items, listed), example)


def scores_before(state: UserState, event: Interaction, items: ItemTable, settings: ModelSettings) -> Floats:
    """The scores (I,) from which the user's list would be made at the event's time, before the event is learned; NaN
    for what must not be listed.
    """
    _require_dimension(state, items, settings)
    hidden = _hidden(state.consumed, state.consumed_day, event, settings)
    viewer = Viewer(state.embedding, state.recent, state.recent_ms, hidden, event.event_time_ms)
    taken = _taken(state.positives, event.strategy or Strategy(settings.strategy), items, settings)
    scores: Floats = score_for_user(viewer, taken, items.arrays)
    return scores


# ---- the steps -----------------------------------------------------------------------------------


def _example(
    user: UserState, event: Interaction, item: int, weight: float, now_ms: int, settings: ModelSettings
) -> Example:
    """The event as the tower sees it: everything about the user as it was before."""
    return Example(
        activity=activity_class(user.positives),
        user=hash_id(event.user_id),
        positive=item,
        kafka_ms=now_ms,
        weight=weight,
        embedding=user.embedding,
        recent_weights=context_weights(user.recent_ms, event.event_time_ms, settings.rho, settings.tau_s),
        recent=user.recent,
        consumed=fingerprints(user.consumed),
        item_id=event.item_id,
        target=target_of(user, event, weight),
        rated=rating_of(event) is not None,
    )


class _Learned(NamedTuple):
    embedding: Floats  # (k,)
    accumulator: float
    optimizer: int
    moments: Floats  # (2k,) or (0,)
    steps: int


def _learn(
    user: UserState, event: Interaction, example: Example, items: ItemTable, settings: ModelSettings
) -> UserState | _Learned:
    """Embedding and moments after the event; the user's own if the table lacks the item, or nearly everything else."""
    row = items.row_of(example.positive)
    if row < 0 or len(items.candidates) <= ROWS_FOR_A_STEP:
        return user
    optimizer = OPTIMIZERS.index(settings.optimizer)
    user = with_moments_of(user, optimizer)
    embedding, accumulator, moments, squares = learn_user(
        user.embedding,
        user.accumulator,
        user.moments,
        user.steps + 1,
        user.recent,
        example.recent_weights,
        user.consumed,
        row,
        example.weight,
        example.target,
        example.rated,
        items.arrays.slots,
        items.arrays.hashes,
        items.arrays.vectors,
        items.arrays.biases,
        items.log_popularity[example.activity],
        items.popularity.gamma[example.activity],
        items.arrays.candidates,
        items.arrays.marked,
        stream_of(settings.seed, example.user, user.user_seq),
        LOSSES.index(settings.loss),
        settings.negatives,
        settings.regularisation,
        optimizer,
        settings.rate,
    )
    if not math.isfinite(squares):
        raise FloatingPointError(
            f"user {event.user_id!r}: the step on item {event.item_id!r} left the finite numbers; "
            "lower the model's learning rate"
        )
    embedding.flags.writeable = moments.flags.writeable = False
    return _Learned(embedding, accumulator, optimizer, moments, user.steps + 1)


class _Listed(NamedTuple):
    rows: Ints  # (T,) best first
    parts: Doubles  # (T, 8) score, then strategies.PARTS
    because: Ints  # (T,) row of a recent item, or -1


def _rank(viewer: Viewer, positives: int, strategy: Strategy, items: ItemTable, settings: ModelSettings) -> _Listed:
    """The best items for the user as the event leaves it."""
    taken = _taken(positives, strategy, items, settings)
    return _Listed(*rank_for_user(viewer, taken, items.arrays, settings.top_k, settings.category_cap))


def _taken(positives: int, strategy: Strategy, items: ItemTable, settings: ModelSettings) -> Taken:
    """What the score takes from elsewhere, for a user with so many positive events."""
    activity = activity_class(positives)
    return Taken(
        weights=WEIGHTS[strategy],
        popularity=items.log_popularity[activity],
        gamma=float(items.popularity.gamma[activity]),
        beta=float(items.beta[beta_row(strategy), activity]),
        exploration=settings.exploration,
        rho=settings.rho,
        tau_s=settings.tau_s,
    )


def _hidden(consumed: Ints, consumed_day: NDArray[np.uint32], event: Interaction, settings: ModelSettings) -> Ints:
    """Hashes of what must not be listed: the consumed items, as far as settings say, and those the event excludes."""
    days = settings.consumed_days
    if days == 0:
        consumed = consumed[:0]
    elif days is not None:
        consumed = consumed[event.event_time_ms // DAY_MS - consumed_day.astype(np.int64) < days]
    if not event.exclude:
        return consumed
    return np.concatenate([consumed, np.array([hash_id(item) for item in event.exclude], np.int64)])


def _recommendation(
    user: UserState, event: Interaction, strategy: Strategy, items: ItemTable, listed: _Listed
) -> Recommendation:
    """The list as a record."""
    ids, rounded = items.ids, listed.parts.round(DECIMALS).tolist()
    entries = tuple(
        RecommendedItem._make((ids[row], *score_and_parts, ids[cause] if cause >= 0 else None))
        for row, score_and_parts, cause in zip(listed.rows.tolist(), rounded, listed.because.tolist(), strict=True)
    )
    return Recommendation(
        user_id=event.user_id,
        user_since_ms=user.user_since_ms,
        user_seq=user.user_seq,
        trigger=event.event_id,
        items=entries,
        strategy=strategy,
        epoch=items.epoch,
        trained_events=items.trained_events,
        snapshot_created_ms=items.created_ms,
    )


# ---- the checks ----------------------------------------------------------------------------------


def _frozen(array: NDArray[Number]) -> NDArray[Number]:
    array.setflags(write=False)
    return array


def _require_dimension(user: UserState, items: ItemTable | None, settings: ModelSettings) -> None:
    if len(user.embedding) != settings.dimension or (
        items is not None and items.vectors.shape[1] != settings.dimension
    ):
        table = "no item table" if items is None else f"an item table of dimension {items.vectors.shape[1]}"
        raise InvalidState(
            f"dimension must be {settings.dimension} as model.dimension says; "
            f"got a user state of dimension {len(user.embedding)} and {table}"
        )
