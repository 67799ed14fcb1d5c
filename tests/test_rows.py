"""Rows of files of three kinds: their numbers, their bytes, and what is said of a line that is no row."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from livetower.rows import UnreadableFile, column_names, count_rows, read_rows


def written(folder: Path, name: str, content: bytes) -> Path:
    file = folder / name
    file.write_bytes(content)
    return file


def places(file: Path) -> list[tuple[int, str, bytes, bool]]:
    return [(row.number, row.place, row.raw, row.values is not None) for row in read_rows(file)]


def test_a_csv_row_may_run_over_lines_and_blank_lines_are_passed_over(tmp_path):
    file = written(tmp_path, "a.csv", b'\xef\xbb\xbfid,title\r\n1,"two\nlines"\r\n\r\n2,\r\n3,"end"')
    rows = list(read_rows(file))
    assert [row.values for row in rows] == [
        {"id": "1", "title": "two\nlines"},
        {"id": "2", "title": None},
        {"id": "3", "title": "end"},
    ]
    assert [row.place for row in rows] == ["lines 2-3", "line 5", "line 6"]
    assert [row.number for row in rows] == [3, 5, 6]
    assert rows[0].raw == b'1,"two\nlines"'
    assert column_names(file) == ["id", "title"]
    assert count_rows(file) == 6


def test_reading_goes_on_behind_a_malformed_line_of_csv(tmp_path):
    file = written(tmp_path, "a.csv", b'a,b\n1,2\n1,2,3\n"x"y,2\n\xff,2\n5,6\n')
    assert places(file) == [
        (2, "line 2", b"1,2", True),
        (3, "line 3", b"1,2,3", False),
        (4, "line 4", b'"x"y,2', False),
        (5, "line 5", b"\xff,2", False),
        (6, "line 6", b"5,6", True),
    ]
    assert [row.trouble for row in read_rows(file)][1:4] == [
        "2 columns were needed; got 3",
        "',' expected after '\"'",
        "text in UTF-8 was needed; invalid start byte at byte 0",
    ]


def test_a_quote_that_is_never_closed_is_one_malformed_row_with_its_lines(tmp_path):
    file = written(tmp_path, "a.csv", b'a,b\n1,2\n"3,4\n5,6\n')
    assert [row.place for row in read_rows(file)] == ["line 2", "lines 3-4"]
    assert [row.trouble for row in read_rows(file)][1] == "unexpected end of data"


def test_reading_goes_on_behind_a_malformed_line_of_json(tmp_path):
    file = written(tmp_path, "a.jsonl", b'{"a": 1}\n\n{"a": \n[1]\n\xff\n{"a": 2}')
    assert places(file) == [
        (1, "line 1", b'{"a": 1}', True),
        (3, "line 3", b'{"a": ', False),
        (4, "line 4", b"[1]", False),
        (5, "line 5", b"\xff", False),
        (6, "line 6", b'{"a": 2}', True),
    ]
    assert column_names(file) is None
    assert count_rows(file) == 6


def test_parquet_rows_are_numbered_from_one(tmp_path):
    pq.write_table(pa.table({"a": [7, None]}), tmp_path / "a.parquet")
    rows = list(read_rows(tmp_path / "a.parquet"))
    assert [(row.number, row.place, row.values) for row in rows] == [(1, "row 1", {"a": 7}), (2, "row 2", {"a": None})]
    assert column_names(tmp_path / "a.parquet") == ["a"]
    assert count_rows(tmp_path / "a.parquet") == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "a header with the names of the columns was needed; the file is empty"),
        ("a.csv", b"a,b,a\n", "line 1: each column needs a name of its own; 'a' occurs twice"),
        ("a.parquet", b"PAR", "cannot be read"),
        ("a.xlsx", b"", "a file that ends in .csv, .parquet, .jsonl, .ndjson was needed"),
    ],
)
def test_a_file_of_which_no_row_can_be_had_is_refused(tmp_path, name, content, message):
    file = written(tmp_path, name, content)
    with pytest.raises(UnreadableFile, match=message) as caught:
        list(read_rows(file))
    assert str(caught.value).startswith(str(file))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UnreadableFile, match="no such file"):
        list(read_rows(tmp_path / "a.csv"))
