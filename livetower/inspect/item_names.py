"""What people call the items whose hashes stand in a user's state.

A name is looked for in the item table that ranks and in the tower's catalogue. A young job has written no catalogue
yet, and an item that was never admitted is in no table, so either may know what the other does not.
"""

from collections.abc import Iterable
from typing import Any

from livetower.inspect.reading import LearnedState
from models.item_table import ItemTable
from models.tower_progress import decode_item_names


class ItemNamesFor:
    """Names of some items; `item` gives one as programs want it, `shown` as people do."""

    def __init__(self, state: LearnedState, table: ItemTable | None, hashes: Iterable[int]) -> None:
        wanted = set(hashes)
        self._ids: dict[int, str] = {}
        self._titles: dict[int, str] = {}
        for key in wanted if table is not None else ():
            if table is not None and (row := table.row_of(key)) >= 0:
                self._ids[key], self._titles[key] = table.ids[row], table.titles[row]
        if wanted - self._ids.keys() or not all(self._titles.values()):
            for key, entry in state.catalogue():
                if key in wanted:
                    names = decode_item_names(entry)
                    self._ids[key] = names.item_id
                    self._titles[key] = names.title or self._titles.get(key, "")

    def item(self, key: int) -> dict[str, Any]:
        """Hash, id and title; the latter two are None when nobody knows them."""
        return {"hash": hexadecimal(key), "item_id": self._ids.get(key), "title": self._titles.get(key) or None}

    def title_of_id(self, item_id: str) -> str | None:
        """The title of an item that is known by its id."""
        by_id = {name: key for key, name in self._ids.items()}
        return (self._titles.get(by_id[item_id]) or None) if item_id in by_id else None


def hexadecimal(key: int) -> str:
    """A hash as 16 digits.

    >>> hexadecimal(-1)
    'ffffffffffffffff'
    """
    return f"{key & (2**64 - 1):016x}"
