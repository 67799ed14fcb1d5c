"""Columns to files, a batch at a time: Parquet, npz and JSON lines.

A file is written beside its name, as `.partial`, and takes its name when it is whole. Memory holds one batch.
"""

import shutil
import zipfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Protocol

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from livetower.inspect.exported_columns import OF_ITEMS, Column, Ids, Times
from livetower.inspect.user_columns import NO_TIME, Ragged

PARTIAL: Final = ".partial"
COPIED_BYTES: Final = 8 << 20


class TableFile(Protocol):
    """A file of columns. Left by an error, it removes what it has begun; else it takes its name."""

    def __enter__(self) -> "TableFile": ...

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None: ...

    def write(self, table: Mapping[str, Column]) -> None:
        """Add the rows of a batch; all batches have the same columns."""


# ---- Parquet -------------------------------------------------------------------------------------


class ParquetFile:
    """A row group for each batch; vectors are FixedSizeList<float>[k]."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> "ParquetFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.close()
        end(self._path, kind is None)

    def write(self, table: Mapping[str, Column]) -> None:
        batch = pa.table({name: arrow_array(column) for name, column in table.items()})
        if self._writer is None:
            # A dictionary of vectors would be built in vain, and nobody filters by the bounds of a list.
            repeated = [path for name, column in table.items() for path in repeated_paths(name, column)]
            plain = [
                name for name, kind in zip(batch.schema.names, batch.schema.types, strict=True) if not nested(kind)
            ]
            self._writer = pq.ParquetWriter(
                partial(self._path), batch.schema, use_dictionary=repeated, write_statistics=plain
            )
        self._writer.write_table(batch, row_group_size=max(1, len(batch)))


def repeated_paths(name: str, column: Column) -> list[str]:
    """Parquet's paths of a column whose values repeat."""
    if isinstance(column, Ids) or name in OF_ITEMS:
        return [f"{name}.list.element"]
    return [name] if name in ("optimizer", "category") else []


def nested(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists."""
    return bool(pa.types.is_nested(kind))


def arrow_array(column: Column) -> pa.Array:
    """A column as Arrow has it; memory is shared where it can be."""
    if isinstance(column, Times):
        return pa.array(column.values, mask=column.values == NO_TIME)
    if isinstance(column, Ids):
        places = column.places.values
        taken = column.names.take(pa.array(places, mask=places < 0))
        return pa.ListArray.from_arrays(pa.array(column.places.offsets.astype(np.int32)), taken)
    if isinstance(column, Ragged):
        return pa.ListArray.from_arrays(pa.array(column.offsets.astype(np.int32)), pa.array(column.values))
    if isinstance(column, np.ndarray) and column.ndim == 2:
        flat = pa.array(np.ascontiguousarray(column).reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, max(1, column.shape[1]))  # 0 only where nobody is
    return pa.array(column, None if isinstance(column, np.ndarray) else pa.string())


# ---- npz -----------------------------------------------------------------------------------------


class NpzFile:
    """For numpy.load. Lists are `name` with `name_offsets` (n + 1): those of row n are name[offsets[n]:offsets[n + 1]];
    so are texts, as UTF-8 bytes. Lists of ids are left out: items.npz has id and hash. A time that is absent is -1.

    Each array grows in a file of its own, since its length stands at its beginning; the end joins them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = ExitStack()
        self._arrays: dict[str, tuple[BinaryIO, np.dtype[Any], tuple[int, ...]]] = {}  # file, dtype, shape but for n
        self._rows: dict[str, int] = {}
        self._ends: dict[str, int] = {}

    def __enter__(self) -> "NpzFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        try:
            self._files.close()
            if kind is None:
                self._join()
        finally:
            for name in self._arrays:
                self._part(name).unlink(missing_ok=True)
        end(self._path, kind is None)

    def write(self, table: Mapping[str, Column]) -> None:
        for name, column in table.items():
            if isinstance(column, Times):
                self._append(name, column.values)
            elif isinstance(column, Ragged):
                self._append_lists(name, column)
            elif isinstance(column, np.ndarray):
                self._append(name, column)
            elif not isinstance(column, Ids):
                texts = [(text or "").encode() for text in column]
                offsets = np.zeros(len(texts) + 1, np.int64)
                np.cumsum([len(text) for text in texts], out=offsets[1:])
                self._append_lists(name, Ragged(np.frombuffer(b"".join(texts), np.uint8), offsets))

    def _append_lists(self, name: str, lists: Ragged) -> None:
        offsets = lists.offsets if name not in self._ends else lists.offsets[1:]
        before = self._ends.get(name, 0)
        self._append(name, lists.values)
        self._append(f"{name}_offsets", offsets + before)
        self._ends[name] = before + int(lists.offsets[-1])

    def _append(self, name: str, array: NDArray[Any]) -> None:
        if name not in self._arrays:
            file = self._files.enter_context(self._part(name).open("wb"))
            self._arrays[name] = (file, array.dtype, array.shape[1:])
            self._rows[name] = 0
        self._arrays[name][0].write(np.ascontiguousarray(array).data)
        self._rows[name] += len(array)

    def _part(self, name: str) -> Path:
        return self._path.with_name(f"{self._path.name}.{name}{PARTIAL}")

    def _join(self) -> None:
        with zipfile.ZipFile(partial(self._path), "w", zipfile.ZIP_STORED) as archive:
            for name, (_, dtype, shape) in self._arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member, self._part(name).open("rb") as part:
                    header = {"descr": dtype.str, "fortran_order": False, "shape": (self._rows[name], *shape)}
                    np.lib.format.write_array_header_1_0(member, header)
                    shutil.copyfileobj(part, member, COPIED_BYTES)


# ---- JSON lines ----------------------------------------------------------------------------------


class JsonLinesFile:
    """One object a line. Numbers that are not finite are null, since JSON has none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> "JsonLinesFile":
        self._file = partial(self._path).open("wb")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        assert self._file is not None
        self._file.close()
        end(self._path, kind is None)

    def write(self, table: Mapping[str, Column]) -> None:
        assert self._file is not None
        columns = {name: plain_values(column) for name, column in table.items()}
        for row in zip(*columns.values(), strict=True):
            record = dict(zip(columns, row, strict=True))
            self._file.write(orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE))


def plain_values(column: Column) -> list[Any]:
    """What JSON says of each row."""
    if isinstance(column, Times):
        return [None if time == NO_TIME else time for time in column.values.tolist()]
    if isinstance(column, Ids):
        names = [*column.names.to_pylist(), None]  # place -1 is the last
        return slices([names[place] for place in column.places.values.tolist()], column.places.offsets)
    if isinstance(column, Ragged):
        return slices(column.values, column.offsets)
    if isinstance(column, np.ndarray):
        return list(np.ascontiguousarray(column)) if column.ndim == 2 else column.tolist()
    return list(column)


def slices(values: Any, offsets: NDArray[np.int64]) -> list[Any]:
    """The list of each row."""
    ends = offsets.tolist()
    return [values[begin:end_] for begin, end_ in pairwise(ends)]


# ---- names ---------------------------------------------------------------------------------------

FORMATS: Final[dict[str, Callable[[Path], TableFile]]] = {
    "parquet": ParquetFile,
    "npz": NpzFile,
    "jsonl": JsonLinesFile,
}


def partial(path: Path) -> Path:
    """The name of a file while it is written."""
    return path.with_name(path.name + PARTIAL)


def end(path: Path, whole: bool) -> None:
    """Give a file its name, or remove what was begun."""
    if whole:
        if partial(path).exists():
            partial(path).replace(path)
    else:
        partial(path).unlink(missing_ok=True)
