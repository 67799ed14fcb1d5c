"""Whose examples the log of the item tower's inputs holds, so that an erasure finds them without reading the log."""

from typing import Final

import numpy as np

LOG_INPUTS: Final = 32_000
"""Inputs that the log holds: the latest so many (tower_state.py)."""


class LoggedUsers:
    """A ring beside the log: of each input its number and, if it is an example, its user. 500 KiB."""

    def __init__(self) -> None:
        self._number = np.zeros(LOG_INPUTS, np.int64)  # 0: no example lies there
        self._user = np.zeros(LOG_INPUTS, np.int64)

    def note(self, number: int, user: int | None) -> None:
        """The log holds this input now; `user` is None unless it is an example."""
        at = number % LOG_INPUTS
        self._number[at], self._user[at] = (0, 0) if user is None else (number, user)

    def take_out(self, user: int) -> list[int]:
        """Numbers of the inputs that are the user's examples, oldest first; they count as gone from here on."""
        at = np.flatnonzero((self._user == user) & (self._number > 0))
        numbers: list[int] = np.sort(self._number[at]).tolist()
        self._number[at] = self._user[at] = 0
        return numbers
