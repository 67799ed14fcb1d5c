"""How many internal errors there were within a minute, so that a bug that meets every event is not taken for bad luck.

One such event in `rejected` is worth a look later; a topic full of them is a job that learns nothing and looks healthy.
"""

from collections import deque

MINUTE_MS = 60_000


class TooManyErrors(RuntimeError):
    """Events fail faster than the settings allow, so the job must end."""


class ErrorRate:
    """Knows the last `most` errors; 0 allows any number."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._latest_ms: deque[int] = deque(maxlen=most)

    def require_allowed(self, now_ms: int, place: str, error: Exception) -> None:
        """Note an error. Raises TooManyErrors if more than `most` came within a minute, this one included."""
        if self._most == 0:
            return
        if len(self._latest_ms) == self._most and now_ms - self._latest_ms[0] < MINUTE_MS:
            raise TooManyErrors(
                f"learn-and-recommend: at most {self._most} internal errors a minute are allowed "
                f"(model.internal_error_max_per_minute); one more came, at {place}: {type(error).__name__}: {error}. "
                "The events before it are in the topic of rejected records, with their tracebacks. Resume with code "
                "that is cured, or raise the setting."
            )
        self._latest_ms.append(now_ms)
