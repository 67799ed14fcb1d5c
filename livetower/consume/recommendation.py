"""A record of the topic of recommendations as its reader sees it, from the bytes that `models.records` writes.

It is wider than what the job of today writes, as the compatibility promise (docs/consuming.md) asks of a reader:
unknown fields are left aside, and a strategy or a part of a score may have a name that is not known here. It knows no
Kafka. Read next: newest.py.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from models.records import SCHEMA_VERSION, Clock, InvalidRecord, Reason, parse_object

T = TypeVar("T")
VALUE_BYTES = 2**31
"""Kafka's own bound on a record."""


@dataclass(frozen=True, slots=True)
class RecommendedItem:
    """One place in a list; `parts` sum to the score, `because` is the past item that raised it most."""

    item_id: str
    score: float
    parts: Mapping[str, float]
    because: str | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The item snapshot that a list was made with, and its age when the list was made."""

    epoch: int
    trained_events: int
    age_ms: int

    @property
    def name(self) -> str:
        """As the header `snapshot` and `livetower command rollback --to` have it."""
        return f"{self.epoch}-{self.trained_events}"


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A user's list after one accepted event, best item first. `trigger` is that event's event_id."""

    rec_id: str
    user_id: str
    user_since_ms: int
    user_seq: int
    items: tuple[RecommendedItem, ...]
    strategy: str
    snapshot: Snapshot
    trigger: str
    clock: Clock

    @property
    def version(self) -> tuple[int, int]:
        """What orders a user's lists: the highest is the newest, and of equal ones the later in its partition.

        A store keeps it beside the list and replaces a list whose version is not higher.
        """
        return self.user_since_ms, self.user_seq


def parse_recommendation(value: bytes | None) -> Recommendation:
    """The list in a Kafka value. Raises InvalidRecord."""
    fields = parse_object(value, VALUE_BYTES)
    version = _field(fields, "schema_version", int)
    if version != SCHEMA_VERSION:
        raise InvalidRecord(
            Reason.UNSUPPORTED_VERSION,
            f"recommendation: schema_version must be {SCHEMA_VERSION}; got {version}. Update the reader",
        )
    snapshot, clock = _field(fields, "snapshot", dict), _field(fields, "clock", dict)
    return Recommendation(
        rec_id=_field(fields, "rec_id", str),
        user_id=_field(fields, "user_id", str),
        user_since_ms=_field(fields, "user_since_ms", int),
        user_seq=_field(fields, "user_seq", int),
        items=tuple(_item(entry) for entry in _field(fields, "items", list)),
        strategy=_field(fields, "strategy", str),
        snapshot=Snapshot(*(_field(snapshot, name, int) for name in ("epoch", "trained_events", "age_ms"))),
        trigger=_field(fields, "trigger", str),
        clock=Clock(*(_field(clock, name, int) for name in ("event_time_ms", "kafka_ms", "learned_ms", "emitted_ms"))),
    )


def _item(entry: object) -> RecommendedItem:
    if not isinstance(entry, dict):
        raise InvalidRecord(Reason.INVALID_FIELD, f"recommendation: an item must be an object; got {entry!r:.80}")
    because = None if entry.get("because") is None else _field(entry, "because", str)
    parts = {name: _number(part, f"parts.{name}") for name, part in _field(entry, "parts", dict).items()}
    return RecommendedItem(_field(entry, "item_id", str), _number(entry.get("score"), "score"), parts, because)


def _field(fields: Mapping[str, Any], name: str, kind: type[T]) -> T:
    if name not in fields:
        raise InvalidRecord(Reason.MISSING_FIELD, f"recommendation: {name} is missing")
    value = fields[name]
    if type(value) is not kind:  # true is no int
        raise InvalidRecord(
            Reason.INVALID_FIELD, f"recommendation: {name} must be of type {kind.__name__}; got {value!r:.80}"
        )
    return value


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidRecord(Reason.INVALID_FIELD, f"recommendation: {name} must be a finite number; got {value!r:.80}")
    return float(value)
