"""Events as a person writes them on a command line, read by the job's own parser.

    item=50,type=rating,value=5,after=60          pairs; what is not said is as in the topic, or has a default
    {"item_id": "50", "event_type": "rating"}     the JSON of the topic `interactions`, or a part of it

What the job would reject is refused here, with its reason.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from livetower.inspect.codes import inspect_error
from models.records import Interaction, InvalidRecord, parse_interaction
from models.settings import ModelSettings

NAMES: Final = {
    "item": "item_id",
    "type": "event_type",
    "id": "event_id",
    "time": "event_time_ms",
    "value": "value",
    "strategy": "strategy",
    "exclude": "exclude",
    "items": "items",
    "categories": "categories",
    "rec_id": "rec_id",
    "position": "position",
}
"""Of a pair → of the record. `after` is the command's own."""
LISTS: Final = ("exclude", "items", "categories")
NUMBERS: Final = ("value", "event_time_ms", "position")


@dataclass(frozen=True, slots=True)
class TimedEvent:
    """An event, and when it reaches Kafka."""

    event: Interaction
    kafka_ms: int


def told_events(
    told: Sequence[str],
    user_id: str,
    settings: ModelSettings,
    *,
    at_ms: int | None,
    now_ms: int,
    event_ids: Sequence[str] = (),
) -> list[TimedEvent]:
    """The events in their order. The first reaches Kafka at `at_ms`, or when it happened, or now; each other one so
    long after the one before as it says, or when it happened, or at once. Raises InspectError.
    """
    if len(event_ids) > len(told):
        raise inspect_error("LT-INS-312", f"{len(event_ids)} event ids were given for {len(told)} events")
    events: list[TimedEvent] = []
    for number, text in enumerate(told, 1):
        fields, after_s = _fields(text, number)
        happened_ms = fields.get("event_time_ms")
        if events:
            kafka_ms = events[-1].kafka_ms + round(1_000 * (after_s or 0))
            if after_s is None and type(happened_ms) is int:
                kafka_ms = max(kafka_ms, happened_ms)
        else:
            kafka_ms = next((ms for ms in (at_ms, happened_ms) if type(ms) is int), now_ms)
            kafka_ms += round(1_000 * (after_s or 0))
        own_id = event_ids[number - 1] if number <= len(event_ids) else f"whatif-{number}"
        defaults = {"event_id": own_id, "user_id": user_id, "event_type": "view", "event_time_ms": kafka_ms}
        chosen = {"event_id": own_id} if number <= len(event_ids) else {}
        events.append(TimedEvent(_parsed(defaults | fields | chosen, number, user_id, kafka_ms, settings), kafka_ms))
    return events


def _fields(text: str, number: int) -> tuple[dict[str, Any], float | None]:
    """The record's fields that the text gives, and the seconds after the event before."""
    if text.lstrip().startswith("{"):
        try:
            fields = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise inspect_error("LT-INS-312", f"event {number} is not JSON: {error}") from error
        return fields, None
    fields, after_s = {}, None
    for pair in _pairs(text):
        name, equals, value = pair.partition("=")
        if name == "after" and equals:
            after_s = _number(name, value, number)
        elif name in NAMES and equals:
            field = NAMES[name]
            fields[field] = value.split("|") if field in LISTS else value
            if field in NUMBERS:
                decimal = _number(name, value, number)
                fields[field] = decimal if field == "value" else round(decimal)
        else:
            known = ", ".join([*NAMES, "after"])
            raise inspect_error("LT-INS-312", f"event {number}: pairs of {known} were needed; got {pair!r}")
    return fields, after_s


def _pairs(text: str) -> Iterable[str]:
    """The pairs of a text; a comma before anything but a known name belongs to the value.

    >>> list(_pairs("item=a,b,type=view"))
    ['item=a,b', 'type=view']
    """
    pair = ""
    for part in text.split(","):
        if pair and part.partition("=")[0] not in (*NAMES, "after"):
            pair += f",{part}"
            continue
        if pair:
            yield pair
        pair = part
    yield pair


def _number(name: str, value: str, number: int) -> float:
    try:
        decimal = float(value)
    except ValueError:
        decimal = math.nan
    if not math.isfinite(decimal):
        raise inspect_error("LT-INS-312", f"event {number}: {name} must be a finite number; got {value!r}")
    return decimal


def _parsed(fields: dict[str, Any], number: int, user_id: str, kafka_ms: int, settings: ModelSettings) -> Interaction:
    try:
        event = parse_interaction(
            orjson.dumps(fields),
            kafka_ms,
            max_bytes=settings.max_record_bytes,
            future_tolerance_ms=1_000 * settings.future_tolerance_s,
        )
    except InvalidRecord as error:
        raise inspect_error("LT-INS-312", f"event {number} would be rejected ({error.reason}): {error}") from error
    if event.user_id != user_id:
        raise inspect_error("LT-INS-312", f"event {number} is one of user {event.user_id!r}; {user_id!r} was needed")
    return event
