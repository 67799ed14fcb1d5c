"""The JSON Schemas beside livetower.consume against the parsers and against records that the job makes."""

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from made_up import MODEL, announcement, bad_interactions, bad_items, delta, interaction, item, snapshot
from test_records import REFUSED, REFUSED_ITEMS, anything, items, view
from worlds import event, item_table, replay

from livetower.consume import SCHEMAS, parse_recommendation, read_schema
from models.commands import Command, CommandKind, encode_command, parse_command
from models.records import (
    Clock,
    EventType,
    InvalidRecord,
    Reason,
    encode_item,
    encode_recommendation,
    parse_interaction,
    parse_item,
)
from models.snapshots import InvalidSnapshot, decode_announcement, encode_announcement
from models.strategies import PARTS, Strategy
from operators import rows

VALID = {name: Draft202012Validator(read_schema(name)) for name in SCHEMAS}
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Validating takes its time, and a busy machine more."""
BEYOND_SCHEMAS = {Reason.FUTURE_TIME, Reason.OVERSIZED, Reason.NO_KEY, Reason.KEY_MISMATCH, Reason.NULL_VALUE}
"""What only a record's key, timestamp and settings can tell."""


def accepts(name: str, value: bytes | None) -> bool:
    """Whether these bytes are JSON that the schema accepts; whole numbers are written without a fraction."""
    try:
        record = json.loads(value or b"", parse_constant=_not_json)
        orjson.loads(value or b"")  # lone surrogates are no text
    except (ValueError, RecursionError):
        return False
    return VALID[name].is_valid(record)


def _not_json(_: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")


def parse(value: bytes | None) -> object:
    return parse_interaction(value, 2**47, max_bytes=2**20, future_tolerance_ms=2**48)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one(name):
    Draft202012Validator.check_schema(read_schema(name))
    assert read_schema(name)["$id"] == f"urn:livetower:{name}:1"


# ---- what comes in -------------------------------------------------------------------------------


GOOD = [
    view(),
    view(value=4, schema_version=1, page="home"),
    view(value=None, strategy=None, exclude=None, rec_id=None, position=None),
    view(event_type="request", item_id=..., strategy="content", exclude=["i3"]),
    view(event_type="profile", item_id=..., items=["i1"], categories=["drama"]),
    view(event_type="profile", item_id=..., categories=["drama"]),
    view(rec_id="u" * 512 + ":" + "e" * 512, position=65_535),
    view(event_id="e" * 512, user_id="é" * 256, item_id="😀" * 128),
    view(user_id="€" * 170),
    view(event_time_ms=2**48 - 1),
]


@pytest.mark.parametrize("value", GOOD)
def test_a_good_interaction_is_good_for_both(value):
    assert parse(value)
    assert accepts("interaction", value)


REFUSED_INTERACTIONS = {
    **{what: (value, reason) for what, (value, reason) in REFUSED.items()},
    **{f"made up: {what}": (value, reason) for what, (_, value, reason) in bad_interactions().items()},
    "a user_id of 257 é": (view(user_id="é" * 257), Reason.INVALID_FIELD),
    "an item_id of 129 😀": (view(item_id="😀" * 129), Reason.INVALID_FIELD),
    "an item_id of 171 €": (view(item_id="€" * 171), Reason.INVALID_FIELD),
    "strategy of a number": (view(strategy=1), Reason.INVALID_FIELD),
}
WITH_A_FRACTION = {"a position with a fraction", "updated_ms with a fraction"}
"""1.0 is a whole number to JSON Schema and not to us."""


@pytest.mark.parametrize("what", REFUSED_INTERACTIONS)
def test_what_is_wrong_in_an_interaction_is_wrong_for_its_schema(what):
    value, reason = REFUSED_INTERACTIONS[what]
    assert accepts("interaction", value) == (reason in BEYOND_SCHEMAS - {Reason.NULL_VALUE} or what in WITH_A_FRACTION)


whole = st.recursive(  # no floats that are whole numbers
    st.none() | st.booleans() | st.integers() | st.just(0.5) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
fields = ("event_id", "user_id", "item_id", "event_time_ms", "value", "exclude", "items", "rec_id", "position")
near_interactions = st.fixed_dictionaries(
    {"event_type": st.sampled_from([*EventType, None]), "strategy": st.sampled_from([*Strategy, None, ""])},
    optional={name: whole | st.text(min_size=1, max_size=600) | st.lists(st.text(), max_size=3) for name in fields},
)


@patient
@given(near_interactions)
def test_an_interaction_that_the_schema_accepts_the_parser_accepts(changed):
    value = json.dumps(json.loads(view()) | changed).encode()
    if accepts("interaction", value):
        parse(value)


@patient
@given(items)
def test_an_item_of_ours_is_good_for_its_schema(made):
    assert accepts("item", encode_item(made))


@pytest.mark.parametrize(
    "value",
    [
        item("i1"),
        item("i1", numbers={"year": 1979, "length": -1.5}, tags=["a", "a"], vectors={"image": [0.5, -3e38]}, colour=1),
        item("i1", updated_ms=None, available=False, title="", text="x", category="c"),
    ],
)
def test_a_good_item_is_good_for_both(value):
    assert parse_item(None, value, max_bytes=2**20)
    assert accepts("item", value)


ALL_REFUSED_ITEMS = {**REFUSED_ITEMS, **{f"made up: {what}": record for what, record in bad_items().items()}}


@pytest.mark.parametrize("what", ALL_REFUSED_ITEMS)
def test_what_is_wrong_in_an_item_is_wrong_for_its_schema(what):
    _, value, reason = ALL_REFUSED_ITEMS[what]
    assert accepts("item", value) == (
        value is not None and (reason in BEYOND_SCHEMAS or what in WITH_A_FRACTION) and what != "a null value"
    )


@patient
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(["title", "tags", "numbers", "vectors", "available"], whole)))
def test_an_item_that_the_schema_accepts_the_parser_accepts(changed):
    if accepts("item", item("i1", **changed)):
        parse_item(None, item("i1", **changed), max_bytes=2**20)


COMMANDS = [
    encode_command(Command(CommandKind.FULL_REFRESH, "c1")),
    encode_command(Command(CommandKind.ROLLBACK, "é", (1, 20))),
    b'{"command": "rollback", "command_id": "c", "to": null}',
    b'{"command": "full_refresh", "command_id": "c", "to": "0-5"}',
    b'{"command": "rollback", "command_id": "c", "to": "0-5\\n"}',
    b'{"command": "rollback", "command_id": "c", "to": 5}',
    b'{"command": "explode", "command_id": "c"}',
    b'{"command": ["rollback"], "command_id": "c"}',
    b'{"command": "rollback", "command_id": ""}',
    b'{"command": "rollback"}',
    b'{"command_id": "c"}',
    b"[]",
    b"{",
]


@pytest.mark.parametrize("value", COMMANDS)
def test_parser_and_schema_agree_on_commands(value):
    taken = False
    with suppress(InvalidRecord):
        taken = parse_command(value, max_bytes=1_000) is not None
    assert accepts("command", value) == taken


# ---- what goes out -------------------------------------------------------------------------------


def lists() -> list:
    """Lists that advance makes, of every strategy."""
    events = [event(n, f"i{n}", strategy=strategy) for n, strategy in enumerate(Strategy)]
    return [result.recommendation for result in replay(events, item_table(), replace(MODEL, top_k=3))]


@pytest.mark.parametrize("made", lists(), ids=lambda made: made.strategy)
def test_a_list_of_the_job_is_good_for_its_schema_and_its_reader(made):
    value = encode_recommendation(made, Clock(1, 2, 3, 2**43))
    VALID["recommendation"].validate(json.loads(value))
    read = parse_recommendation(value)
    assert (read.user_id, read.user_seq, read.trigger, read.strategy) == (
        made.user_id,
        made.user_seq,
        made.trigger,
        made.strategy,
    )
    assert (read.clock, read.rec_id) == (Clock(1, 2, 3, 2**43), f"{made.user_id}:{made.trigger}")
    assert (read.snapshot.name, read.snapshot.age_ms) == ("0-100", 2**43 - made.snapshot_created_ms)
    assert len(read.items) == 3
    assert [(i.item_id, i.score, tuple(i.parts.values()), i.because) for i in read.items] == [
        (i.item_id, i.score, i[2:-1], i.because) for i in made.items
    ]


def test_a_reader_takes_what_later_versions_may_add():
    record = json.loads(encode_recommendation(lists()[0], Clock(1, 2, 3, 4)))
    record["strategy"], record["more"], record["items"][0]["parts"]["season"] = "seasonal", [1], 0.5
    VALID["recommendation"].validate(record)
    read = parse_recommendation(json.dumps(record).encode())
    assert (read.strategy, read.items[0].parts["season"]) == ("seasonal", 0.5)


BAD_LISTS = {
    "no snapshot": ({"snapshot": ...}, Reason.MISSING_FIELD),
    "a later version": ({"schema_version": 2}, Reason.UNSUPPORTED_VERSION),
    "a seq that is true": ({"user_seq": True}, Reason.INVALID_FIELD),
    "items that are an object": ({"items": {}}, Reason.INVALID_FIELD),
    "an item that is text": ({"items": ["i1"]}, Reason.INVALID_FIELD),
    "an item without score": ({"items": [{"item_id": "i1", "parts": {}, "because": None}]}, Reason.INVALID_FIELD),
    "a clock without emitted_ms": ({"clock": {"event_time_ms": 1}}, Reason.MISSING_FIELD),
}


@pytest.mark.parametrize("what", BAD_LISTS)
def test_what_is_no_list_is_refused_by_both(what):
    changed, reason = BAD_LISTS[what]
    record = json.loads(encode_recommendation(lists()[0], Clock(1, 2, 3, 4))) | changed
    value = json.dumps({name: field for name, field in record.items() if field is not ...}).encode()
    assert not accepts("recommendation", value)
    with pytest.raises(InvalidRecord) as refused:
        parse_recommendation(value)
    assert refused.value.reason is reason


@patient
@given(st.binary() | st.dictionaries(st.sampled_from(["items", "clock", "user_seq"]), anything).map(json.dumps))
def test_any_bytes_are_a_list_or_an_invalid_record(value):
    with suppress(InvalidRecord):
        parse_recommendation(value if isinstance(value, bytes) else value.encode())


def test_announcements_of_every_kind_are_good_for_their_schema():
    full, changed = snapshot(), delta(7, row=3, value=0.5)
    for made in (
        announcement(full, 5, file="full-0-5-aa.safetensors"),
        announcement(changed, 7, kind="delta", base=full),
        announcement(changed, 7, kind="popularity", base=full),
    ):
        VALID["announcement"].validate(json.loads(encode_announcement(made)))


@pytest.mark.parametrize(
    "changed",
    [{"kind": "half"}, {"file": "../x"}, {"file": ".x"}, {"epoch": "0"}, {"sha256": 1}, {"inline": 5}, {"file": ...}],
)
def test_a_wrong_announcement_is_wrong_for_both(changed):
    record = json.loads(encode_announcement(announcement(snapshot(), 5, file="full"))) | changed
    value = json.dumps({name: field for name, field in record.items() if field is not ...}).encode()
    assert not accepts("announcement", value)
    with pytest.raises(InvalidSnapshot):
        decode_announcement(value)


def test_the_headers_of_a_rejected_record_are_good_for_their_schema():
    made = rows.rejected(b"k", b"v", Reason.NO_KEY, "none", "interactions", 3, 41)
    VALID["rejected_headers"].validate({name: header.decode() for name, header in made[3].items()})


def test_the_schemas_name_what_the_code_names():
    properties = {name: read_schema(name)["properties"] for name in SCHEMAS}
    assert set(properties["rejected_headers"]["reason"]["enum"]) == set(Reason)
    assert set(properties["interaction"]["event_type"]["enum"]) == set(EventType)
    assert set(properties["interaction"]["strategy"]["enum"]) == {*Strategy, None}
    assert properties["recommendation"]["items"]["items"]["properties"]["parts"]["required"] == list(PARTS)
    assert set(properties["command"]["command"]["enum"]) == set(CommandKind)


# ---- what the package needs ----------------------------------------------------------------------


@pytest.mark.parametrize("module", ["models.records", "livetower.consume"])
def test_a_reader_needs_neither_numba_nor_torch_nor_flink(module):
    heavy = ("numba", "torch", "pyflink", "pyarrow", "safetensors", "flink_jobs", "operators", "livetower.sandbox")
    program = f"import sys, {module}; sys.exit(' '.join(name for name in {heavy!r} if name in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interaction_of_the_tests_is_one_of_the_schema():
    assert accepts("interaction", interaction("e1"))
