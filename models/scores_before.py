"""Temporary: what `models.recommender.scores_before` will do."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.item_table import ItemTable, activity_class, find_rows
from models.learning import SAFE_FASTMATH, Floats, Ints, context_vector, context_weights, mark_consumed, unmark
from models.records import Interaction
from models.settings import ModelSettings
from models.user_state import UserState


@njit(cache=True, fastmath=SAFE_FASTMATH)
def _scores(
    embedding: Floats,
    recent: Ints,
    recent_ms: Ints,
    consumed: Ints,
    now_ms: int,
    rho: float,
    tau_s: float,
    slots: Ints,
    hashes: Ints,
    vectors: Floats,
    biases: Floats,
    popularity: Floats,
    gamma: float,
    available: NDArray[np.bool_],
    marked: NDArray[np.bool_],
) -> Floats:
    weights = context_weights(recent_ms, now_ms, rho, tau_s)
    hidden = np.float32(gamma) * (embedding + context_vector(find_rows(slots, hashes, recent), weights, vectors))
    rows = mark_consumed(consumed, slots, hashes, marked)
    scores = np.empty(len(biases), np.float32)
    for row in range(len(biases)):
        if marked[row] or not available[row]:
            scores[row] = np.nan
            continue
        score = biases[row] + popularity[row]
        for d in range(len(hidden)):
            score += vectors[row, d] * hidden[d]
        scores[row] = score
    unmark(rows, marked)
    return scores


def scores_before(user: UserState | None, event: Interaction, items: ItemTable, settings: ModelSettings) -> Floats:
    """(I,) scores."""
    assert user is not None
    activity = activity_class(user.positives)
    scores: Floats = _scores(
        user.embedding,
        user.recent,
        user.recent_ms,
        user.consumed,
        event.event_time_ms,
        settings.rho,
        settings.tau_s,
        items.slots,
        items.hashes,
        items.vectors,
        items.biases,
        items.log_popularity[activity],
        items.popularity.gamma[activity],
        items.available,
        items.marked,
    )
    return scores
