"""What a checkpoint knows of one user, as one JSON document."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flink_jobs.settings import JobSettings
from flink_jobs.topology import LEARN_AND_RECOMMEND
from livetower.inspect.codes import inspect_error
from livetower.inspect.errors import InspectError
from livetower.inspect.item_names import ItemNamesFor, hexadecimal
from livetower.inspect.made_list import hashes_of, list_at, record_of, titled
from livetower.inspect.one_user import decoded, stored_user
from livetower.inspect.ran_with import settings_of
from livetower.inspect.ranking_table import ranking_table
from livetower.inspect.reading import LearnedState, StoredUser
from models.item_table import ItemTable, activity_class
from models.records import Recommendation
from models.settings import OPTIMIZERS
from models.user_state import InvalidState, UserState
from models.user_step import DAY_MS


def user_document(
    state: LearnedState,
    user_id: str,
    at_ms: int,
    *,
    snapshot_root: str | None = None,
    file: Path | None = None,
    overrides: Iterable[str] = (),
    vector: bool = False,
    everything: bool = False,
) -> dict[str, Any]:
    """Every field of the user's state, and the list that a request at `at_ms` would get; with `everything` the
    consumed items and event ids too, with `vector` the embedding. Raises InspectError.
    """
    stored = stored_user(state, user_id)
    known = decoded(state, stored)
    settings, table, made, missing = _list_now(state, user_id, known, file, overrides, snapshot_root, at_ms)
    hashes = {*known.recent.tolist(), *known.last_list.tolist(), *hashes_of(made)}
    names = ItemNamesFor(state, table, hashes | (set(known.consumed.tolist()) if everything else set()))
    document = _document(state, stored, known, settings, names)
    if everything:
        document |= _everything(known, names)
    if vector:
        means, squares = _halves(known.moments)
        document["embedding"] = known.embedding.tolist()
        document["moment_means"], document["moment_squares"] = means.tolist(), squares.tolist()
    document["list_now"] = None if made is None else _now(made, at_ms, names)
    document["no_list_because"] = missing
    return document


def _list_now(
    state: LearnedState,
    user_id: str,
    known: UserState,
    file: Path | None,
    overrides: Iterable[str],
    snapshot_root: str | None,
    at_ms: int,
) -> tuple[JobSettings | None, ItemTable | None, Recommendation | None, str | None]:
    """Settings, table and list, as far as there are; and why there is no list. What stands in the state is shown all
    the same, so nothing is raised but for options that cannot be.
    """
    settings = table = None
    try:
        settings = settings_of(state, file, overrides)
        table = ranking_table(state, settings, snapshot_root)
        made = list_at(user_id, known, table, at_ms, settings.model)
    except InspectError as error:
        if error.code == "LT-INS-311":
            raise
        return settings, table, None, str(error)
    except InvalidState as error:
        return settings, table, None, str(inspect_error("LT-INS-313", f"user {user_id!r}: {error}"))
    return settings, table, made, None if made is not None else "no item snapshot had been announced"


def _document(
    state: LearnedState,
    stored: StoredUser,
    known: UserState,
    settings: JobSettings | None,
    names: ItemNamesFor,
) -> dict[str, Any]:
    group = state.key_group_of(stored.user_id)
    learn = next((each for each in state.metadata.operators if each.uid == LEARN_AND_RECOMMEND), None)
    numbers = np.concatenate([known.embedding, known.moments])
    return {
        "user_id": stored.user_id,
        "checkpoint": state.uri,
        "blob_bytes": len(stored.blob),
        "blob_version": int(stored.blob[3:4]),
        "touched_ms": stored.touched_ms,
        "dies_ms": _dies_ms(stored, settings),
        "key_group": group,
        # Flink's KeyGroupRangeAssignment.computeOperatorIndexForKeyGroup
        "subtask": None if learn is None else group * learn.parallelism // learn.max_parallelism,
        "user_since_ms": known.user_since_ms,
        "user_seq": known.user_seq,
        "positives": known.positives,
        "activity_class": activity_class(known.positives),
        "newest_event_ms": known.newest_event_ms,
        "late": known.late,
        "no_table": known.no_table,
        "forgotten": known.forgotten,
        "rating_sum": known.rating_sum,
        "rating_count": known.rating_count,
        "dimension": len(known.embedding),
        "norm": _norm(known.embedding),
        "finite": bool(np.isfinite(numbers).all() and np.isfinite(known.accumulator)),
        "optimizer": OPTIMIZERS[known.optimizer],
        "accumulator": known.accumulator,
        "steps": known.steps,
        "moments": _moments(known),
        "recent": [
            names.item(key) | {"event_time_ms": ms}
            for key, ms in zip(known.recent.tolist(), known.recent_ms.tolist(), strict=True)
        ],
        "consumed_count": len(known.consumed),
        "event_id_count": len(known.event_ids),
        "last_list": [names.item(key) for key in known.last_list.tolist()],
    }


def _everything(known: UserState, names: ItemNamesFor) -> dict[str, Any]:
    days = known.consumed_day.tolist()
    consumed = [
        names.item(key) | {"day": day, "day_begins_ms": day * DAY_MS}
        for key, day in zip(known.consumed.tolist(), days, strict=True)
    ]
    return {"consumed": consumed, "event_ids": [hexadecimal(key) for key in known.event_ids.tolist()]}


def _dies_ms(stored: StoredUser, settings: JobSettings | None) -> int | None:
    """When the time to live ends; None if it never does or if that is not known."""
    if settings is None or stored.touched_ms is None or settings.model.user_ttl_days == 0:
        return None
    return stored.touched_ms + round(settings.model.user_ttl_days * DAY_MS)


def _norm(vector: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.square(vector, dtype=np.float64).sum()))


def _halves(moments: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    half = len(moments) // 2
    return moments[:half], moments[half:]


def _moments(known: UserState) -> dict[str, float] | None:
    """Adam's, in two numbers; None under another optimiser."""
    if not len(known.moments):
        return None
    means, squares = _halves(known.moments)
    return {"means_norm": _norm(means), "squares_mean": float(squares.mean(dtype=np.float64))}


def _now(made: Recommendation, at_ms: int, names: ItemNamesFor) -> dict[str, Any]:
    record = record_of(made)
    return {
        "asked_ms": at_ms,
        "strategy": record["strategy"],
        "snapshot": record["snapshot"] | {"created_ms": made.snapshot_created_ms},
        "items": titled(record["items"], names),
    }
