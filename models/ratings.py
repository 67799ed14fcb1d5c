"""What squared error aims at: a rating is learned as how far it lies from its user's mean.

    t = value - mean of the user's ratings so far,   prediction: value = mean + gamma_c q_y . h + b_y

The mean takes the user's own scale out, as the baseline of Koren, Bell, Volinsky 2009 does; t is 0 for a user's first
rating. Events that are no ratings, or have no value, aim at 1 or at -1, as the sign of their weight says.
`user_step.py` computes t.
"""

from typing import Final

import numpy as np

from models.item_table import ItemTable, activity_class
from models.learning import context_weights
from models.records import EventType, Interaction
from models.settings import ModelSettings
from models.user_state import UserState

VALUE_MAX: Final = 1e6
"""Values beyond it, either way, count as it, so that targets stay finite."""


def rating_of(event: Interaction) -> float | None:
    """The rating in an event, None if it is none."""
    if event.event_type is not EventType.RATING or event.value is None:
        return None
    return min(max(event.value, -VALUE_MAX), VALUE_MAX)


def mean_rating(user: UserState) -> float | None:
    """Mean of the user's ratings so far, None before the first."""
    return user.rating_sum / user.rating_count if user.rating_count else None


def predict_deviation(
    user: UserState, item: int, event_time_ms: int, items: ItemTable, settings: ModelSettings
) -> float:
    """What the model adds to the user's mean for the item with this hash; 0 for one that the table lacks."""
    row = items.row_of(item)
    if row < 0:
        return 0.0
    weights = context_weights(user.recent_ms, event_time_ms, settings.rho, settings.tau_s)
    recent = np.array([items.row_of(other) for other in user.recent.tolist()], np.int64)
    known = recent >= 0
    h = user.embedding + weights[known] @ items.vectors[recent[known]]  # (k,)
    gamma = items.popularity.gamma[activity_class(user.positives)]
    return float(gamma * (items.vectors[row] @ h) + items.biases[row])
