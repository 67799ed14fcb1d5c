"""The records on Livetower's topics: what may come in, what goes out, and why something is refused.

This file is the authority on their fields; everything is JSON in UTF-8. It parses bytes into values that the rest of
the code may trust and refuses all others with an `InvalidRecord` whose reason is a `Reason`. It does not know
topics, keys, offsets or the model. Next: `recommender.py`, which turns an `Interaction` into a `Recommendation`.
"""

import base64
import json
import math
import sys
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple, NoReturn

import orjson

from models.shown import shown
from models.strategies import Strategy

SCHEMA_VERSION: Final = 1
ID_MAX_BYTES: Final = 512
"""Longest user_id, item_id or event_id in UTF-8."""
REC_ID_MAX_BYTES: Final = 2 * ID_MAX_BYTES + 1
"""Longest rec_id: a user_id, a colon, an event_id."""
POSITION_END: Final = 65_536
"""No position in a list lies beyond it."""
LIST_MAX: Final = 1000
"""Most items that one event excludes, and most items or categories that a profile declares."""
TIME_END_MS: Final = 2**48
"""No time lies beyond it, the year 10889: its day still fits the uint32 of a user state."""
VECTORS_MAX: Final = 8
"""Named vectors an item may carry …"""
VECTOR_LENGTH_MAX: Final = 2_048
"""… of at most so many numbers each."""
FLOAT32_MAX: Final = 3.4028234663852886e38


class EventType(StrEnum):
    """What a user did. What each teaches is set by `model.event_weights`: by default the first five are positive,
    dislike and skip explicit negatives. All of these mark the item as consumed; request only asks for a list; profile
    declares items and categories that the user likes; erase lets go of everything that is held of the user.
    """

    VIEW = "view"
    CLICK = "click"
    LIKE = "like"
    PURCHASE = "purchase"
    RATING = "rating"
    DISLIKE = "dislike"
    SKIP = "skip"
    REQUEST = "request"
    PROFILE = "profile"
    ERASE = "erase"


class Reason(StrEnum):
    """Why a record went to `rejected`: stable codes, the header `reason`."""

    NULL_VALUE = "null_value"
    """The record has no value. On `items` that is a tombstone, and it is the key that is missing."""
    OVERSIZED = "oversized"
    """The value is longer than `model.max_record_bytes`."""
    NOT_UTF8 = "not_utf8"
    """The value, or the key of a tombstone, is not UTF-8."""
    MALFORMED_JSON = "malformed_json"
    """The value is not JSON."""
    NOT_AN_OBJECT = "not_an_object"
    """The value is JSON, but no object."""
    MISSING_FIELD = "missing_field"
    """A required field is absent."""
    INVALID_FIELD = "invalid_field"
    """A field has a type, a length or a value that it cannot have."""
    NON_FINITE = "non_finite"
    """A number is NaN or infinite, or too large for its type."""
    UNKNOWN_EVENT_TYPE = "unknown_event_type"
    """The event type is none that there is."""
    UNSUPPORTED_VERSION = "unsupported_version"
    """`schema_version` is none that this version reads."""
    FUTURE_TIME = "future_time"
    """`event_time_ms` lies more than `model.future_tolerance_s` after the record's Kafka timestamp."""
    NO_KEY = "no_key"
    """The interaction has no key, and `job.user_key` is kafka-key."""
    KEY_MISMATCH = "key_mismatch"
    """The key is not the id that the value names."""
    INTERNAL_ERROR = "internal_error"
    """Our own bug: the header `detail` has the traceback, and nothing was learned."""


class InvalidRecord(ValueError):
    """Outside data that cannot be used: `reason` for programs, the message for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Interaction:
    """One thing a user did.

    `event_time_ms`: milliseconds since 1970, by the clock of whoever saw it. `item_id` is '' for a request, a
    profile and an erase; `items` and `categories` are what a profile declares. `value` is read from ratings
    (`ratings.py`). With any event `strategy` says how its list is made (None: as model.strategy says), and `exclude`
    what must not be in it. `rec_id` and `position` (0 is the best place) name the list in which the user met the item;
    they are not learned.
    """

    event_id: str
    user_id: str
    item_id: str
    event_type: EventType
    event_time_ms: int
    value: float | None = None
    strategy: Strategy | None = None
    exclude: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    rec_id: str | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One catalogue entry. `numbers` are finite; a tombstone is an item that is not `available`.

    `vectors` (an embedding of its picture, its sound, …) are named float32 bytes, as `pack_vectors` makes them: a tuple
    of Python floats would be eight times as large.
    """

    item_id: str
    title: str = ""
    text: str = ""
    category: str = ""
    tags: tuple[str, ...] = ()
    numbers: tuple[tuple[str, float], ...] = ()
    available: bool = True
    updated_ms: int | None = None
    vectors: tuple[tuple[str, bytes], ...] = ()


class RecommendedItem(NamedTuple):
    """One place in a list. The parts sum to the score; `because` is the past item that raised it most, None if none
    did.
    """

    item_id: str
    score: float
    taste: float
    recent: float
    popularity: float
    bias: float
    neighbours: float
    content: float
    exploration: float
    because: str | None


@dataclass(frozen=True, slots=True)
class Clock:
    """When what happened, in milliseconds since 1970: at the source, in Kafka, after the learning step, when the list
    was ready.
    """

    event_time_ms: int
    kafka_ms: int
    learned_ms: int
    emitted_ms: int


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A user's list after one accepted event. Keep the record with the highest (user_since_ms, user_seq) of a user."""

    user_id: str
    user_since_ms: int
    user_seq: int
    trigger: str
    items: tuple[RecommendedItem, ...]
    strategy: Strategy
    epoch: int
    trained_events: int
    snapshot_created_ms: int


# ---- bytes to values -----------------------------------------------------------------------------


def parse_interaction(value: bytes | None, kafka_ms: int, *, max_bytes: int, future_tolerance_ms: int) -> Interaction:
    """The interaction in a Kafka value; `kafka_ms` is the record's own timestamp, against which a future event is told.

    Raises InvalidRecord.
    """
    fields = parse_object(value, max_bytes)
    _require_version(fields)
    event_id = _text(fields, "event_id")
    where = f"interaction {event_id!r}"
    user_id = _text(fields, "user_id")
    name = fields.get("event_type")
    event_type = _EVENT_TYPES.get(name) if isinstance(name, str) else None
    if event_type is None:
        if "event_type" not in fields:
            _refuse(Reason.MISSING_FIELD, f"{where}: event_type is missing")
        _refuse(
            Reason.UNKNOWN_EVENT_TYPE,
            f"{where}: event_type must be one of {', '.join(_EVENT_TYPES)}; got {shown(name)}",
        )
    item_id = "" if event_type in _WITHOUT_ITEM else _text(fields, "item_id")
    event_time_ms = fields.get("event_time_ms")
    if type(event_time_ms) is not int or not 0 <= event_time_ms < TIME_END_MS:
        if "event_time_ms" not in fields:
            _refuse(Reason.MISSING_FIELD, f"{where}: event_time_ms is missing")
        _refuse(
            Reason.INVALID_FIELD,
            f"{where}: event_time_ms must be a whole number of milliseconds since 1970; got {shown(event_time_ms)}",
        )
    if event_time_ms > kafka_ms + future_tolerance_ms:
        _refuse(
            Reason.FUTURE_TIME,
            f"{where}: event_time_ms {event_time_ms} lies {event_time_ms - kafka_ms} ms after "
            f"the record's Kafka timestamp; at most {future_tolerance_ms} ms are allowed",
        )
    amount = fields.get("value")
    if amount is not None:
        amount = _number(amount, f"{where}: value")
    strategy = fields.get("strategy")
    if strategy is not None and strategy not in _STRATEGIES:
        _refuse(
            Reason.INVALID_FIELD,
            f"{where}: strategy must be one of {', '.join(_STRATEGIES)}; got {shown(strategy)}",
        )
    items, categories = _ids(fields, "items", where), _ids(fields, "categories", where)
    if event_type is EventType.PROFILE and not items and not categories:
        _refuse(Reason.MISSING_FIELD, f"{where}: a profile needs items or categories")
    position = fields.get("position")
    if position is not None and (type(position) is not int or not 0 <= position < POSITION_END):
        _refuse(
            Reason.INVALID_FIELD,
            f"{where}: position must be a whole number in [0, {POSITION_END - 1}], 0 the best; got {shown(position)}",
        )
    return Interaction(
        event_id,
        user_id,
        item_id,
        event_type,
        event_time_ms,
        amount,
        strategy=None if strategy is None else Strategy(strategy),
        exclude=_ids(fields, "exclude", where),
        items=items,
        categories=categories,
        rec_id=None if fields.get("rec_id") is None else _text(fields, "rec_id", REC_ID_MAX_BYTES),
        position=position,
    )


def parse_item(key: bytes | None, value: bytes | None, *, max_bytes: int) -> Item:
    """The catalogue entry in a Kafka record of `items`; a null value under a key is that item's tombstone. Raises
    InvalidRecord.
    """
    if value is None:
        if key is None:
            _refuse(Reason.NULL_VALUE, "item: a tombstone needs the item_id as its key")
        return Item(_text({"item_id": _utf8(key, "item key")}, "item_id"), available=False)
    fields = parse_object(value, max_bytes)
    _require_version(fields)
    item_id = _text(fields, "item_id")
    if key is not None and key != item_id.encode():
        _refuse(Reason.KEY_MISMATCH, f"item {item_id!r}: the record's key must be the item_id; got {key[:80]!r}")
    where = f"item {item_id!r}"
    tags = fields.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        _refuse(Reason.INVALID_FIELD, f"{where}: tags must be a list of strings; got {shown(tags)}")
    numbers = fields.get("numbers", {})
    if not isinstance(numbers, dict):
        _refuse(Reason.INVALID_FIELD, f"{where}: numbers must be an object of numbers; got {shown(numbers)}")
    available = fields.get("available", True)
    if not isinstance(available, bool):
        _refuse(Reason.INVALID_FIELD, f"{where}: available must be true or false; got {shown(available)}")
    updated_ms = fields.get("updated_ms")
    if updated_ms is not None and (type(updated_ms) is not int or not 0 <= updated_ms < TIME_END_MS):
        _refuse(
            Reason.INVALID_FIELD,
            f"{where}: updated_ms must be a whole number of milliseconds since 1970; got {shown(updated_ms)}",
        )
    return Item(
        item_id,
        title=_optional_text(fields, "title", where),
        text=_optional_text(fields, "text", where),
        category=_optional_text(fields, "category", where),
        tags=tuple(dict.fromkeys(tags)),
        numbers=tuple((name, _number(number, f"{where}: numbers.{name}")) for name, number in sorted(numbers.items())),
        available=available,
        updated_ms=updated_ms,
        vectors=_vectors(fields.get("vectors", {}), where),
    )


def parse_object(value: bytes | None, max_bytes: int) -> dict[str, Any]:
    """The JSON object in a Kafka value of at most `max_bytes`. Raises InvalidRecord."""
    if value is None:
        _refuse(Reason.NULL_VALUE, "the record has no value; a JSON object was needed")
    if len(value) > max_bytes:
        _refuse(Reason.OVERSIZED, f"the value has {len(value)} bytes; at most {max_bytes} are allowed")
    try:
        fields = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        _refuse_malformed(value, error)
    if not isinstance(fields, dict):
        _refuse(Reason.NOT_AN_OBJECT, f"the value must be a JSON object; got {shown(fields)}")
    return fields


def check_key(user_key: str, key: bytes | None, user_id: str) -> None:
    """The job keyed an interaction by `user_key`, base64 of a user id's bytes; it must be that of the record's own
    user_id.

    With `user_key = kafka-key` it came from the record's key, which is `key`. Raises InvalidRecord.
    """
    if user_key == user_key_of(user_id):
        return
    if user_key == "" and key is None:
        _refuse(Reason.NO_KEY, f"the record's key must be the user_id, here {user_id!r}; it has none")
    _refuse(Reason.KEY_MISMATCH, f"the record's key must be the user_id, here {user_id!r}; got {shown(key)}")


def user_key_of(user_id: str) -> str:
    """How a user's state is keyed: base64 of the user_id in UTF-8, which is injective and which SQL can make
    (TO_BASE64).

    >>> user_key_of("u1")
    'dTE='
    """
    return base64.b64encode(user_id.encode()).decode()


# ---- values to bytes -----------------------------------------------------------------------------


def encode_item(item: Item) -> bytes:
    """The value of a record on `items`; `parse_item` gives the same item back."""
    fields = {
        "item_id": item.item_id,
        "title": item.title,
        "text": item.text,
        "category": item.category,
        "tags": item.tags,
        "numbers": dict(item.numbers),
        "available": item.available,
    }
    if item.updated_ms is not None:
        fields["updated_ms"] = item.updated_ms
    if item.vectors:
        fields["vectors"] = {name: unpack_vector(packed).tolist() for name, packed in item.vectors}
    return orjson.dumps(fields)


def pack_vectors(vectors: Mapping[str, Iterable[float]]) -> tuple[tuple[str, bytes], ...]:
    """Named vectors as an `Item` holds them: by name, each as little-endian float32.

    >>> [(name, packed.hex()) for name, packed in pack_vectors({"image": [0.5, -1.0]})]
    [('image', '0000003f000080bf')]
    """
    return tuple((name, _swapped(array("f", vector)).tobytes()) for name, vector in sorted(vectors.items()))


def unpack_vector(packed: bytes) -> "array[float]":
    """The numbers of one vector."""
    return _swapped(array("f", packed))


def encode_recommendation(recommendation: Recommendation, clock: Clock) -> bytes:
    """The value of a record on `recommendations`."""
    r = recommendation
    return orjson.dumps(
        {
            "schema_version": SCHEMA_VERSION,
            "rec_id": rec_id_of(r.user_id, r.trigger),
            "user_id": r.user_id,
            "user_since_ms": r.user_since_ms,
            "user_seq": r.user_seq,
            "items": [
                {
                    "item_id": i.item_id,
                    "score": i.score,
                    "parts": {
                        "taste": i.taste,
                        "recent": i.recent,
                        "popularity": i.popularity,
                        "bias": i.bias,
                        "neighbours": i.neighbours,
                        "content": i.content,
                        "exploration": i.exploration,
                    },
                    "because": i.because,
                }
                for i in r.items
            ],
            "strategy": r.strategy,
            "snapshot": {
                "epoch": r.epoch,
                "trained_events": r.trained_events,
                "age_ms": max(0, clock.emitted_ms - r.snapshot_created_ms),
            },
            "trigger": r.trigger,
            "clock": {
                "event_time_ms": clock.event_time_ms,
                "kafka_ms": clock.kafka_ms,
                "learned_ms": clock.learned_ms,
                "emitted_ms": clock.emitted_ms,
            },
        }
    )


def rec_id_of(user_id: str, event_id: str) -> str:
    """The name of the list that an event triggered.

    >>> rec_id_of("ada", "web-3")
    'ada:web-3'
    """
    return f"{user_id}:{event_id}"


def recommendation_headers(recommendation: Recommendation, clock: Clock) -> dict[str, bytes]:
    """The Kafka headers of a record on `recommendations`: what a reader may want to know before it parses the value.

    `snapshot` is <epoch>-<trained events>, as `livetower command rollback --to` takes it.
    """
    return {
        "snapshot": b"%d-%d" % (recommendation.epoch, recommendation.trained_events),
        "emitted_ms": b"%d" % clock.emitted_ms,
    }


def recommendation_bytes_max(top_k: int) -> int:
    """The largest value that `encode_recommendation` can make of a list of so many items.

    Each byte of an id may become six (a control character in JSON), each number takes 24 characters at most.
    """
    longest_id, longest_number, longest_time = "\0" * ID_MAX_BYTES, -2.2250738585072014e-308, 2**63 - 1
    item = RecommendedItem._make((longest_id, *(longest_number,) * (len(RecommendedItem._fields) - 2), longest_id))
    recommendation = Recommendation(
        user_id=longest_id,
        user_since_ms=longest_time,
        user_seq=longest_time,
        trigger=longest_id,
        items=(item,) * top_k,
        strategy=max(Strategy, key=len),
        epoch=longest_time,
        trained_events=longest_time,
        snapshot_created_ms=0,
    )
    return len(encode_recommendation(recommendation, Clock(*(longest_time,) * 4)))


# ---- the checks ----------------------------------------------------------------------------------

_EVENT_TYPES: Final = {str(event_type): event_type for event_type in EventType}
_WITHOUT_ITEM: Final = frozenset({EventType.REQUEST, EventType.PROFILE, EventType.ERASE})
_STRATEGIES: Final = tuple(str(strategy) for strategy in Strategy)


def _refuse(reason: Reason, detail: str) -> NoReturn:
    raise InvalidRecord(reason, detail)


def _refuse_malformed(value: bytes, error: ValueError) -> NoReturn:
    """Say precisely why bytes that the fast parser refused are no JSON for us."""
    text = _utf8(value, "the value")

    def refuse_non_finite(name: str) -> NoReturn:
        _refuse(Reason.NON_FINITE, f"the value holds {name[:40]}; JSON and Livetower need finite numbers")

    def finite(digits: str) -> float:
        return number if math.isfinite(number := float(digits)) else refuse_non_finite(digits)

    try:
        json.loads(text, parse_constant=refuse_non_finite, parse_float=finite)
    except InvalidRecord:
        raise
    except (ValueError, RecursionError):
        pass  # not JSON for the standard library either: the fast parser's words say where
    _refuse(Reason.MALFORMED_JSON, f"the value is not JSON: {error}")


def _utf8(value: bytes, what: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise InvalidRecord(Reason.NOT_UTF8, f"{what} is not UTF-8: {error.reason} at byte {error.start}") from None


def _require_version(fields: dict[str, Any]) -> None:
    version = fields.get("schema_version", SCHEMA_VERSION)
    if type(version) is not int or version != SCHEMA_VERSION:
        _refuse(Reason.UNSUPPORTED_VERSION, f"schema_version must be {SCHEMA_VERSION}; got {shown(version)}")


def _text(fields: dict[str, Any], name: str, max_bytes: int = ID_MAX_BYTES) -> str:
    """A required identifier."""
    text = fields.get(name)
    if not isinstance(text, str) or not text or len(text.encode()) > max_bytes:
        if name not in fields:
            _refuse(Reason.MISSING_FIELD, f"{name} is missing")
        _refuse(Reason.INVALID_FIELD, f"{name} must be a string of 1 to {max_bytes} bytes; got {shown(text)}")
    return text


def _ids(fields: dict[str, Any], name: str, where: str) -> tuple[str, ...]:
    """An optional list of identifiers or names, each once."""
    ids = fields.get(name)
    if ids is None:
        return ()
    if not isinstance(ids, list) or len(ids) > LIST_MAX:
        _refuse(Reason.INVALID_FIELD, f"{where}: {name} must be a list of at most {LIST_MAX} strings; got {shown(ids)}")
    for text in ids:
        if not isinstance(text, str) or not text or len(text.encode()) > ID_MAX_BYTES:
            _refuse(
                Reason.INVALID_FIELD,
                f"{where}: {name} must hold strings of 1 to {ID_MAX_BYTES} bytes; got {shown(text)}",
            )
    return tuple(dict.fromkeys(ids))


def _optional_text(fields: dict[str, Any], name: str, where: str) -> str:
    text = fields.get(name, "")
    if not isinstance(text, str):
        _refuse(Reason.INVALID_FIELD, f"{where}: {name} must be a string; got {shown(text)}")
    return text


def _number(number: object, what: str) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float):
        _refuse(Reason.INVALID_FIELD, f"{what} must be a number; got {shown(number)}")
    if not math.isfinite(number):
        _refuse(Reason.NON_FINITE, f"{what} must be finite; got {number!r}")
    return float(number)


def _vectors(vectors: object, where: str) -> tuple[tuple[str, bytes], ...]:
    if not isinstance(vectors, dict) or not all(isinstance(vector, list) for vector in vectors.values()):
        _refuse(Reason.INVALID_FIELD, f"{where}: vectors must be an object of lists of numbers; got {shown(vectors)}")
    if len(vectors) > VECTORS_MAX:
        _refuse(Reason.INVALID_FIELD, f"{where}: vectors must be at most {VECTORS_MAX}; got {len(vectors)}")
    for name, vector in vectors.items():
        if not 1 <= len(vector) <= VECTOR_LENGTH_MAX:
            _refuse(
                Reason.INVALID_FIELD,
                f"{where}: vectors.{name} must have 1 to {VECTOR_LENGTH_MAX} numbers; got {len(vector)}",
            )
        for at, number in enumerate(vector):
            if abs(_number(number, f"{where}: vectors.{name}[{at}]")) > FLOAT32_MAX:
                _refuse(Reason.NON_FINITE, f"{where}: vectors.{name}[{at}] must be finite as a float32; got {number!r}")
    return pack_vectors(vectors)


def _swapped(numbers: "array[float]") -> "array[float]":
    """The array in little-endian order on a machine of either; the order is the machine's own on all we know."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
