"""How well ratings are predicted before they are learned, beside the mean of the user's ratings so far.

rmse = sqrt(mean of (value - prediction)^2) over the ratings of users who have rated before
"""

from dataclasses import dataclass

import numpy as np

from models.hashing import hash_id
from models.prequential import LocalJob
from models.ratings import mean_rating, predict_deviation, rating_of
from models.records import Interaction


@dataclass(frozen=True, slots=True)
class RatingQuality:
    """Root mean squared errors over `rated` ratings."""

    rated: int
    rmse: float
    user_mean_rmse: float


class RatingErrors:
    """Takes note of each rating before it is learned."""

    def __init__(self) -> None:
        self._positions: list[int] = []
        self._errors: list[tuple[float, float]] = []  # of the model and of the user's mean

    def test(self, job: LocalJob, event: Interaction, position: int) -> None:
        """Predict the event at this position of the stream, if it is a rating of a user who has rated before."""
        rating, user = rating_of(event), job.users.get(event.user_id)
        mean = None if user is None else mean_rating(user)
        if rating is None or user is None or mean is None:
            return
        deviation = 0.0
        if job.table is not None:
            deviation = predict_deviation(user, hash_id(event.item_id), event.event_time_ms, job.table, job.model)
        self._positions.append(position)
        self._errors.append((rating - mean - deviation, rating - mean))

    def quality(self, start: int) -> RatingQuality | None:
        """Over the events from this position on; None if none was a rating."""
        errors = np.array(self._errors).reshape(-1, 2)[np.array(self._positions, np.int64) >= start]
        if not len(errors):
            return None
        rmse, user_mean_rmse = np.sqrt((errors**2).mean(axis=0)).tolist()
        return RatingQuality(len(errors), rmse, user_mean_rmse)
