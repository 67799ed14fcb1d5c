"""What one event does: `advance`, the one function that decides.

Flink's operator, the evaluation and the tests all call it; nobody holds a second copy. It is pure: the same arguments give the same result,
bit for bit, and arguments are never changed (but for the item table's scratch buffers). Where the parts live: `learning.py` makes the
step, `ranking.py` the list, `examples.py` what the item tower learns from.
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
from models.settings import ModelSettings
from models.user_state import UserState, new_user_state

DAY_MS: Final = 86_400_000
Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Advance:
    """What came of an event: the user's next state, the fresh list (None before any item table), the example (None if nothing is to be
    learned from it). A duplicate is recognised by its event id and changes nothing."""

    state: UserState
    recommendation: Recommendation | None = None
    example: Example | None = None
    duplicate: bool = False


def advance(
    state: UserState | None, event: Interaction, items: ItemTable | None, now_ms: int, settings: ModelSettings
) -> Advance:
    """Learn from `event` and rank anew.

    `state` is None for a user never seen, `items` is None before the first snapshot; `now_ms` is the event's Kafka timestamp.
    Raises FloatingPointError if the step leaves the finite numbers, ValueError if state or table have another dimension than the settings.
    """
    user = state if state is not None else new_user_state(settings.dimension, now_ms)
    _require_dimension(user, items, settings)
    event_id = hash_id(event.event_id)
    if (user.event_ids == event_id).any():
        return Advance(user, duplicate=True)
    positive = event.event_type in POSITIVE
    item = hash_id(event.item_id)
    embedding, accumulator = user.embedding, user.accumulator
    recent, recent_ms = user.recent, user.recent_ms
    consumed, consumed_day, n_forgotten = user.consumed, user.consumed_day, 0
    example = None
    if positive:
        weights = context_weights(recent_ms, event.event_time_ms, settings.rho, settings.tau_s)
        example = _example(user, event, item, weights, now_ms)
        if items is not None:
            embedding, accumulator = _learn(user, event, item, weights, items, settings)
        recent = _prepend(recent, item, settings.recent_items)
        recent_ms = _prepend(recent_ms, event.event_time_ms, settings.recent_items)
    if event.event_type is not EventType.REQUEST:
        consumed, consumed_day, n_forgotten = _consume(user, item, event.event_time_ms // DAY_MS, settings.consumed_max)
    next_user = UserState(
        embedding,
        accumulator,
        user.user_since_ms,
        user.user_seq + 1,
        user.positives + positive,
        max(user.newest_event_ms, event.event_time_ms),
        user.late + (event.event_time_ms < user.newest_event_ms),
        user.no_table + (items is None),
        user.forgotten + n_forgotten,
        recent,
        recent_ms,
        consumed,
        consumed_day,
        _append(user.event_ids, event_id, settings.dedup_max),
        user.last_list,
    )
    if items is None:
        return Advance(next_user, example=example)
    listed, recommendation = _recommend(next_user, event, items, settings)
    return Advance(replace(next_user, last_list=_frozen(listed)), recommendation, example)


# ---- the steps ---------------------------------------------------------------------------------------------------------------------


def _example(user: UserState, event: Interaction, item: int, weights: Floats, now_ms: int) -> Example:
    """The event as the tower sees it: everything about the user as it was before."""
    return Example(
        hash_id(event.user_id),
        activity_class(user.positives),
        item,
        event.item_id,
        now_ms,
        1.0,
        user.embedding,
        weights,
        user.recent,
        fingerprints(user.consumed),
    )


def _learn(
    user: UserState, event: Interaction, item: int, weights: Floats, items: ItemTable, settings: ModelSettings
) -> tuple[Floats, float]:
    """The embedding and accumulator after the event; unchanged while the table does not hold the item or nearly nothing else."""
    row = items.row_of(item)
    if row < 0 or len(items.candidates) <= ROWS_FOR_A_STEP:
        return user.embedding, user.accumulator
    activity = activity_class(user.positives)
    context = context_vector(find_rows(items.slots, items.hashes, user.recent), weights, items.vectors)
    consumed_rows = mark_consumed(user.consumed, items.slots, items.hashes, items.scratch.marked)
    embedding, accumulator = step_embedding(
        user.embedding,
        user.accumulator,
        context,
        row,
        items.scratch.marked,
        items.candidates,
        items.vectors,
        items.biases,
        items.log_popularity[activity],
        items.popularity.gamma[activity],
        stream_of(settings.seed, hash_id(event.user_id), user.user_seq),
        settings.negatives,
        settings.learning_rate,
        settings.regularisation,
    )
    unmark(consumed_rows, items.scratch.marked)
    if not math.isfinite(accumulator):
        raise FloatingPointError(
            f"user {event.user_id!r}: the step on item {event.item_id!r} left the finite numbers; lower model.learning_rate"
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
    rows, scores = rank_items(
        hidden, items.vectors, items.biases, popularity, items.available, items.scratch.marked, settings.top_k
    )
    unmark(consumed_rows, items.scratch.marked)
    taste, recent, because = explain_items(rows, user.embedding, recent_rows, weights, items.vectors, gamma)
    ids = items.ids
    entries = tuple(
        RecommendedItem(ids[row], score, t, r, p, b, ids[cause] if cause >= 0 else None)
        for row, score, t, r, p, b, cause in zip(
            rows.tolist(),
            scores.tolist(),
            taste.tolist(),
            recent.tolist(),
            popularity[rows].tolist(),
            items.biases[rows].tolist(),
            because.tolist(),
            strict=True,
        )
    )
    return items.hashes[rows], Recommendation(
        event.user_id,
        user.user_since_ms,
        user.user_seq,
        event.event_id,
        entries,
        items.epoch,
        items.trained_events,
        items.created_ms,
    )


# ---- bounded sequences -------------------------------------------------------------------------------------------------------------


def _consume(user: UserState, item: int, day: int, at_most: int) -> tuple[Ints, NDArray[np.uint32], int]:
    """Consumed items and days with `item` as the newest, and how many were dropped at the bound."""
    others = user.consumed != item
    consumed = np.append(user.consumed[others], np.int64(item))
    days = np.append(user.consumed_day[others], np.uint32(day))
    dropped = max(0, len(consumed) - at_most)
    return _frozen(consumed[dropped:]), _frozen(days[dropped:]), dropped


def _prepend(newest_first: Ints, value: int, at_most: int) -> Ints:
    kept = newest_first[: at_most - 1]
    longer = np.empty(len(kept) + 1, np.int64)
    longer[0] = value
    longer[1:] = kept
    return _frozen(longer)


def _append(oldest_first: Ints, value: int, at_most: int) -> Ints:
    longer = np.append(oldest_first, np.int64(value))
    return _frozen(longer[max(0, len(longer) - at_most) :])


def _frozen(array: NDArray[Number]) -> NDArray[Number]:
    array.flags.writeable = False
    return array


def _require_dimension(user: UserState, items: ItemTable | None, settings: ModelSettings) -> None:
    if len(user.embedding) != settings.dimension or (
        items is not None and items.vectors.shape[1] != settings.dimension
    ):
        table = "no item table" if items is None else f"an item table of dimension {items.vectors.shape[1]}"
        raise ValueError(
            f"dimension must be {settings.dimension} as model.dimension says; got a user state of dimension {len(user.embedding)} and {table}"
        )
