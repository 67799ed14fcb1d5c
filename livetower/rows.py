"""Rows of a CSV, Parquet or JSONL file, one by one, each with its place; a line that is no row comes with the reason.

It knows no column's meaning: `evaluate/events.py` makes events of them, `replay/records.py` records for Kafka.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet

KINDS = (".csv", ".parquet", ".jsonl", ".ndjson")
BATCH = 10_000
FIELD_BYTES = 2**20
"""Longest field of a CSV file; a quote that is never closed ends there."""


class UnreadableFile(Exception):
    """No row of the file can be had. The message says which file, what was needed and what came."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its values, or why it has none. Empty fields of a CSV file are None, all others text."""

    number: int  # its (last) line, or for Parquet its row, from 1; the header of a CSV file is line 1
    place: str  # 'line 7' or 'row 7'
    raw: bytes  # as it stands in the file, without the end of the line; b"" for Parquet
    values: dict[str, Any] | None
    trouble: str = ""


def kind_of(file: Path) -> str:
    """The ending that says how the file is read. Raises UnreadableFile when there is no such file, or none we read."""
    suffix = file.suffix.lower()
    if suffix not in KINDS:
        raise UnreadableFile(f"{file}: a file that ends in {', '.join(KINDS)} was needed")
    if not file.is_file():
        raise UnreadableFile(f"{file}: no such file")
    return suffix


def read_rows(file: Path) -> Iterator[Row]:
    """The rows in the file's order; blank lines are passed over.

    Raises UnreadableFile, also in the middle of a Parquet file that is damaged.
    """
    kind = kind_of(file)
    try:
        yield from {".csv": _csv_rows, ".parquet": _parquet_rows}.get(kind, _json_rows)(file)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFile(f"{file}: cannot be read: {error}") from error


def column_names(file: Path) -> list[str] | None:
    """The columns of a CSV or Parquet file; None for JSONL, whose lines may differ. Raises UnreadableFile."""
    kind = kind_of(file)
    try:
        if kind == ".csv":
            with file.open("rb") as lines:
                return _csv_header(file, _csv_reader(_Kept(lines)))
        return list(pa.parquet.read_schema(file).names) if kind == ".parquet" else None
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFile(f"{file}: cannot be read: {error}") from error


def count_rows(file: Path) -> int:
    """The number of the last row, blank lines counted: for a bar of progress. Raises UnreadableFile."""
    try:
        if kind_of(file) == ".parquet":
            return int(pa.parquet.read_metadata(file).num_rows)
        lines, last = 0, b"\n"
        with file.open("rb") as source:
            while block := source.read(2**20):
                lines, last = lines + block.count(b"\n"), block[-1:]
        return lines + (last != b"\n")
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFile(f"{file}: cannot be read: {error}") from error


# ---- JSON lines ----------------------------------------------------------------------------------


def _json_rows(file: Path) -> Iterator[Row]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            raw = line.rstrip(b"\r\n")
            if raw.strip():
                yield _json_row(number, raw)


def _json_row(number: int, raw: bytes) -> Row:
    place = f"line {number}"
    try:
        values = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return Row(number, place, raw, None, f"a JSON object was needed; {error}")
    if not isinstance(values, dict):
        return Row(number, place, raw, None, f"a JSON object was needed; got {raw[:80].decode()}")
    return Row(number, place, raw, values)


# ---- CSV -----------------------------------------------------------------------------------------


class _Kept:
    """Lines of a file as text, and as the bytes that they were since the last `take`."""

    def __init__(self, lines: Any) -> None:
        self._lines = lines
        self._kept: list[bytes] = []

    def __iter__(self) -> "_Kept":
        return self

    def __next__(self) -> str:
        line: bytes = next(self._lines)
        self._kept.append(line)
        return line.decode(errors="surrogateescape")  # whether it is UTF-8 is asked of the whole row

    def take(self) -> list[bytes]:
        kept, self._kept = self._kept, []
        return kept


def _csv_reader(lines: _Kept) -> Any:
    csv.field_size_limit(FIELD_BYTES)
    return csv.reader(lines, strict=True)


def _csv_header(file: Path, reader: Any) -> list[str]:
    try:
        header: list[str] = next(reader, [])
    except csv.Error as error:
        raise UnreadableFile(f"{file}, line 1: a header with the names of the columns was needed; {error}") from error
    if not header:
        raise UnreadableFile(f"{file}: a header with the names of the columns was needed; the file is empty")
    names = [name.removeprefix("\ufeff").strip() for name in header]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UnreadableFile(f"{file}, line 1: each column needs a name of its own; {twice[0]!r} occurs twice")
    return names


def _csv_rows(file: Path) -> Iterator[Row]:
    with file.open("rb") as source:
        lines = _Kept(source)
        reader = _csv_reader(lines)
        names = _csv_header(file, reader)
        number = len(lines.take())
        while True:
            try:
                fields, trouble = next(reader), ""
            except StopIteration:
                return
            except csv.Error as error:
                fields, trouble = [], str(error)
            taken = lines.take()
            first, number = number + 1, number + len(taken)
            raw = b"".join(taken).rstrip(b"\r\n")
            if not raw.strip():
                continue
            place = f"line {number}" if first == number else f"lines {first}-{number}"
            trouble = trouble or _csv_trouble(raw, fields, names)
            if trouble:
                yield Row(number, place, raw, None, trouble)
            else:
                yield Row(number, place, raw, {n: f or None for n, f in zip(names, fields, strict=True)})


def _csv_trouble(raw: bytes, fields: list[str], names: list[str]) -> str:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return f"text in UTF-8 was needed; {error.reason} at byte {error.start}"
    return "" if len(fields) == len(names) else f"{len(names)} columns were needed; got {len(fields)}"


# ---- Parquet -------------------------------------------------------------------------------------


def _parquet_rows(file: Path) -> Iterator[Row]:
    number = 0
    with pa.parquet.ParquetFile(file) as table:
        for batch in table.iter_batches(BATCH):
            for values in batch.to_pylist():
                number += 1
                yield Row(number, f"row {number}", b"", values)
