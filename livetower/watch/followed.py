"""One user's list as it changes: the same user as long as he or she is active, then the next one. Knows no Kafka.

One thread accepts lists, others may read: what is shown is replaced as a whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

QUIET_S = 5.0
"""After so long without a new list another user is followed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One place of a list: the item, and how it came there since the user's list before ('' when it stayed)."""

    item_id: str
    title: str
    move: str


@dataclass(frozen=True, slots=True)
class ShownList:
    """The newest list of a user, best item first."""

    user_id: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class _Newest:
    user_id: str
    version: tuple[int, int]
    item_ids: Sequence[str]
    before: Sequence[str] | None
    seen_s: float


class FollowedUser:
    """Follows `user_id`, or whoever is active when it is None."""

    def __init__(self, user_id: str | None = None, quiet_s: float = QUIET_S) -> None:
        self._user_id = user_id
        self._quiet_s = quiet_s
        self._newest: _Newest | None = None

    def accept_list(self, user_id: str, version: tuple[int, int], item_ids: Sequence[str], now_s: float) -> None:
        """A list that arrived at `now_s`; `version` is (user_since_ms, user_seq), and an older list than the one shown
        changes nothing.
        """
        newest = self._newest
        if newest is not None and newest.user_id == user_id:
            if version > newest.version:
                self._newest = _Newest(user_id, version, item_ids, newest.item_ids, now_s)
        elif self._user_id is None:
            if newest is None or now_s - newest.seen_s >= self._quiet_s:
                self._newest = _Newest(user_id, version, item_ids, None, now_s)
        elif user_id == self._user_id:
            self._newest = _Newest(user_id, version, item_ids, None, now_s)

    def shown(self, titles: Mapping[str, str]) -> ShownList | None:
        """The list with titles, or ids where there is none."""
        if (newest := self._newest) is None:
            return None
        return ShownList(newest.user_id, entries_of(newest.before, newest.item_ids, titles))


def entries_of(before: Sequence[str] | None, after: Sequence[str], titles: Mapping[str, str]) -> tuple[Entry, ...]:
    """The places of `after`, with titles of one line and with their moves since `before`, if there was such a list."""
    said = [""] * len(after) if before is None else moves(before, after)
    named = (" ".join(titles.get(item_id, "").split()) or item_id for item_id in after)
    return tuple(Entry(*entry) for entry in zip(after, named, said, strict=True))


def moves(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """How each item of `after` came to its place.

    >>> moves(["a", "b", "c"], ["b", "new one", "c", "a"])
    ['↑1', 'new', '', '↓3']
    """
    places = {item_id: place for place, item_id in enumerate(before)}
    return [move(places.get(item_id), place) for place, item_id in enumerate(after)]


def move(before: int | None, after: int) -> str:
    """From place to place, in words that fit a column.

    >>> move(None, 0), move(3, 1), move(1, 1)
    ('new', '↑2', '')
    """
    if before is None:
        return "new"
    if before == after:
        return ""
    return f"↑{before - after}" if after < before else f"↓{after - before}"
