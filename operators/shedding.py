"""How much work the tower leaves out while examples arrive late.

    in time                          nothing
    late                             fewer negatives
    late, and the tower is busy      one level more each second: no replays, then one of 2, 4, 10 examples
    in time again, or not busy       one level less each second

The order is the one in which work costs least quality: `livetower evaluate movielens-100k` gives an NDCG@10 of .1151,
with `--set tower.negatives=25` .1126, with `--set tower.replays=0` as well .1120. A backlog in Kafka makes every
example late; a tower that has time left then must not leave any out.
"""

from typing import Final

from models.tower_stream import Shed

LEVELS: Final = (Shed.NEGATIVES, Shed.REPLAY, Shed.HALF, Shed.QUARTER, Shed.TENTH)
BUSY: Final = 0.9
STEP_MS: Final = 1_000


class Shedding:
    """The level of the moment."""

    def __init__(self, behind_s: float) -> None:
        self._behind_ms = 1_000 * behind_s
        self._beyond = 0  # levels beyond fewer negatives
        self._next_step_ms: int | None = None  # when the level may change next

    def level(self, age_ms: int, busy: float, now_ms: int) -> Shed:
        """What to leave out when an example of this age arrives at a tower that is so busy."""
        late = age_ms > self._behind_ms
        pressed = late and busy >= BUSY
        if not pressed and self._beyond == 0:
            self._next_step_ms = None
        elif self._next_step_ms is None:
            self._next_step_ms = now_ms + STEP_MS  # fewer negatives may be enough
        elif now_ms >= self._next_step_ms or now_ms < self._next_step_ms - STEP_MS:  # or the clock was set back
            self._beyond = min(self._beyond + 1, len(LEVELS) - 1) if pressed else self._beyond - 1
            self._next_step_ms = now_ms + STEP_MS
        if self._beyond == 0 and not late:
            return Shed.NOTHING
        return LEVELS[self._beyond]
