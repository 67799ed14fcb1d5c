"""A row of a file as a record of `interactions` or `items`, or what is wrong with it.

Columns are mapped to the fields of models/records.py, text of a CSV file is read as what its field needs, and the
result is parsed as the job would: what the job would reject is malformed here, for the same reason. It sends nothing.
"""

import difflib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from livetower.replay.errors import ReplayError
from livetower.rows import Row
from models.records import EventType, InvalidRecord, parse_interaction, parse_item
from models.settings import ModelSettings

INTERACTION_FIELDS = (
    "event_id", "user_id", "item_id", "event_type", "event_time_ms", "value", "strategy", "exclude", "items",
    "categories", "context", "rec_id", "position", "schema_version",
)  # fmt: skip
ITEM_FIELDS = (
    "item_id", "title", "text", "category", "tags", "numbers", "vectors", "available", "updated_ms", "schema_version",
)  # fmt: skip
INTERACTION_NEEDS = ("user_id", "item_id", "event_time_ms")
ITEM_NEEDS = ("item_id",)
TIME_UNITS = {"ms": 1, "s": 1000}
MALFORMED_ROW = "malformed_row"
"""The reason of a row that has no fields at all; every other is one of models.records.Reason."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the columns of a file become fields."""

    columns: Mapping[str, str] = field(default_factory=dict)  # field → column, where the names differ
    event_types: Mapping[str, str] = field(default_factory=dict)  # word of the file → event type
    default_type: str | None = None  # of rows without one; None: rating where there is a value, else view
    time_unit: str = "ms"  # of times that are numbers
    separator: str = "|"  # between the entries of a list that is text
    numbers: tuple[str, ...] = ()  # columns that are numbers of an item
    vectors: tuple[str, ...] = ()  # columns that are vectors of an item


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to send. With a `reason` it is one that the job would reject, and `detail` says why."""

    key: bytes | None
    value: bytes
    event_time_ms: int | None = None
    reason: str = ""
    detail: str = ""


Make = Callable[[Row], Outgoing]


# ---- before the first row ------------------------------------------------------------------------


def check_columns(
    file: Path, names: Sequence[str] | None, layout: Layout, fields: Sequence[str], needs: Sequence[str]
) -> None:
    """Refuse a mapping of unknown fields, and a file without a column that is needed or was named. Of a JSONL file
    (`names` None) each line is asked on its own. Raises ReplayError.
    """
    for name in layout.columns:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1, cutoff=0.0)[0]
            raise ReplayError(f"--column {name}={layout.columns[name]}: no such field; the nearest is {near}")
    if names is None:
        return
    named = [(column, f"--column {name}={column}") for name, column in layout.columns.items()]
    named += [(column, f"--number {column}") for column in layout.numbers]
    named += [(column, f"--vector {column}") for column in layout.vectors]
    has = f"it has {', '.join(names)}"
    for column, option in named:
        if column not in names:
            raise ReplayError(f"{file}: column {column} ({option}) is missing; {has}")
    for name in needs:
        if name not in layout.columns and name not in names:
            raise ReplayError(f"{file}: column {name} is missing; {has}: name it with --column {name}=COLUMN")


def time_span_ms(rows: Iterable[Row], layout: Layout) -> tuple[int, int] | None:
    """The earliest and the latest event_time_ms of the rows that have one; None if none has."""
    first: int | None = None
    last = 0
    for row in rows:
        at = None if row.values is None else _time_ms(_fields(row.values, layout, ("event_time_ms",)), layout)
        if isinstance(at, int):
            first, last = (at, at) if first is None else (min(first, at), max(last, at))
    return None if first is None else (first, last)


def shift_to_now_ms(span_ms: tuple[int, int], now_ms: int, speed: float | None) -> int:
    """What to add to every event_time_ms so that none is ever ahead of the clock and the newest comes closest.

    A replay at `speed` (None: the whole file at once) takes duration / speed: in real time each event then happens when
    it is sent, faster than that the last one does, and slower than that the first.

    >>> shift_to_now_ms((1_000, 9_000), now_ms=50_000, speed=None)
    41000
    >>> [shift_to_now_ms((1_000, 9_000), 50_000, speed) for speed in (0.5, 1.0, 2.0)]
    [49000, 49000, 45000]
    """
    first, last = span_ms
    duration = last - first
    takes = 0.0 if speed is None else duration / speed
    return now_ms - first - round(max(0.0, duration - takes))


# ---- one row -------------------------------------------------------------------------------------


def interaction_maker(file: Path, layout: Layout, shift_ms: int, now_ms: Callable[[], int]) -> Make:
    """Makes interactions of rows. An event without an id gets <file name>-<line>, so that a resumed replay repeats
    equal ids.
    """
    model = ModelSettings()

    def make(row: Row) -> Outgoing:
        if row.values is None:
            return _unreadable(row, None)
        fields = _interaction(row.values, layout)
        fields.setdefault("event_id", f"{file.name}-{row.number}")
        at = fields.get("event_time_ms")
        at = at + shift_ms if type(at) is int else None
        if at is not None:
            fields["event_time_ms"] = at
        user_id = fields.get("user_id")
        key = user_id.encode() if isinstance(user_id, str) else None
        value = _encoded(fields)
        try:
            parse_interaction(
                value,
                now_ms(),
                max_bytes=model.max_record_bytes,
                future_tolerance_ms=1_000 * model.future_tolerance_s,
            )
        except InvalidRecord as error:
            return Outgoing(key, value, at, error.reason, str(error))
        return Outgoing(key, value, at)

    return make


def item_maker(file: Path, layout: Layout) -> Make:
    """Makes catalogue entries of rows. A record without an item_id has the key <file name>-<line>: the topic is
    compacted and takes none without a key.
    """
    max_bytes = ModelSettings().max_record_bytes

    def make(row: Row) -> Outgoing:
        place = f"{file.name}-{row.number}".encode()
        if row.values is None:
            return _unreadable(row, place)
        fields = _item(row.values, layout)
        item_id = fields.get("item_id")
        key = item_id.encode() if isinstance(item_id, str) and item_id else place
        value = _encoded(fields)
        try:
            parse_item(key, value, max_bytes=max_bytes)
        except InvalidRecord as error:
            return Outgoing(key, value, None, error.reason, str(error))
        return Outgoing(key, value)

    return make


def _unreadable(row: Row, key: bytes | None) -> Outgoing:
    return Outgoing(key, row.raw, None, MALFORMED_ROW, row.trouble)


def _interaction(values: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    fields = _fields(values, layout, INTERACTION_FIELDS)
    for name in ("event_id", "user_id", "item_id"):
        if name in fields:
            fields[name] = _id(fields[name])
    if (at := _time_ms(fields, layout)) is not None:
        fields["event_time_ms"] = at
    for name in ("value", "position", "schema_version"):
        if name in fields:
            fields[name] = _number(fields[name])
    for name in ("exclude", "items", "categories"):
        if name in fields:
            fields[name] = _list(fields[name], layout.separator)
    word = fields.get("event_type")
    if word is None:
        implied = EventType.RATING if "value" in fields else EventType.VIEW
        fields["event_type"] = layout.default_type or str(implied)
    elif isinstance(word, str | int):
        fields["event_type"] = layout.event_types.get(str(word), word)
    return fields


def _item(values: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    fields = _fields(values, layout, ITEM_FIELDS)
    if "item_id" in fields:
        fields["item_id"] = _id(fields["item_id"])
    if "tags" in fields:
        fields["tags"] = _list(fields["tags"], layout.separator)
    if "available" in fields:
        fields["available"] = _truth(fields["available"])
    if "updated_ms" in fields:
        fields["updated_ms"] = _milliseconds(fields["updated_ms"], layout.time_unit)
    if "schema_version" in fields:
        fields["schema_version"] = _number(fields["schema_version"])
    for name, columns, read in (("numbers", layout.numbers, _number), ("vectors", layout.vectors, _vector)):
        given = {column: read(values[column]) for column in columns if not _absent(values.get(column))}
        if given:
            fields[name] = given | (fields[name] if isinstance(fields.get(name), dict) else {})
    for name in ("numbers", "vectors"):
        if isinstance(fields.get(name), dict):  # a struct of Parquet has all its fields in every row
            fields[name] = {each: number for each, number in fields[name].items() if not _absent(number)}
    return fields


def _fields(values: Mapping[str, Any], layout: Layout, names: Sequence[str]) -> dict[str, Any]:
    """The fields that the row has; a NaN of a Parquet file is none, and bytes that are UTF-8 are text."""
    found = ((name, _text(values.get(layout.columns.get(name, name)))) for name in names)
    return {name: value for name, value in found if not _absent(value)}


def _text(value: Any) -> Any:
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


def _absent(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _id(value: Any) -> Any:
    return str(value) if type(value) is int else value


def _time_ms(fields: Mapping[str, Any], layout: Layout) -> Any:
    value = fields.get("event_time_ms")
    return None if value is None else _milliseconds(value, layout.time_unit)


def _milliseconds(value: Any, unit: str) -> Any:
    """A time as whole milliseconds since 1970: a number in this unit, a date, or either as text, dates in ISO 8601 and
    in UTC if they name no zone. What is none of these stays, and is refused by who parses the record.

    >>> [_milliseconds(value, "s") for value in (7, "7.5", "1970-01-01T00:00:01Z", "1970-01-02", "soon")]
    [7000, 7500, 1000, 86400000, 'soon']
    """
    if isinstance(value, str) and isinstance(value := _number(value), str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return value
    if isinstance(value, datetime):
        return _since_1970_ms(value)
    if isinstance(value, date):
        return _since_1970_ms(datetime(value.year, value.month, value.day))
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return value
    scaled = value * TIME_UNITS[unit]
    return round(scaled) if unit == "s" or scaled == int(scaled) else value


def _since_1970_ms(at: datetime) -> int:
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


def _number(value: Any) -> Any:
    """The number that text is; whole ones whole. Anything else stays.

    >>> [_number(value) for value in ("3", "4.5", "good", True)]
    [3, 4.5, 'good', True]
    """
    if isinstance(value, Decimal):
        return float(value)
    if not isinstance(value, str):
        return value
    try:
        return int(value)
    except ValueError:
        pass
    try:
        return float(value)
    except ValueError:
        return value


def _list(value: Any, separator: str) -> Any:
    """The entries of a list, or of text that holds one; numbers among them are ids."""
    if isinstance(value, str):
        return [entry for part in value.split(separator) if (entry := part.strip())]
    return [_id(entry) for entry in value] if isinstance(value, list) else value


def _truth(value: Any) -> Any:
    """Whether an item is available, in the words of CSV files.

    >>> [_truth(value) for value in ("TRUE", "0", 1, "perhaps")]
    [True, False, True, 'perhaps']
    """
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    return words.get(str(value).strip().lower(), value)


def _vector(value: Any) -> Any:
    """A list of numbers, or the JSON text of one."""
    if isinstance(value, str):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def _encoded(fields: Mapping[str, Any]) -> bytes:
    """The record as JSON. What orjson refuses or writes as null (a number that is not finite or has more than 64 bits)
    stays what it is, so that the record is refused for it.
    """
    try:
        if all(math.isfinite(value) for value in fields.values() if isinstance(value, float)):
            return orjson.dumps(fields, default=_no_text)
    except orjson.JSONEncodeError:
        pass
    return json.dumps(fields, default=_no_text).encode()


def _no_text(value: object) -> dict[str, str]:
    """What JSON cannot say (bytes, say) as something that no field takes."""
    return {"not JSON": repr(value)}
