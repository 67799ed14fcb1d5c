"""What may be evaluated: files of three kinds, their errors, and the order of the protocol."""

from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from livetower.evaluate.errors import EvaluationError
from livetower.evaluate.events import TIE_SEED, by_time, first_of_pairs, load_events, load_items, read_events
from models.records import EventType, Interaction

ROWS = [
    {"user_id": "7", "item_id": "a,b", "event_time_ms": 3000, "event_type": "click", "value": None},
    {"user_id": "8", "item_id": "é", "event_time_ms": 1000, "event_type": None, "value": 4.5},
    {"user_id": "8", "item_id": "x", "event_time_ms": 2000, "event_type": None, "value": None},
]
EVENTS = [
    Interaction("0", "7", "a,b", EventType.CLICK, 3000),
    Interaction("1", "8", "é", EventType.RATING, 1000, 4.5),
    Interaction("2", "8", "x", EventType.VIEW, 2000),
]
CSV = 'user_id,item_id,event_time_ms,event_type,value\n7,"a,b",3000,click,\n8,é,1000,,4.5\n8,x,2000,,\n'


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, "utf-8")
    return file


def jsonl(rows: list[dict[str, object]]) -> str:
    return "".join(orjson.dumps(row).decode() + "\n" for row in rows)


def test_csv_jsonl_and_parquet_hold_the_same_events(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "e.parquet")
    assert read_events(written(tmp_path, "e.csv", CSV)) == EVENTS
    assert read_events(written(tmp_path, "e.jsonl", jsonl(ROWS) + "\n")) == EVENTS
    assert read_events(tmp_path / "e.parquet") == EVENTS


def test_whole_numbers_are_ids_too_and_other_columns_are_left_alone(tmp_path: Path) -> None:
    table = pa.table({"item_id": [5], "user_id": [7], "event_time_ms": [9], "genre": ["noir"]})
    pq.write_table(table, tmp_path / "e.parquet")
    assert read_events(tmp_path / "e.parquet") == [Interaction("0", "7", "5", EventType.VIEW, 9)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("e.csv", "user_id,item_id,when\nu,i,1\n", "column event_time_ms is missing; it has user_id, item_id, when"),
        ("e.csv", "user_id,item_id,event_time_ms\nu,i,1\nu,i,1.5\n", 'line 3: event_time_ms must be .*; got "1.5"'),
        ("e.csv", "user_id,item_id,event_time_ms\nu,i,-1\n", 'line 2: event_time_ms must be .*; got "-1"'),
        (
            "e.csv",
            "user_id,item_id,event_time_ms\n,i,1\n",
            "line 2: user_id must be .*; got nothing",
        ),
        ("e.csv", "user_id,item_id,event_time_ms\nu,i,1,9\n", "line 2: 3 columns were needed; got 4"),
        ("e.csv", "user_id,item_id,event_time_ms\n", "holds no event"),
        ("e.csv", "", "a header with the names of the columns was needed; the file is empty"),
        ("e.jsonl", '{"user_id": "u"\n', "line 1: a JSON object was needed; unexpected end"),
        ("e.jsonl", "[1]\n", r"line 1: a JSON object was needed; got \[1\]"),
        ("e.jsonl", '\n{"user_id": "u", "event_time_ms": 1}', "line 2: item_id must be .*; got nothing"),
        ("e.jsonl", '{"user_id": true, "item_id": "i", "event_time_ms": 1}', "user_id must be .*; got true"),
        (
            "e.jsonl",
            '{"user_id": 1, "item_id": "i", "event_time_ms": 1, "event_type": "buy"}',
            'event_type must be one of view, click, .*; got "buy"',
        ),
        (
            "e.jsonl",
            '{"user_id": 1, "item_id": "i", "event_time_ms": 1, "value": "good"}',
            'value must be a finite number; got "good"',
        ),
        ("e.parquet", "no parquet", "e.parquet: cannot be read"),
        ("e.txt", "", r"e.txt: a file that ends in .csv, .parquet, .jsonl, .ndjson was needed, or movielens-100k"),
    ],
)
def test_an_error_says_where_what_was_needed_and_what_came(tmp_path: Path, name: str, text: str, message: str) -> None:
    file = written(tmp_path, name, text)
    with pytest.raises(EvaluationError, match=message) as caught:
        read_events(file)
    assert str(caught.value).startswith(str(file))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no such file"):
        read_events(tmp_path / "e.csv")


def test_equal_times_are_shuffled_the_same_way_each_time() -> None:
    events = [Interaction(str(n), "u", f"i{n}", EventType.VIEW, 1000 * (n // 50)) for n in range(100)]
    ordered = by_time(events)
    keys = np.random.default_rng(TIE_SEED).random(100)
    assert ordered == sorted(events, key=lambda e: (e.event_time_ms, keys[int(e.event_id)]))
    assert ordered != events
    assert ordered == by_time(events)


def test_only_the_first_event_of_a_user_with_an_item_remains() -> None:
    events = [Interaction(str(n), u, i, EventType.VIEW, n) for n, (u, i) in enumerate(["ax", "bx", "ax", "ay", "bx"])]
    assert [e.event_id for e in first_of_pairs(events)] == ["0", "1", "3"]


def test_a_file_is_loaded_in_the_order_of_the_protocol(tmp_path: Path) -> None:
    file = written(tmp_path, "e.jsonl", jsonl([*ROWS, ROWS[1] | {"event_time_ms": 5000}]))
    assert [(e.item_id, e.event_time_ms) for e in load_events(str(file))] == [("é", 1000), ("x", 2000), ("a,b", 3000)]


def test_a_file_has_no_items_to_launch() -> None:
    with pytest.raises(EvaluationError, match="whose items have features was needed"):
        load_items("e.csv")
