"""What one event does: `advance`, the one function that decides.

Flink's operator, the evaluation and the tests all call it; nobody holds a second copy. It is pure: the same arguments
give the same result, bit for bit, and arguments are never changed (but for the item table's scratch buffers). Where the
parts live: `learning.py` makes the step, `ranking.py` the list, `examples.py` what the item tower learns from.
"""

import math
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.examples import Example, fingerprints
from models.hashing import hash_id, stream_of
from models.item_table import ItemTable, activity_class, find_rows
from models.learning import (
    ROWS_FOR_A_STEP,
    Floats,
    Ints,
    context_vector,
    context_weights,
    mark_consumed,
    step_embedding,
    unmark,
)
from models.ranking import explain_items, rank_items
from models.records import POSITIVE, EventType, Interaction, Recommendation, RecommendedItem
from models.sequences import appended, consumed_with, contains, prepended
from models.settings import ModelSettings
from models.user_state import UserState, new_user_state

DAY_MS: Final = 86_400_000
DECIMALS: Final = 6
"""Of scores in a list: what a float32 holds. The other digits of its float64 would make half of the record."""
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
    timestamp. Raises FloatingPointError if the step leaves the finite numbers, ValueError if state or table have
    another dimension than the settings.
    """
    user = state if state is not None else new_user_state(settings.dimension, now_ms)
    _require_dimension(user, items, settings)
    event_id = hash_id(event.event_id)
    if contains(user.event_ids, event_id):
        return Advance(user, duplicate=True)
    positive = event.event_type in POSITIVE
    item = hash_id(event.item_id)
    embedding, accumulator = user.embedding, user.accumulator
    recent, recent_ms = user.recent, user.recent_ms
    consumed, consumed_day, n_forgotten = user.consumed, user.consumed_day, 0
    example = None
    if positive:
        example = _example(user, event, item, now_ms, settings)
        if items is not None:
            embedding, accumulator = _learn(user, event, example, items, settings)
        recent = prepended(recent, item, settings.recent_items)
        recent_ms = prepended(recent_ms, event.event_time_ms, settings.recent_items)
    if event.event_type is not EventType.REQUEST:
        day = event.event_time_ms // DAY_MS
        consumed, consumed_day, n_forgotten = consumed_with(consumed, consumed_day, item, day, settings.consumed_max)
    next_user = UserState(
        embedding=embedding,
        accumulator=accumulator,
        user_since_ms=user.user_since_ms,
        user_seq=user.user_seq + 1,
        positives=user.positives + positive,
        newest_event_ms=max(user.newest_event_ms, event.event_time_ms),
        late=user.late + (event.event_time_ms < user.newest_event_ms),
        no_table=user.no_table + (items is None),
        forgotten=user.forgotten + n_forgotten,
        recent=_frozen(recent),
        recent_ms=_frozen(recent_ms),
        consumed=_frozen(consumed),
        consumed_day=_frozen(consumed_day),
        event_ids=_frozen(appended(user.event_ids, event_id, settings.dedup_max)),
        last_list=user.last_list,
    )
    if items is None:
        return Advance(next_user, example=example)
    listed, recommendation = _recommend(next_user, event, items, settings)
    return Advance(replace(next_user, last_list=_frozen(listed)), recommendation, example)


# ---- the steps -----------------------------------------------------------------------------------


def _example(user: UserState, event: Interaction, item: int, now_ms: int, settings: ModelSettings) -> Example:
    """The event as the tower sees it: everything about the user as it was before."""
    return Example(
        activity=activity_class(user.positives),
        user=hash_id(event.user_id),
        positive=item,
        kafka_ms=now_ms,
        weight=1.0,
        embedding=user.embedding,
        recent_weights=context_weights(user.recent_ms, event.event_time_ms, settings.rho, settings.tau_s),
        recent=user.recent,
        consumed=fingerprints(user.consumed),
        item_id=event.item_id,
    )


def _learn(
    user: UserState, event: Interaction, example: Example, items: ItemTable, settings: ModelSettings
) -> tuple[Floats, float]:
    """Embedding and accumulator after the event; unchanged if the table lacks the item, or nearly everything else."""
    row = items.row_of(example.positive)
    if row < 0 or len(items.candidates) <= ROWS_FOR_A_STEP:
        return user.embedding, user.accumulator
    recent_rows = find_rows(items.slots, items.hashes, user.recent)
    context = context_vector(recent_rows, example.recent_weights, items.vectors)
    consumed_rows = mark_consumed(user.consumed, items.slots, items.hashes, items.scratch.marked)
    try:
        embedding, accumulator = step_embedding(
            user.embedding,
            user.accumulator,
            context,
            row,
            items.scratch.marked,
            items.candidates,
            items.vectors,
            items.biases,
            items.log_popularity[example.activity],
            items.popularity.gamma[example.activity],
            stream_of(settings.seed, example.user, user.user_seq),
            settings.negatives,
            settings.learning_rate,
            settings.regularisation,
        )
    finally:  # a mark left behind would keep the item from every later list
        unmark(consumed_rows, items.scratch.marked)
    if not math.isfinite(accumulator):
        raise FloatingPointError(
            f"user {event.user_id!r}: the step on item {event.item_id!r} left the finite numbers; "
            "lower model.learning_rate"
        )
    embedding.flags.writeable = False
    return embedding, accumulator


def _recommend(
    user: UserState, event: Interaction, items: ItemTable, settings: ModelSettings
) -> tuple[Ints, Recommendation]:
    """The hashes of the best items for the user as it is now, and the record that says so."""
    activity = activity_class(user.positives)
    gamma = items.popularity.gamma[activity]
    popularity = items.log_popularity[activity]
    weights = context_weights(user.recent_ms, event.event_time_ms, settings.rho, settings.tau_s)
    recent_rows = find_rows(items.slots, items.hashes, user.recent)
    hidden = gamma * (user.embedding + context_vector(recent_rows, weights, items.vectors))
    consumed_rows = mark_consumed(user.consumed, items.slots, items.hashes, items.scratch.marked)
    try:
        rows, scores = rank_items(
            hidden, items.vectors, items.biases, popularity, items.available, items.scratch.marked, settings.top_k
        )
    finally:
        unmark(consumed_rows, items.scratch.marked)
    taste, recent, because = explain_items(rows, user.embedding, recent_rows, weights, items.vectors, gamma)
    parts = np.stack([scores, taste, recent, popularity[rows], items.biases[rows]], axis=1)  # (T, 5)
    rounded = parts.astype(np.float64).round(DECIMALS).tolist()
    ids = items.ids
    entries = tuple(
        RecommendedItem(ids[row], score, t, r, p, b, ids[cause] if cause >= 0 else None)
        for row, (score, t, r, p, b), cause in zip(rows.tolist(), rounded, because.tolist(), strict=True)
    )
    return items.hashes[rows], Recommendation(
        user_id=event.user_id,
        user_since_ms=user.user_since_ms,
        user_seq=user.user_seq,
        trigger=event.event_id,
        items=entries,
        epoch=items.epoch,
        trained_events=items.trained_events,
        snapshot_created_ms=items.created_ms,
    )


# ---- the checks ----------------------------------------------------------------------------------


def _frozen(array: NDArray[Number]) -> NDArray[Number]:
    array.flags.writeable = False
    return array


def _require_dimension(user: UserState, items: ItemTable | None, settings: ModelSettings) -> None:
    if len(user.embedding) != settings.dimension or (
        items is not None and items.vectors.shape[1] != settings.dimension
    ):
        table = "no item table" if items is None else f"an item table of dimension {items.vectors.shape[1]}"
        raise ValueError(
            f"dimension must be {settings.dimension} as model.dimension says; "
            f"got a user state of dimension {len(user.embedding)} and {table}"
        )
