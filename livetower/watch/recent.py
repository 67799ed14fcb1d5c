"""How much a counter grew in the last seconds, asked from time to time. Pure: times come in."""

from collections import deque

WINDOW_S = 5.0


class Recent:
    """Marks of a counter over about the last `window_s` seconds."""

    def __init__(self, now_s: float, count: int, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._marks = deque([(now_s, count)])

    def since(self, now_s: float, count: int) -> tuple[int, float]:
        """The count at the youngest mark that is at least the window old, or at the first, and how many seconds ago.

        >>> recent = Recent(0.0, 100)
        >>> recent.since(2.0, 120), recent.since(5.0, 150), recent.since(7.5, 175)
        ((100, 2.0), (100, 5.0), (120, 5.5))
        """
        self._marks.append((now_s, count))
        while len(self._marks) > 2 and self._marks[1][0] <= now_s - self._window_s:
            self._marks.popleft()
        marked_s, marked = self._marks[0]
        return marked, now_s - marked_s
