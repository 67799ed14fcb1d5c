"""What may come in, what is refused and why: every reason, with the very bytes."""

import json
import struct
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.records import (
    Clock,
    EventType,
    Interaction,
    InvalidRecord,
    Item,
    Reason,
    Recommendation,
    RecommendedItem,
    check_key,
    encode_item,
    encode_recommendation,
    pack_vectors,
    parse_interaction,
    parse_item,
    recommendation_bytes_max,
    recommendation_headers,
)
from models.strategies import Strategy

NOW_MS = 1_760_000_000_000
VIEW = b'{"event_id":"e1","user_id":"u1","item_id":"i1","event_type":"view","event_time_ms":1760000000000}'


def parse(value: bytes | None) -> Interaction:
    return parse_interaction(value, NOW_MS, max_bytes=4_096, future_tolerance_ms=300_000)


def view(**changed: object) -> bytes:
    """VIEW with other fields; `...` leaves a field out."""
    return json.dumps({k: v for k, v in (json.loads(VIEW) | changed).items() if v is not ...}).encode()


def test_a_view_is_read() -> None:
    assert parse(VIEW) == Interaction("e1", "u1", "i1", EventType.VIEW, NOW_MS, None)


def test_a_rating_keeps_its_value_and_unknown_fields_are_left_aside() -> None:
    value = view(event_type="rating", value=4, schema_version=1, page="home")
    assert parse(value) == Interaction("e1", "u1", "i1", EventType.RATING, NOW_MS, 4.0)


def test_a_request_needs_no_item() -> None:
    assert parse(view(event_type="request", item_id=...)).item_id == ""


def test_any_event_may_choose_a_strategy_and_exclude_items() -> None:
    event = parse(view(event_type="request", item_id=..., strategy="content", exclude=["i3", "i4", "i3"]))
    assert (event.strategy, event.exclude) == (Strategy.CONTENT, ("i3", "i4"))


def test_an_event_may_name_the_list_and_the_place_that_it_came_of() -> None:
    longest = "u" * 512 + ":" + "e" * 512
    event = parse(view(rec_id=longest, position=0))
    assert (event.rec_id, event.position) == (longest, 0)
    assert parse(view(rec_id=None, position=None)) == parse(VIEW)


def test_a_profile_declares_items_and_categories() -> None:
    event = parse(view(event_type="profile", item_id=..., items=["i1", "i2"], categories=["drama"]))
    assert event == Interaction("e1", "u1", "", EventType.PROFILE, NOW_MS, items=("i1", "i2"), categories=("drama",))


REFUSED = {
    "a null value": (None, Reason.NULL_VALUE),
    "one byte more than allowed": (view(page="x" * (4_096 - len(view(page="")) + 1)), Reason.OVERSIZED),
    "bytes that are not UTF-8": (b"\xff\x00{", Reason.NOT_UTF8),
    "one such byte in an id": (VIEW.replace(b'"i1"', b'"i\xfe"'), Reason.NOT_UTF8),
    "an empty value": (b"", Reason.MALFORMED_JSON),
    "a cut-off object": (VIEW[:-1], Reason.MALFORMED_JSON),
    "deep nesting": (b"[" * 2_000 + b"]" * 2_000, Reason.MALFORMED_JSON),
    "deep nesting that never closes": (b'{"a":' * 700, Reason.MALFORMED_JSON),
    "a lone surrogate": (VIEW.replace(b'"i1"', rb'"\ud800"'), Reason.MALFORMED_JSON),
    "a list": (b"[1]", Reason.NOT_AN_OBJECT),
    "null": (b"null", Reason.NOT_AN_OBJECT),
    "NaN": (view(value=float("nan")), Reason.NON_FINITE),
    "minus infinity": (view(value=float("-inf")), Reason.NON_FINITE),
    "a number beyond the doubles": (VIEW.replace(b"1760000000000", b"1e999"), Reason.NON_FINITE),
    "no event_id": (view(event_id=...), Reason.MISSING_FIELD),
    "no user_id": (view(user_id=...), Reason.MISSING_FIELD),
    "no item_id": (view(item_id=...), Reason.MISSING_FIELD),
    "no event_type": (view(event_type=...), Reason.MISSING_FIELD),
    "no event_time_ms": (view(event_time_ms=...), Reason.MISSING_FIELD),
    "an item_id of null": (view(item_id=None), Reason.INVALID_FIELD),
    "an empty user_id": (view(user_id=""), Reason.INVALID_FIELD),
    "a user_id that is a number": (view(user_id=7), Reason.INVALID_FIELD),
    "an event_id of 513 bytes": (view(event_id="é" * 256 + "e"), Reason.INVALID_FIELD),
    "a time that is true": (view(event_time_ms=True), Reason.INVALID_FIELD),
    "a time that is text": (view(event_time_ms="1760000000000"), Reason.INVALID_FIELD),
    "a time with a fraction": (view(event_time_ms=1.5), Reason.INVALID_FIELD),
    "a time before 1970": (view(event_time_ms=-1), Reason.INVALID_FIELD),
    "a time whose day no user state can hold": (view(event_time_ms=2**48), Reason.INVALID_FIELD),
    "a value that is text": (view(value="4"), Reason.INVALID_FIELD),
    "a value that is true": (view(value=True), Reason.INVALID_FIELD),
    "an unknown event_type": (view(event_type="stare"), Reason.UNKNOWN_EVENT_TYPE),
    "an event_type that is a list": (view(event_type=["view"]), Reason.UNKNOWN_EVENT_TYPE),
    "an event_type in capitals": (view(event_type="VIEW"), Reason.UNKNOWN_EVENT_TYPE),
    "profile that declares nothing": (view(event_type="profile"), Reason.MISSING_FIELD),
    "items that are no list": (view(event_type="profile", items="i1"), Reason.INVALID_FIELD),
    "a category without a name": (view(event_type="profile", categories=[""]), Reason.INVALID_FIELD),
    "a list of 1,001 to exclude": (view(exclude=1_001 * [1]), Reason.INVALID_FIELD),
    "an unknown strategy": (view(strategy="guess"), Reason.INVALID_FIELD),
    "a strategy that is a list": (view(strategy=["model"]), Reason.INVALID_FIELD),
    "a rec_id of 1,026 bytes": (view(rec_id="r" * 1_026), Reason.INVALID_FIELD),
    "an empty rec_id": (view(rec_id=""), Reason.INVALID_FIELD),
    "a position before the first": (view(position=-1), Reason.INVALID_FIELD),
    "a position of 65,536": (view(position=65_536), Reason.INVALID_FIELD),
    "a position that is true": (view(position=True), Reason.INVALID_FIELD),
    "a position with a fraction": (view(position=1.0), Reason.INVALID_FIELD),
    "an erase without an event_id": (view(event_type="erase", event_id=None), Reason.INVALID_FIELD),
    "schema_version 2": (view(schema_version=2), Reason.UNSUPPORTED_VERSION),
    "schema_version true": (view(schema_version=True), Reason.UNSUPPORTED_VERSION),
    "a time beyond the tolerance": (view(event_time_ms=NOW_MS + 300_001), Reason.FUTURE_TIME),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_interaction_is_refused_for_its_reason(what: str) -> None:
    value, reason = REFUSED[what]
    with pytest.raises(InvalidRecord) as refused:
        parse(value)
    assert refused.value.reason is reason
    assert str(refused.value)
    assert len(str(refused.value)) < 700  # a header, not a copy of the record


def test_every_reason_of_an_interaction_is_tried() -> None:
    elsewhere = {Reason.NO_KEY, Reason.KEY_MISMATCH, Reason.INTERNAL_ERROR}
    assert {reason for _, reason in REFUSED.values()} == set(Reason) - elsewhere


def test_what_lies_just_inside_the_bounds_is_read() -> None:
    assert parse(view(event_time_ms=NOW_MS + 300_000)).event_time_ms == NOW_MS + 300_000
    assert parse(view(event_id="é" * 256)).event_id == "é" * 256
    assert parse(view(page="x" * (4_096 - len(view(page=""))))) == parse(VIEW)
    assert parse(view(value=None)) == parse(VIEW)


def test_a_record_under_its_own_users_key_passes_whatever_the_bytes() -> None:
    check_key("dTE=", b"u1", "u1")  # base64 by hand
    check_key("w6k=", "é".encode(), "é")


@pytest.mark.parametrize(
    ("user_key", "key", "reason"),
    [
        ("", None, Reason.NO_KEY),
        ("", b"", Reason.KEY_MISMATCH),
        ("dTI=", b"u2", Reason.KEY_MISMATCH),
        ("//4=", b"\xff\xfe", Reason.KEY_MISMATCH),
    ],
)
def test_a_record_under_another_key_is_refused(user_key: str, key: bytes | None, reason: Reason) -> None:
    with pytest.raises(InvalidRecord) as refused:
        check_key(user_key, key, "u1")
    assert refused.value.reason is reason


# ---- items ---------------------------------------------------------------------------------------


def test_an_item_is_read_with_its_numbers_by_name_and_each_tag_once() -> None:
    value = b"""{"item_id": "i1", "title": "Alien", "text": "In space", "category": "film", "tags": ["b", "a", "b"],
                 "numbers": {"year": 1979, "length": 1.95}, "available": false, "updated_ms": 5, "colour": "black"}"""
    expected = Item("i1", "Alien", "In space", "film", ("b", "a"), (("length", 1.95), ("year", 1979.0)), False, 5)
    assert parse_item(b"i1", value, max_bytes=4_096) == expected


def test_a_null_value_is_the_tombstone_of_its_key() -> None:
    assert parse_item("é".encode(), None, max_bytes=4_096) == Item("é", available=False)


def item_with_vectors(vectors: dict) -> bytes:
    return json.dumps({"item_id": "i1", "vectors": vectors}).encode()


def test_named_vectors_are_read_as_float32_up_to_their_bounds() -> None:
    most = {name: [0.5, -1, 3e38] for name in "hgfedcba"}
    assert parse_item(None, item_with_vectors(most), max_bytes=4_096).vectors == tuple(
        (name, struct.pack("<3f", 0.5, -1, 3e38)) for name in "abcdefgh"
    )
    longest = parse_item(None, item_with_vectors({"image": [0.25] * 2_048}), max_bytes=65_536).vectors
    assert longest == (("image", 2_048 * struct.pack("<f", 0.25)),)


def test_a_refused_vector_is_named_with_its_place() -> None:
    with pytest.raises(InvalidRecord, match=r"item 'i1': vectors\.image\[1\] must be a number; got None"):
        parse_item(None, item_with_vectors({"image": [1, None]}), max_bytes=4_096)


REFUSED_ITEMS = {
    "neither key nor value": (None, None, Reason.NULL_VALUE),
    "a tombstone whose key is not UTF-8": (b"\xff", None, Reason.NOT_UTF8),
    "a tombstone under an empty key": (b"", None, Reason.INVALID_FIELD),
    "a tombstone under a key of 513 bytes": (b"x" * 513, None, Reason.INVALID_FIELD),
    "another item's key": (b"i2", b'{"item_id":"i1"}', Reason.KEY_MISMATCH),
    "one byte more than allowed": (b"i1", b'{"item_id":"i1"}'.ljust(4_097), Reason.OVERSIZED),
    "no item_id": (None, b"{}", Reason.MISSING_FIELD),
    "an empty item_id": (None, b'{"item_id":""}', Reason.INVALID_FIELD),
    "a title that is a number": (None, b'{"item_id":"i1","title":1}', Reason.INVALID_FIELD),
    "tags that are text": (None, b'{"item_id":"i1","tags":"a"}', Reason.INVALID_FIELD),
    "a tag that is a number": (None, b'{"item_id":"i1","tags":[1]}', Reason.INVALID_FIELD),
    "numbers that are a list": (None, b'{"item_id":"i1","numbers":[1]}', Reason.INVALID_FIELD),
    "a number that is true": (None, b'{"item_id":"i1","numbers":{"year":true}}', Reason.INVALID_FIELD),
    "a number that is infinite": (None, b'{"item_id":"i1","numbers":{"year":Infinity}}', Reason.NON_FINITE),
    "vectors that are a list": (None, b'{"item_id":"i1","vectors":[[1]]}', Reason.INVALID_FIELD),
    "a vector that is a number": (None, b'{"item_id":"i1","vectors":{"image":1}}', Reason.INVALID_FIELD),
    "an empty vector": (None, b'{"item_id":"i1","vectors":{"image":[]}}', Reason.INVALID_FIELD),
    "text in a vector": (None, b'{"item_id":"i1","vectors":{"image":[1,"2"]}}', Reason.INVALID_FIELD),
    "null in a vector": (None, b'{"item_id":"i1","vectors":{"image":[1,null]}}', Reason.INVALID_FIELD),
    "NaN in a vector": (None, b'{"item_id":"i1","vectors":{"image":[1,NaN]}}', Reason.NON_FINITE),
    "a number beyond float32 in a vector": (None, b'{"item_id":"i1","vectors":{"image":[1e39]}}', Reason.NON_FINITE),
    "nine vectors": (None, item_with_vectors({name: [1] for name in "abcdefghi"}), Reason.INVALID_FIELD),
    "a vector of 2,049 numbers": (None, item_with_vectors({"image": [0] * 2_049}), Reason.INVALID_FIELD),
    "available 1": (None, b'{"item_id":"i1","available":1}', Reason.INVALID_FIELD),
    "updated_ms with a fraction": (None, b'{"item_id":"i1","updated_ms":1.0}', Reason.INVALID_FIELD),
    "schema_version 2": (None, b'{"item_id":"i1","schema_version":2}', Reason.UNSUPPORTED_VERSION),
}


@pytest.mark.parametrize("what", REFUSED_ITEMS)
def test_an_item_is_refused_for_its_reason(what: str) -> None:
    key, value, reason = REFUSED_ITEMS[what]
    with pytest.raises(InvalidRecord) as refused:
        parse_item(key, value, max_bytes=65_536 if what == "a vector of 2,049 numbers" else 4_096)
    assert refused.value.reason is reason


texts = st.text(max_size=20)
items = st.builds(
    Item,
    item_id=st.text(min_size=1, max_size=100),
    title=texts,
    text=texts,
    category=texts,
    tags=st.lists(texts, unique=True, max_size=4).map(tuple),
    numbers=st.dictionaries(texts, st.floats(allow_nan=False, allow_infinity=False), max_size=4).map(
        lambda numbers: tuple(sorted(numbers.items()))
    ),
    available=st.booleans(),
    updated_ms=st.none() | st.integers(0, 2**48 - 1),
    vectors=st.dictionaries(
        texts, st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=4), max_size=3
    ).map(pack_vectors),
)


@given(items)
def test_an_item_comes_back_from_its_bytes(item: Item) -> None:
    assert parse_item(item.item_id.encode(), encode_item(item), max_bytes=65_536) == item


# ---- laws ----------------------------------------------------------------------------------------

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
nearly_interactions = st.fixed_dictionaries({}, optional=dict.fromkeys(json.loads(VIEW), anything)).map(
    lambda changed: json.dumps(json.loads(VIEW) | changed).encode()
)


@given(st.binary() | nearly_interactions)
def test_any_bytes_are_an_interaction_or_an_invalid_record(value: bytes) -> None:
    with suppress(InvalidRecord):
        assert isinstance(parse(value), Interaction)


@given(st.none() | st.binary(), st.none() | st.binary() | anything.map(lambda v: json.dumps({"item_id": v}).encode()))
def test_any_bytes_are_an_item_or_an_invalid_record(key: bytes | None, value: bytes | None) -> None:
    with suppress(InvalidRecord):
        assert isinstance(parse_item(key, value, max_bytes=4_096), Item)


# ---- recommendations -----------------------------------------------------------------------------


def test_a_recommendation_is_written_as_documented() -> None:
    items = (
        RecommendedItem("i2", 2.0, 0.5, 0.25, 1.0, -0.25, 0.5, 0.0, 0.0, "i1"),
        RecommendedItem("i3", 0.0, 0, 0, 0, 0, 0, 0, 0, None),
    )
    recommendation = Recommendation("u1", 10, 2, "e7", items, Strategy.HYBRID, 0, 500, 900)
    assert json.loads(encode_recommendation(recommendation, Clock(1, 2, 3, 1_000))) == {
        "schema_version": 1,
        "rec_id": "u1:e7",
        "user_id": "u1",
        "user_since_ms": 10,
        "user_seq": 2,
        "items": [
            {
                "item_id": "i2",
                "score": 2.0,
                "parts": {
                    "taste": 0.5,
                    "recent": 0.25,
                    "popularity": 1.0,
                    "bias": -0.25,
                    "neighbours": 0.5,
                    "content": 0.0,
                    "exploration": 0.0,
                },
                "because": "i1",
            },
            {
                "item_id": "i3",
                "score": 0.0,
                "parts": dict.fromkeys(
                    ("taste", "recent", "popularity", "bias", "neighbours", "content", "exploration"), 0
                ),
                "because": None,
            },
        ],
        "strategy": "hybrid",
        "snapshot": {"epoch": 0, "trained_events": 500, "age_ms": 100},
        "trigger": "e7",
        "clock": {"event_time_ms": 1, "kafka_ms": 2, "learned_ms": 3, "emitted_ms": 1_000},
    }


def test_a_snapshot_from_another_machines_future_has_age_zero() -> None:
    recommendation = Recommendation("u1", 10, 2, "e7", (), Strategy.MODEL, 0, 500, 2_000)
    assert json.loads(encode_recommendation(recommendation, Clock(1, 2, 3, 1_000)))["snapshot"]["age_ms"] == 0


def test_the_headers_name_the_snapshot_and_the_time() -> None:
    recommendation = Recommendation("u1", 10, 2, "e7", (), Strategy.HYBRID, 3, 500, 900)
    assert recommendation_headers(recommendation, Clock(1, 2, 3, 1_000)) == {
        "snapshot": b"3-500",
        "emitted_ms": b"1000",
    }


def test_no_list_is_longer_than_the_longest() -> None:
    number = st.floats(allow_nan=False, allow_infinity=False)
    ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=128)  # four bytes each at most

    @settings(deadline=None)
    @given(st.lists(st.tuples(ids, *(number,) * 8, ids), min_size=1, max_size=3), ids, ids, st.sampled_from(Strategy))
    def law(rows: list[tuple], user_id: str, event_id: str, strategy: Strategy) -> None:
        items = tuple(map(RecommendedItem._make, rows))
        recommendation = Recommendation(user_id, 2**63 - 1, 9, event_id, items, strategy, 0, 500, 900)
        value = encode_recommendation(recommendation, Clock(1, 2, 3, 2**63 - 1))
        assert len(value) <= recommendation_bytes_max(len(items))

    law()


def test_the_longest_list_is_that_of_ids_which_json_makes_six_times_as_long() -> None:
    item_bytes = recommendation_bytes_max(2) - recommendation_bytes_max(1)
    fields = b',{"item_id":"","score":,"parts":{"taste":,"recent":,"popularity":,"bias":,"neighbours":,"content":,'
    fields += b'"exploration":},"because":""}'
    assert item_bytes == 2 * 6 * 512 + 8 * 24 + len(fields)
