"""Events to evaluate on: read from a file, checked, and put into the order of the protocol.

    user_id, item_id     text or whole numbers
    event_time_ms        milliseconds since 1970
    event_type           optional; without it an event is a rating where it has a value, else a view
    value                optional number

The order (facts of the protocol: models/evaluation.py): by time; ties in an order of their own, since a file's order
gives sessions away; of each (user, item) pair the first event alone.
"""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from livetower.demo.errors import DemoError
from livetower.demo.movielens import fetch_movielens, load_interactions
from livetower.demo.movielens import load_items as load_movies
from livetower.evaluate.errors import EvaluationError
from livetower.rows import KINDS, Row, UnreadableFile, column_names, read_rows
from livetower.sandbox.home import livetower_home
from models.records import TIME_END_MS, EventType, Interaction, InvalidRecord, Item, parse_item

MOVIELENS = "movielens-100k"
TIE_SEED = 12345
ITEM_MAX_BYTES = 65_536
NEEDED = ("user_id", "item_id", "event_time_ms")
_EVENT_TYPES = {str(event_type): event_type for event_type in EventType}


def load_events(source: str) -> list[Interaction]:
    """The stream of `movielens-100k` or of a file, in the order of the protocol. Raises EvaluationError."""
    if source == MOVIELENS:  # its ties are shuffled as it is read
        return first_of_pairs(movielens_events())
    return first_of_pairs(by_time(read_events(Path(source))))


def movielens_events() -> list[Interaction]:
    """Every rating of MovieLens-100k by time, ties shuffled; downloaded when it is missing. Raises EvaluationError."""
    return [
        Interaction(r["event_id"], r["user_id"], r["item_id"], EventType.RATING, r["event_time_ms"], float(r["value"]))
        for r in load_interactions(_movielens_folder())
    ]


def load_items(source: str) -> list[Item]:
    """The films of MovieLens-100k as catalogue entries: genres as tags, the decade as category, the year. Raises
    EvaluationError for a file, which names no features.
    """
    if source != MOVIELENS:
        raise EvaluationError(f"--launch: a stream whose items have features was needed ({MOVIELENS}); got {source}")
    return [parse_item(None, orjson.dumps(item), max_bytes=ITEM_MAX_BYTES) for item in load_movies(_movielens_folder())]


def load_catalogue(source: str, file: Path | None) -> list[Item]:
    """The items of a JSONL file; without one the films of `movielens-100k`, else none. Raises EvaluationError."""
    if file is None:
        return load_items(source) if source == MOVIELENS else []
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise EvaluationError(f"{file}: cannot be read: {error}") from error
    return [_item(line, f"{file}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]


def _item(line: bytes, where: str) -> Item:
    try:
        return parse_item(None, line.strip(), max_bytes=ITEM_MAX_BYTES)
    except InvalidRecord as error:
        raise EvaluationError(f"{where}: {error}") from error


def _movielens_folder() -> Path:
    folder = livetower_home() / "demo" / "movielens"
    try:
        fetch_movielens(folder)
    except DemoError as error:
        raise EvaluationError(str(error)) from error
    return folder


def by_time(events: Sequence[Interaction]) -> list[Interaction]:
    """Sorted by time; events of one time are shuffled, by the same seed for ever."""
    times = np.array([event.event_time_ms for event in events], np.int64)
    order = np.lexsort((np.random.default_rng(TIE_SEED).random(len(events)), times))
    return [events[at] for at in order.tolist()]


def first_of_pairs(events: Iterable[Interaction]) -> list[Interaction]:
    """The events without those whose user has met their item before."""
    first: dict[tuple[str, str], Interaction] = {}
    for event in events:
        first.setdefault((event.user_id, event.item_id), event)
    return list(first.values())


# ---- files ---------------------------------------------------------------------------------------


def read_events(file: Path) -> list[Interaction]:
    """The events of a CSV, Parquet or JSONL file in its own order; event ids are their places in it.

    Raises EvaluationError with the file, the line or row, the column, what was needed and what came.
    """
    if file.suffix.lower() not in KINDS:
        raise EvaluationError(f"{file}: a file that ends in {', '.join(KINDS)} was needed, or {MOVIELENS}")
    try:
        _require_columns(file, column_names(file))
        events = [_event(n, _values(row, file), f"{file}, {row.place}") for n, row in enumerate(read_rows(file))]
    except UnreadableFile as error:
        raise EvaluationError(str(error)) from error
    if not events:
        raise EvaluationError(f"{file}: holds no event; one with {', '.join(NEEDED)} was needed")
    return events


def _values(row: Row, file: Path) -> dict[str, Any]:
    if row.values is None:
        raise EvaluationError(f"{file}, {row.place}: {row.trouble}")
    return row.values


def _require_columns(file: Path, names: Sequence[str] | None) -> None:
    missing = [name for name in NEEDED if names is not None and name not in names]
    if names is not None and missing:
        raise EvaluationError(f"{file}: column {missing[0]} is missing; it has {', '.join(names)}")


def _event(n: int, row: dict[str, Any], where: str) -> Interaction:
    value = _value(row.get("value"), where)
    name = row.get("event_type")
    if name in (None, ""):
        event_type = EventType.VIEW if value is None else EventType.RATING
    elif name in _EVENT_TYPES:
        event_type = _EVENT_TYPES[name]
    else:
        raise EvaluationError(f"{where}: event_type must be one of {', '.join(_EVENT_TYPES)}; got {_shown(name)}")
    item_id = "" if event_type is EventType.REQUEST else _id(row, "item_id", where)
    return Interaction(str(n), _id(row, "user_id", where), item_id, event_type, _time(row, where), value)


def _id(row: dict[str, Any], column: str, where: str) -> str:
    value = row.get(column)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise EvaluationError(f"{where}: {column} must be text or a whole number; got {_shown(value)}")
    return str(value)


def _time(row: dict[str, Any], where: str) -> int:
    value = row.get("event_time_ms")
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if type(value) is not int or not 0 <= value < TIME_END_MS:
        raise EvaluationError(
            f"{where}: event_time_ms must be a whole number of milliseconds since 1970; got {_shown(value)}"
        )
    return value


def _value(value: object, where: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise EvaluationError(f"{where}: value must be a finite number; got {_shown(value)}")
    return number


def _shown(value: object) -> str:
    text = "nothing" if value is None else json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
