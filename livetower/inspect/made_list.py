"""Lists as the job makes them, from a user's state, a table and the settings of a checkpoint: all by `advance`."""

from typing import Any

import orjson

from livetower.inspect.item_names import ItemNamesFor
from models.hashing import hash_id
from models.item_table import ItemTable
from models.recommender import advance
from models.records import Clock, EventType, Interaction, Recommendation, encode_recommendation
from models.settings import ModelSettings
from models.strategies import Strategy
from models.user_state import UserState

ASKING = "inspect"
"""Event id of the request by which a list is asked for; it is in no record."""


def list_at(
    user_id: str,
    user: UserState | None,
    table: ItemTable | None,
    at_ms: int,
    settings: ModelSettings,
    *,
    strategy: Strategy | None = None,
    exclude: tuple[str, ...] = (),
) -> Recommendation | None:
    """What the user would get who asked for a list at this time; None without a table. Raises InvalidState."""
    asking = Interaction(ASKING, user_id, "", EventType.REQUEST, at_ms, strategy=strategy, exclude=exclude)
    return advance(user, asking, table, at_ms, settings).recommendation


def record_of(made: Recommendation) -> dict[str, Any]:
    """The record that the job emits, without what the clock says: `clock` and `snapshot.age_ms`."""
    record: dict[str, Any] = orjson.loads(encode_recommendation(made, Clock(0, 0, 0, 0)))
    del record["clock"], record["snapshot"]["age_ms"]
    return record


def hashes_of(*lists: Recommendation | None) -> set[int]:
    """Hashes of everything that these lists name."""
    entries = [entry for made in lists if made is not None for entry in made.items]
    named = {entry.item_id for entry in entries} | {entry.because for entry in entries if entry.because is not None}
    return {hash_id(item_id) for item_id in named}


def titled(items: list[dict[str, Any]], names: ItemNamesFor) -> list[dict[str, Any]]:
    """The record's items, each with its title."""
    return [entry | {"title": names.title_of_id(entry["item_id"])} for entry in items]
