"""Dictionaries that hold their newest entries only: what bounds the memory of everything that watches a topic."""

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def keep_newest(entries: dict[K, V], key: K, value: V, most: int) -> None:
    """Put an entry, as the newest, and drop the oldest when there are more than `most`.

    >>> held = {"a": 1, "b": 2}
    >>> keep_newest(held, "a", 3, most=2)
    >>> keep_newest(held, "c", 4, most=2)
    >>> held
    {'a': 3, 'c': 4}
    """
    entries.pop(key, None)
    entries[key] = value
    if len(entries) > most:
        del entries[next(iter(entries))]
