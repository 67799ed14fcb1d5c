"""What `livetower inspect export` writes of users and items, as columns by name; export_files.py writes them.

Times are milliseconds since 1970 (`…_ms`), items are their 64-bit hashes, and beside a list of hashes stands the same
list as ids (`…_ids`), null where the catalogue does not know the hash.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from livetower.inspect.stored_tower import StoredTower
from livetower.inspect.user_columns import Ragged, UserColumns
from models.item_table import build_index, rows_of
from models.settings import OPTIMIZERS

COUNTERS: Final = (
    "user_since_ms",
    "user_seq",
    "positives",
    "newest_event_ms",
    "late",
    "no_table",
    "forgotten",
    "rating_count",
    "steps",
)
LISTS: Final = ("recent", "recent_ms", "consumed", "consumed_day", "event_ids", "last_list", "moments")
OF_ITEMS: Final = ("recent", "consumed", "last_list")


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """Times (n,), NO_TIME where there is none."""

    values: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Ids:
    """Lists of item ids, each by its place in `names`: -1 for one that nobody knows."""

    places: Ragged
    names: pa.Array


Column = NDArray[Any] | Sequence[str | None] | Ragged | Times | Ids
"""Numbers (n,), vectors (n, k), texts, or lists."""


class ItemIds:
    """Hashes to ids, many at a time."""

    def __init__(self, tower: StoredTower | None) -> None:
        known = {} if tower is None else tower.catalogue
        self._hashes = np.fromiter(known, np.int64, len(known))
        self._slots = build_index(self._hashes)
        self._names = pa.array([names.item_id for names in known.values()], pa.string())

    def of(self, lists: Ragged) -> Ids:
        """The ids of lists of hashes."""
        places = rows_of(self._slots, self._hashes, np.ascontiguousarray(lists.values)).astype(np.int32)
        return Ids(Ragged(places, lists.offsets), self._names)


def user_table(users: UserColumns, ids: ItemIds) -> dict[str, Column]:
    """Every field of models/user_state.py for these users, and what Flink says of them."""
    table: dict[str, Column] = {"user_id": users.ids, "touched_ms": Times(users.touched_ms)}
    table |= {name: users.number(name) for name in COUNTERS}
    table["rating_sum"] = users.header["rating_sum"].copy()
    table["optimizer"] = [OPTIMIZERS[code] for code in users.header["optimizer"].tolist()]
    table["accumulator"] = users.header["accumulator"].copy()
    table["blob_bytes"] = users.blob_bytes
    table["norm"] = users.norms
    table["embedding"] = users.embedding
    for name in LISTS:
        lists: Ragged = getattr(users, name)()
        table[name] = lists
        if name in OF_ITEMS:
            table[f"{name}_ids"] = ids.of(lists)
    return table


def item_table(tower: StoredTower) -> dict[str, Column]:
    """Every item that has a row."""
    hashes = tower.hashes.tolist()
    return {
        "item_hash": tower.hashes,
        "item_id": [tower.item_id_of(item) for item in hashes],
        "title": [tower.catalogue[item].title if item in tower.catalogue else None for item in hashes],
        "category": [tower.catalogue[item].category if item in tower.catalogue else None for item in hashes],
        "available": tower.available,
        "events": tower.events,
        "last_event": tower.last_event,
        "bias": tower.biases,
        "norm": tower.norms,
        "vector": tower.vectors,
        "popularity": tower.counts,
    }
