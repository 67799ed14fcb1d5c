"""What the job would make of further events of a user, as one JSON document: `advance` on the stored state."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livetower.inspect.codes import inspect_error
from livetower.inspect.item_names import ItemNamesFor
from livetower.inspect.made_list import hashes_of, list_at, record_of, titled
from livetower.inspect.one_user import decoded, stored_user
from livetower.inspect.ran_with import settings_of
from livetower.inspect.ranking_table import ranking_table
from livetower.inspect.reading import LearnedState
from livetower.inspect.told_events import TimedEvent, told_events
from models.hashing import hash_id
from models.item_table import ItemTable
from models.recommender import Advance, advance
from models.records import EventType, Recommendation
from models.settings import ModelSettings
from models.user_state import InvalidState, UserState


def whatif_document(
    state: LearnedState,
    user_id: str,
    told: Sequence[str],
    at_ms: int | None,
    now_ms: int,
    *,
    event_ids: Sequence[str] = (),
    new_user: bool = False,
    snapshot_root: str | None = None,
    file: Path | None = None,
    overrides: Iterable[str] = (),
) -> dict[str, Any]:
    """The user before, and of each event what it teaches, and the list before and after it. Raises InspectError."""
    if new_user and state.user(user_id) is not None:
        raise inspect_error("LT-INS-315", f"{state.uri} holds user {user_id!r}, so --new-user cannot be")
    user = None if new_user else decoded(state, stored_user(state, user_id))
    settings = settings_of(state, file, overrides)
    model = settings.model
    events = told_events(told, user_id, model, at_ms=at_ms, now_ms=now_ms, event_ids=event_ids)
    table = ranking_table(state, settings, snapshot_root)
    taken: list[tuple[TimedEvent, UserState | None, Recommendation | None, Advance]] = []
    for each in events:
        try:
            earlier = list_at(
                user_id,
                user,
                table,
                each.event.event_time_ms,
                model,
                strategy=each.event.strategy,
                exclude=each.event.exclude,
            )
            result = advance(user, each.event, table, each.kafka_ms, model)
        except (InvalidState, FloatingPointError) as error:
            raise inspect_error("LT-INS-313", f"event {each.event.event_id!r} of user {user_id!r}: {error}") from error
        taken.append((each, user, earlier, result))
        user = result.state
    named = {hash_id(each.event.item_id) for each in events}
    lists = [made for _, _, earlier, result in taken for made in (earlier, result.recommendation)]
    names = ItemNamesFor(state, table, named | hashes_of(*lists))
    first = taken[0][1]
    return {
        "user_id": user_id,
        "checkpoint": state.uri,
        "before": None if first is None else {"user_seq": first.user_seq, "norm": _norm(first.embedding)},
        "steps": [_step(*each, table, model, names) for each in taken],
    }


def _step(
    timed: TimedEvent,
    before: UserState | None,
    earlier: Recommendation | None,
    result: Advance,
    table: ItemTable | None,
    settings: ModelSettings,
    names: ItemNamesFor,
) -> dict[str, Any]:
    event, made = timed.event, result.recommendation
    after = result.state  # None: the user is erased
    nothing = np.zeros(settings.dimension, np.float32)
    old, new = (nothing if user is None else user.embedding for user in (before, after))
    list_before = [] if earlier is None else record_of(earlier)["items"]
    record = None if made is None else record_of(made)
    list_after = [] if record is None else record["items"]
    return {
        "event": {name: field for name, field in asdict(event).items() if field not in (None, ())},
        "kafka_ms": timed.kafka_ms,
        "title": names.title_of_id(event.item_id),
        "duplicate": result.duplicate,
        "learned": _learned(timed, before, result, table, settings),
        "user_seq": 0 if after is None else after.user_seq,
        "norm": _norm(new),
        "moved_by": _norm(new - old),
        "emitted": made is not None and not _is_unchanged(before, timed, result, settings),
        "recommendation": record,
        "list_before": titled(list_before, names),
        "list_after": titled(list_after, names),
        "moves": [] if record is None else _moves(list_before, list_after, names),
    }


def _learned(
    timed: TimedEvent, before: UserState | None, result: Advance, table: ItemTable | None, settings: ModelSettings
) -> str:
    """What the event taught, in words."""
    event = timed.event
    if result.duplicate:
        return "nothing: the event_id is known"
    weight = settings.event_weights.get(event.event_type, 0.0)
    if event.event_type is EventType.ERASE:
        return "nothing: the user is erased"
    if event.event_type is EventType.PROFILE:
        return "declared items and categories moved the vector"
    if weight == 0:
        return f"nothing: a {event.event_type} has no weight"
    if table is None:
        return "nothing yet: there is no item table"
    if table.row_of(hash_id(event.item_id)) < 0:
        return "nothing yet: the item table has no such item, and the item tower gets the example"
    if result.state is None or result.state.steps == (0 if before is None else before.steps):
        return "nothing: the item table has next to no items"
    return f"a step with weight {weight:g}"


def _is_unchanged(before: UserState | None, timed: TimedEvent, result: Advance, settings: ModelSettings) -> bool:
    """As learn-and-recommend decides it: a list that equals the last one is not sent when model.emit is `changed`."""
    if settings.emit == "always" or timed.event.event_type is EventType.REQUEST or before is None:
        return False
    return result.unchanged


def _moves(before: list[dict[str, Any]], after: list[dict[str, Any]], names: ItemNamesFor) -> list[dict[str, Any]]:
    """Every item of either list with its place in both, 1 the best and None for absent, and its score."""
    old = {item["item_id"]: (place, item["score"]) for place, item in enumerate(before, 1)}
    new = {item["item_id"]: (place, item["score"]) for place, item in enumerate(after, 1)}
    moves = []
    for item_id in [*new, *(item_id for item_id in old if item_id not in new)]:
        was, now = old.get(item_id, (None, None)), new.get(item_id, (None, None))
        moves.append(
            {
                "item_id": item_id,
                "title": names.title_of_id(item_id),
                "before": was[0],
                "after": now[0],
                "score_before": was[1],
                "score_after": now[1],
            }
        )
    return moves


def _norm(vector: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.square(vector, dtype=np.float64).sum()))
