"""The item tower's rows: one per item, in arrays that grow, found by the item's hash, and written to state in blocks of
64.

Layout of a block, version 1, little-endian, no padding; n <= 64 rows, k the dimension, F half-lives:

    4        magic b"LTB1" (the digit is the version)
    2 2 2    n, k, F
    8 n      hash of item_id (int64)
    8 n      positive events so far (int64)
    8 n      number of the input that was its last event, 0 before the first (int64)
    n        available (uint8)
    4 n k    vector (float32)
    4 n      bias (float32)
    4 n      AdaGrad accumulator of the vector (float32)
    4 n      AdaGrad accumulator of the bias (float32)
    8 n F    counts at each half-life, in the units that the tower's progress holds (float64)

It knows nothing of learning (`tower_kernels.py`) or of texts (`item_tower.py` keeps the catalogue).
"""

import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.features import NAMES_MAX
from models.item_table import add_to_index, build_index, find_row, find_rows
from models.learning import Floats, Ints
from models.number_statistics import NUMBERS_MAX

MAGIC: Final = b"LTB1"
BLOCK_ROWS: Final = 64
INITIAL_SQUARES: Final = 1e-6
_HEADER: Final = struct.Struct("<4sHHH")
_SMALLEST: Final = 1024
_STORED: Final = (
    "hashes",
    "events",
    "last_event",
    "available",
    "vectors",
    "biases",
    "vector_squares",
    "bias_squares",
    "counts",
)
_FROM_CATALOGUE: Final = ("names", "numbers", "ngrams", "described")


class InvalidBlock(ValueError):
    """Bytes that are not a block of rows of a version this code reads."""


class TowerRows:
    """The first `n` rows of every array are live; what lies beyond is room to grow."""

    hashes: Ints  # (room,)
    events: Ints  # (room,) positive events
    last_event: Ints  # (room,) number of the input that was the item's last event, 0 before the first
    available: NDArray[np.bool_]  # (room,)
    vectors: Floats  # (room, k)
    biases: Floats  # (room,)
    vector_squares: Floats  # (room,) AdaGrad accumulators
    bias_squares: Floats  # (room,)
    counts: NDArray[np.float64]  # (room, F)
    names: NDArray[np.int32]  # (room, NAMES_MAX) features as `Encoded` has them, made from the catalogue
    numbers: Floats  # (room, NUMBERS_MAX)
    ngrams: NDArray[np.int32]  # (room, G)
    described: NDArray[np.bool_]  # (room,) whether the item has any feature

    def __init__(self, dimension: int, n_half_lives: int, n_ngrams: int = 0) -> None:
        self.n = 0
        self.hashes = np.zeros(0, np.int64)
        self.events = np.zeros(0, np.int64)
        self.last_event = np.zeros(0, np.int64)
        self.available = np.zeros(0, np.bool_)
        self.vectors = np.zeros((0, dimension), np.float32)
        self.biases = np.zeros(0, np.float32)
        self.vector_squares = np.zeros(0, np.float32)
        self.bias_squares = np.zeros(0, np.float32)
        self.counts = np.zeros((0, n_half_lives), np.float64)
        self.names = np.zeros((0, NAMES_MAX), np.int32)
        self.numbers = np.zeros((0, NUMBERS_MAX), np.float32)
        self.ngrams = np.zeros((0, n_ngrams), np.int32)
        self.described = np.zeros(0, np.bool_)
        self.place = np.zeros(0, np.int32)  # scratch of the kernels: -1 between calls
        self.dirty: NDArray[np.bool_] = np.zeros(0, np.bool_)  # blocks changed since they were last encoded
        self.slots = build_index(self.hashes)
        self._grow(_SMALLEST)

    def _grow(self, room: int) -> None:
        for name in (*_STORED, *_FROM_CATALOGUE):
            old = getattr(self, name)
            new = np.zeros((room, *old.shape[1:]), old.dtype)
            new[: self.n] = old[: self.n]
            setattr(self, name, new)
        self.place = np.full(room, -1, np.int32)
        dirty = np.zeros(-(-room // BLOCK_ROWS), np.bool_)
        dirty[: len(self.dirty)] = self.dirty
        self.dirty = dirty

    def row_of(self, item: int) -> int:
        """Row of the item with this hash, or -1."""
        return int(find_row(self.slots, self.hashes, item))

    def rows_of(self, items: Ints) -> Ints:
        """Rows of several items, -1 for those without one."""
        rows: Ints = find_rows(self.slots, self.hashes, items)
        return rows

    def add(self, item: int) -> int:
        """A new row for the item with this hash; its vector, bias and counts are zeros."""
        if self.n == len(self.hashes):
            self._grow(2 * self.n)
        row = self.n
        self.n += 1
        self.hashes[row] = item
        self.events[row] = self.last_event[row] = 0
        self.available[row] = True
        self.vectors[row] = self.biases[row] = self.counts[row] = 0
        self.vector_squares[row] = self.bias_squares[row] = INITIAL_SQUARES
        self._forget_features(slice(row, row + 1))
        self.touch(np.array([row]))
        if 2 * self.n > len(self.slots):
            self.slots = build_index(self.hashes[: self.n])
        else:
            add_to_index(self.slots, self.hashes, row)
        return row

    def _forget_features(self, span: slice) -> None:
        self.names[span] = self.ngrams[span] = -1
        self.numbers[span] = np.nan
        self.described[span] = False

    def touch(self, rows: Ints) -> None:
        """Note that these rows changed."""
        self.dirty[rows // BLOCK_ROWS] = True

    def evict(self, n_rows: int) -> Ints:
        """Give up the rows whose last event is longest ago; the others move together. Returns the hashes that left."""
        order = np.argsort(self.last_event[: self.n], kind="stable")
        gone = np.sort(order[:n_rows])
        left = self.hashes[gone].copy()
        kept = np.delete(np.arange(self.n), gone)
        for name in (*_STORED, *_FROM_CATALOGUE):
            array = getattr(self, name)
            array[: len(kept)] = array[kept]
        self.n = len(kept)
        self.slots = build_index(self.hashes[: self.n])
        self.dirty[:] = True
        return left

    # ---- all at once -----------------------------------------------------------------------------

    def stored(self) -> dict[str, NDArray[Any]]:
        """The live rows of every array that is kept, by its name."""
        return {name: getattr(self, name)[: self.n] for name in _STORED}

    def enter(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take the rows that `stored` gave, into rows without any. Raises InvalidBlock."""
        n = len(arrays["hashes"]) if "hashes" in arrays else 0
        needed = {name: (n, *getattr(self, name).shape[1:]) for name in _STORED}
        came = {name: array.shape for name, array in arrays.items()}
        if came != needed:
            raise InvalidBlock(f"rows of these shapes were needed: {needed}; got {came}")
        while n > len(self.hashes):
            self._grow(2 * len(self.hashes))
        for name, array in arrays.items():
            getattr(self, name)[:n] = array
        self._forget_features(slice(0, n))
        self.n = n
        self.dirty[:] = True
        self.reindex()

    # ---- blocks ----------------------------------------------------------------------------------

    def encode_block(self, block: int) -> bytes:
        """The bytes of rows [64 block, 64 block + 64), as far as they are live."""
        span = slice(block * BLOCK_ROWS, min(self.n, (block + 1) * BLOCK_ROWS))
        arrays = [getattr(self, name)[span] for name in _STORED]
        header = _HEADER.pack(MAGIC, len(arrays[0]), self.vectors.shape[1], self.counts.shape[1])
        return header + b"".join([array.tobytes() for array in arrays])

    def append_block(self, blob: bytes) -> None:
        """Enter the rows of one block after those already there. Raises InvalidBlock; call `reindex` after the last."""
        if len(blob) < _HEADER.size or blob[:4] != MAGIC:
            raise InvalidBlock(f"a block of rows must start with {MAGIC!r}; got {len(blob)} bytes, {blob[:4]!r}")
        _, n, k, n_half_lives = _HEADER.unpack_from(blob)
        if (k, n_half_lives) != (self.vectors.shape[1], self.counts.shape[1]):
            raise InvalidBlock(
                f"a block of dimension {self.vectors.shape[1]} with {self.counts.shape[1]} half-lives was needed; "
                f"got {k} and {n_half_lives}"
            )
        needed = _HEADER.size + n * sum(getattr(self, name)[:1].nbytes for name in _STORED)
        if len(blob) != needed:
            raise InvalidBlock(f"a block with {n} rows must have {needed} bytes; got {len(blob)}")
        while self.n + n > len(self.hashes):
            self._grow(2 * len(self.hashes))
        at = _HEADER.size
        for name in _STORED:
            rows = getattr(self, name)[self.n : self.n + n]
            rows[:] = np.frombuffer(blob, rows.dtype, rows.size, at).reshape(rows.shape)
            at += rows.nbytes
        self._forget_features(slice(self.n, self.n + n))
        self.n += n

    def reindex(self) -> None:
        """Find the rows again after blocks were entered."""
        self.slots = build_index(self.hashes[: self.n])
