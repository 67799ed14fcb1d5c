"""What a job must have made of what Kafka has accepted: `advance`, event by event, and nothing that can fail.

The accepted log is the topic itself, read from its beginning; within a partition it is the order in which the job
learns. Tests judge single faults by the same replay.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import orjson

from models.hashing import hash_id
from models.item_table import ItemTable
from models.recommender import advance
from models.records import Clock, InvalidRecord, encode_recommendation, parse_interaction
from models.settings import ModelSettings
from models.user_state import UserState, decode_user_state

ExampleId = tuple[int, int, int]
"""Hashes of user and item, and Kafka's time of the event: which example it is."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """One record as it stands in its topic."""

    value: bytes
    kafka_ms: int
    partition: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class ExpectedList:
    """The list that an event must get."""

    user_id: str
    user_seq: int
    kafka_ms: int
    record: dict[str, Any] | None = field(compare=False, default=None)
    """All of it but its times, if a table was given."""


@dataclass(slots=True)
class Expected:
    """What an undisturbed run makes of a log."""

    states: dict[str, UserState] = field(default_factory=dict)
    """By user."""
    lists: dict[str, ExpectedList] = field(default_factory=dict)
    """By rec_id."""
    examples: Counter[ExampleId] = field(default_factory=Counter)
    """What the tower must accept."""
    rejected: set[tuple[int, int]] = field(default_factory=set)
    """Partition and offset of what cannot be read."""


def undisturbed(log: Iterable[Accepted], table: ItemTable | None, settings: ModelSettings) -> Expected:
    """Learn the log in its order. Without a table states lack the table's part, and lists have no record."""
    expected = Expected()
    blobs: dict[str, bytes] = {}
    for accepted in log:
        try:
            event = parse_interaction(
                accepted.value,
                accepted.kafka_ms,
                max_bytes=settings.max_record_bytes,
                future_tolerance_ms=1_000 * settings.future_tolerance_s,
            )
        except InvalidRecord:
            expected.rejected.add((accepted.partition, accepted.offset))
            continue
        result = advance(blobs.get(event.user_id), event, table, accepted.kafka_ms, settings)
        if result.duplicate:
            continue
        if result.blob is None:
            blobs.pop(event.user_id, None)
            continue
        blobs[event.user_id] = result.blob
        if result.example_blob is not None:
            expected.examples[hash_id(event.user_id), hash_id(event.item_id), accepted.kafka_ms] += 1
        record = None
        if result.recommendation is not None:
            record = timeless(orjson.loads(encode_recommendation(result.recommendation, Clock(0, 0, 0, 0))))
        user_seq = decode_user_state(result.blob).user_seq
        expected.lists[f"{event.user_id}:{event.event_id}"] = ExpectedList(
            event.user_id, user_seq, accepted.kafka_ms, record
        )
    expected.states = {user: decode_user_state(blob) for user, blob in blobs.items()}
    return expected


def timeless(record: dict[str, Any]) -> dict[str, Any]:
    """The recommendation without what depends on when it was made."""
    named = {key: value for key, value in record["snapshot"].items() if key != "age_ms"}
    return {key: value for key, value in record.items() if key != "clock"} | {"snapshot": named}


def timeless_bytes(record: dict[str, Any]) -> bytes:
    """The same as bytes that are equal when the records are."""
    return orjson.dumps(timeless(record), option=orjson.OPT_SORT_KEYS)


def apart_from_the_table(state: UserState) -> UserState:
    """The state without what depends on the item table that an event meets, at other moments in a restored job."""
    return replace(
        state,
        embedding=np.zeros_like(state.embedding),
        accumulator=0.0,
        moments=state.moments[:0],
        steps=0,
        no_table=0,
        last_list=state.last_list[:0],
    )
