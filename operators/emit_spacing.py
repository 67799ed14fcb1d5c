"""While the job is behind, a user's lists are sent some time apart: each of a backlog would be out of date at once.

What is known is in memory and bounded. After a restart it is empty, which sends a list more.
"""

USERS_MAX = 100_000
"""Users remembered, 20 MB; beyond them the one that was noted first is forgotten."""


class EmitSpacing:
    """When the users' latest lists were sent, as far as it matters, and who is owed one."""

    def __init__(self, apart_ms: int, behind_ms: int) -> None:
        self._apart_ms = apart_ms
        self._behind_ms = behind_ms
        self._sent_ms: dict[str, int] = {}  # the oldest first
        self._owed: dict[str, None] = {}

    def holds_back(self, user_id: str, waited_ms: int, now_ms: int) -> bool:
        """Whether this list is not to be sent: its event waited so long, and the user was sent one just now."""
        if self._apart_ms == 0 or waited_ms <= self._behind_ms:
            return False
        sent_ms = self._sent_ms.get(user_id)
        if sent_ms is None or not 0 <= now_ms - sent_ms < self._apart_ms:
            return False
        self._owed[user_id] = None
        _drop_oldest(self._owed)
        return True

    def is_owed(self, user_id: str) -> bool:
        """Whether the latest list of this user was held back, so that the next goes out even if it is the same."""
        return user_id in self._owed

    def note_sent(self, user_id: str, now_ms: int) -> None:
        """A list goes out to this user."""
        if self._apart_ms == 0:
            return
        self._owed.pop(user_id, None)
        self._sent_ms.pop(user_id, None)
        self._sent_ms[user_id] = now_ms
        _drop_oldest(self._sent_ms)


def _drop_oldest(users: dict[str, int] | dict[str, None]) -> None:
    if len(users) > USERS_MAX:
        del users[next(iter(users))]
