"""Rows of files as the records that the job reads, and what is said of rows that it would reject."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up import NOW_MS, bad_interactions, bad_items

from livetower.replay.errors import ReplayError
from livetower.replay.records import (
    INTERACTION_FIELDS,
    INTERACTION_NEEDS,
    ITEM_FIELDS,
    Layout,
    Outgoing,
    check_columns,
    interaction_maker,
    item_maker,
    shift_to_now_ms,
    time_span_ms,
)
from livetower.rows import Row, read_rows


def interactions(file: Path, layout: Layout | None = None, shift_ms: int = 0) -> list[Outgoing]:
    make = interaction_maker(file, layout or Layout(), shift_ms, lambda: NOW_MS)
    return [make(row) for row in read_rows(file)]


def made(values: dict[str, Any], layout: Layout | None = None) -> dict[str, Any]:
    record = interaction_maker(Path("f.csv"), layout or Layout(), 0, lambda: NOW_MS)(Row(2, "line 2", b"x", values))
    assert record.reason == "", record.detail
    return orjson.loads(record.value)


def test_csv_text_becomes_what_each_field_needs(tmp_path):
    file = tmp_path / "plays.csv"
    file.write_text("who,what,when,value,genre,exclude\n7,x,10,4.5,noir,a|b\n8,y,20,,noir,\n")
    layout = Layout({"user_id": "who", "item_id": "what", "event_time_ms": "when"}, time_unit="s")
    first, second = interactions(file, layout)
    assert (first.key, first.event_time_ms, first.reason) == (b"7", 10_000, "")
    assert orjson.loads(first.value) == {
        "event_id": "plays.csv-2", "user_id": "7", "item_id": "x", "event_type": "rating", "event_time_ms": 10_000,
        "value": 4.5, "exclude": ["a", "b"],
    }  # fmt: skip
    assert orjson.loads(second.value) == {
        "event_id": "plays.csv-3", "user_id": "8", "item_id": "y", "event_type": "view", "event_time_ms": 20_000,
    }  # fmt: skip


def test_csv_jsonl_and_parquet_become_the_same_records(tmp_path):
    rows = [{"event_id": f"e{n}", "user_id": f"u{n}", "item_id": "i", "event_time_ms": n, "value": n} for n in (1, 2)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = [",".join(map(str, row.values())) for row in rows]
    (tmp_path / "a.csv").write_text("\n".join([",".join(rows[0]), *lines]))
    assert (
        interactions(tmp_path / "a.csv") == interactions(tmp_path / "a.jsonl") == interactions(tmp_path / "a.parquet")
    )
    assert [record.key for record in interactions(tmp_path / "a.csv")] == [b"u1", b"u2"]


def test_words_of_the_file_mean_event_types_and_rows_without_one_have_a_default():
    row = {"user_id": "u", "item_id": "i", "event_time_ms": 1}
    layout = Layout(event_types={"addtocart": "click", "3": "purchase"}, default_type="like")
    words = ["addtocart", 3, "skip", None]
    assert [made(row | {"event_type": word}, layout)["event_type"] for word in words] == [
        "click",
        "purchase",
        "skip",
        "like",
    ]


@pytest.mark.parametrize(
    ("given", "unit", "ms"),
    [
        ("1700000000000", "ms", 1_700_000_000_000),
        (1.7e12, "ms", 1_700_000_000_000),
        ("1700000000.25", "s", 1_700_000_000_250),
        (1_700_000_000, "s", 1_700_000_000_000),
        ("2023-11-14T22:13:20Z", "ms", 1_700_000_000_000),
        ("2023-11-14 23:13:20+01:00", "s", 1_700_000_000_000),
        ("2023-11-14", "s", 1_699_920_000_000),
        (datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), "s", 1_700_000_000_000),
        (datetime(2023, 11, 14, 22, 13, 20, 250_000), "ms", 1_700_000_000_250),
        (date(2023, 11, 14), "ms", 1_699_920_000_000),
    ],
)
def test_times_are_numbers_of_a_unit_or_dates(given, unit, ms):
    row = {"user_id": "u", "item_id": "i", "event_time_ms": given}
    assert made(row, Layout(time_unit=unit))["event_time_ms"] == ms


def test_a_decimal_is_a_number_and_a_nan_of_parquet_is_none():
    row = {"user_id": 7, "item_id": 8, "event_time_ms": 1}
    assert made(row | {"value": Decimal("4.5")})["value"] == 4.5
    assert "value" not in made(row | {"value": float("nan")})


def test_what_the_job_would_reject_is_malformed_for_the_jobs_own_reason(tmp_path):
    """All bad interactions whose fault lies in the value, as lines of a file."""
    elsewhere = {"null value", "empty value", "no key", "another user's key", "key is not UTF-8", "empty key"}
    mended = {"no event_id", "no event_type", "user_id is a number", "event_time_ms is text", "value is text"}
    unreadable = {"not UTF-8", "not UTF-8 in an id", "malformed JSON", "deeply nested", "not an object", "value is NaN",
                  "value is 1e999"}  # fmt: skip
    for name, (_, value, reason) in bad_interactions().items():
        if name in elsewhere:
            continue
        (tmp_path / "bad.jsonl").write_bytes(value)
        (record,) = interactions(tmp_path / "bad.jsonl")
        if name in mended:
            assert record.reason == "", name
        elif name in unreadable:
            assert (record.reason, record.value, record.key) == ("malformed_row", value, None), name
        else:
            assert (record.reason, bool(record.detail)) == (str(reason), True), name


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"value": "inf"}, "non_finite"),
        ({"value": "nan"}, "non_finite"),
        ({"value": "good"}, "invalid_field"),
        ({"event_time_ms": "9" * 30}, "invalid_field"),
        ({"event_time_ms": "soon"}, "invalid_field"),
        ({"user_id": b"\xff"}, "invalid_field"),
        ({"user_id": b"u"}, ""),
        ({"user_id": 5.0}, "invalid_field"),
        ({"item_id": None}, "missing_field"),
        ({"event_time_ms": NOW_MS + 301_000}, "future_time"),
    ],
)
def test_a_number_that_is_none_stays_what_it_is_and_is_refused_for_it(values, reason):
    row = Row(2, "line 2", b"x", {"user_id": "u", "item_id": "i", "event_time_ms": 1} | values)
    assert interaction_maker(Path("f.csv"), Layout(), 0, lambda: NOW_MS)(row).reason == reason


def test_times_are_shifted_so_that_none_is_ahead_of_the_clock(tmp_path):
    (tmp_path / "a.csv").write_text("user_id,item_id,event_time_ms\nu,i,5000\nu,i,1000\nu,i,soon\n")
    span = time_span_ms(read_rows(tmp_path / "a.csv"), Layout())
    assert span == (1000, 5000)
    assert time_span_ms([], Layout()) is None
    for speed in (None, 0.5, 1.0, 4.0):
        shift = shift_to_now_ms(span, NOW_MS, speed)
        leaves = {at: NOW_MS + (0 if speed is None else (at - 1000) / speed) for at in span}
        ahead = {at: at + shift - leaves[at] for at in span}
        assert max(ahead.values()) == 0, speed
    records = interactions(tmp_path / "a.csv", shift_ms=7)
    assert [record.event_time_ms for record in records] == [5007, 1007, None]
    assert orjson.loads(records[0].value)["event_time_ms"] == 5007


def test_items_take_tags_numbers_and_vectors_from_columns(tmp_path):
    file = tmp_path / "films.csv"
    file.write_text('id,title,genres,year,image,available\n1,Vertigo,Crime| Noir,1958,"[0.5, 1]",no\n2,,,,,\n')
    layout = Layout({"item_id": "id", "tags": "genres"}, numbers=("year",), vectors=("image",))
    first, second = [item_maker(file, layout)(row) for row in read_rows(file)]
    assert (first.key, first.reason, second.key, second.reason) == (b"1", "", b"2", "")
    assert orjson.loads(first.value) == {
        "item_id": "1", "title": "Vertigo", "tags": ["Crime", "Noir"], "available": False, "numbers": {"year": 1958},
        "vectors": {"image": [0.5, 1]},
    }  # fmt: skip
    assert orjson.loads(second.value) == {"item_id": "2"}


def test_a_struct_of_parquet_may_have_holes(tmp_path):
    rows = [{"item_id": 1, "numbers": {"year": 1958, "price": None}, "tags": ["a"]}, {"item_id": 2, "numbers": None}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "i.parquet")
    records = [item_maker(tmp_path / "i.parquet", Layout())(row) for row in read_rows(tmp_path / "i.parquet")]
    assert [orjson.loads(record.value) for record in records] == [
        {"item_id": "1", "tags": ["a"], "numbers": {"year": 1958}},
        {"item_id": "2"},
    ]


def test_a_malformed_item_has_a_key_all_the_same(tmp_path):
    bad = {name: value for name, (key, value, _) in bad_items().items() if key and value}
    file = tmp_path / "i.jsonl"
    file.write_bytes(b"\n".join(bad.values()))
    records = [item_maker(file, Layout())(row) for row in read_rows(file)]
    fine = [name for name, record in zip(bad, records, strict=True) if not record.reason]
    assert fine == ["tags are text", "another item's key"]  # a list of one, and the record gets its own key
    with_id = {"oversized", "tags are text", "a number is text", "another item's key"}
    keys = [b"i1" if name in with_id else f"i.jsonl-{n}".encode() for n, name in enumerate(bad, 1)]
    assert [record.key for record in records] == keys


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (Layout({"user": "who"}), "--column user=who: no such field; the nearest is user_id"),
        (Layout({"user_id": "whom"}), "f.csv: column whom (--column user_id=whom) is missing; it has who, item_id"),
        (Layout(), "f.csv: column user_id is missing; it has who, item_id: name it with --column user_id=COLUMN"),
    ],
)
def test_a_column_that_is_missing_is_named_with_those_there_are(layout, message):
    with pytest.raises(ReplayError) as caught:
        check_columns(Path("f.csv"), ["who", "item_id"], layout, INTERACTION_FIELDS, INTERACTION_NEEDS)
    assert str(caught.value) == message


def test_a_number_or_vector_that_is_missing_is_named_and_json_lines_are_asked_one_by_one():
    with pytest.raises(ReplayError, match=r"column year \(--number year\) is missing; it has item_id"):
        check_columns(Path("f.csv"), ["item_id"], Layout(numbers=("year",)), ITEM_FIELDS, ())
    check_columns(Path("f.jsonl"), None, Layout({"user_id": "who"}), INTERACTION_FIELDS, INTERACTION_NEEDS)
