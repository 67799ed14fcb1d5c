"""The item tower's rows: one per item, in arrays that grow, found by the item's hash, and written to state in blocks of
64.

Layout of a block, version 2, little-endian, no padding; n <= 64 rows, k the dimension, F half-lives:

    4        magic b"LTB2" (the digit is the version)
    2 2 2    n, k, F
    2        optimiser: whose moments these are (0 sgd, 1 adagrad, 2 adam)
    8 n      hash of item_id (int64)
    8 n      positive events so far (int64)
    8 n      number of the input that was its last event, 0 before the first (int64)
    n        available (uint8)
    4 n k    vector (float32)
    4 n      bias (float32)
    8 n F    counts at each half-life, in the units that the tower's progress holds (float64)
    4 n      adagrad: accumulator of the vector (float32)
    4 n      adagrad: accumulator of the bias (float32)
    4 n k    adam: means of the vector's gradient (float32)
    4 n k    adam: means of its squares (float32)
    4 n      adam: mean of the bias's gradient (float32)
    4 n      adam: mean of its square (float32)
    4 n      adam: steps so far (uint32)

A block with the moments of another optimiser than the settings' gives its vectors, and the moments start anew. Version
1 had AdaGrad only, its accumulators before the counts; it is read and never written.

It knows nothing of learning (`tower_kernels.py`) or of texts (`item_tower.py` keeps the catalogue).
"""

import math
import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.features import NAMES_MAX
from models.item_table import build_index, enter, row_of, rows_of
from models.learning import Floats, Ints
from models.number_statistics import NUMBERS_MAX
from models.optimisers import INITIAL_SQUARES
from models.settings import OPTIMIZERS

MAGIC: Final = b"LTB2"
_MAGIC_1: Final = b"LTB1"
BLOCK_ROWS: Final = 64
_HEADER: Final = struct.Struct("<4sHHHH")
_HEADER_1: Final = struct.Struct("<4sHHH")
_SMALLEST: Final = 1024
_STORED: Final = ("hashes", "events", "last_event", "available", "vectors", "biases", "counts")
_MOMENTS: Final = {
    "sgd": (),
    "adagrad": ("vector_squares", "bias_squares"),
    "adam": ("vector_means", "vector_variances", "bias_means", "bias_variances", "steps"),
}
_STORED_1: Final = (*_STORED[:-1], *_MOMENTS["adagrad"], "counts")
_FROM_CATALOGUE: Final = ("names", "numbers", "ngrams", "described", "content")


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
    counts: NDArray[np.float64]  # (room, F)
    names: NDArray[np.int32]  # (room, NAMES_MAX) features as `Encoded` has them, made from the catalogue
    numbers: Floats  # (room, NUMBERS_MAX)
    ngrams: NDArray[np.int32]  # (room, G)
    described: NDArray[np.bool_]  # (room,) whether the item has any feature
    content: NDArray[np.float16]  # (room, k) the vector that its content predicts
    vector_squares: Floats  # (room,) AdaGrad's accumulators; moments of other optimisers have no room
    bias_squares: Floats  # (room,)
    vector_means: Floats  # (room, k) Adam's moments
    vector_variances: Floats  # (room, k)
    bias_means: Floats  # (room,)
    bias_variances: Floats  # (room,)
    steps: NDArray[np.uint32]  # (room,)

    def __init__(self, dimension: int, n_half_lives: int, optimizer: str = "adagrad", n_ngrams: int = 0) -> None:
        self.n = 0
        self.optimizer = optimizer
        self._stored = (*_STORED, *_MOMENTS[optimizer])
        self.hashes = np.zeros(0, np.int64)
        self.events = np.zeros(0, np.int64)
        self.last_event = np.zeros(0, np.int64)
        self.available = np.zeros(0, np.bool_)
        self.vectors = np.zeros((0, dimension), np.float32)
        self.biases = np.zeros(0, np.float32)
        self.counts = np.zeros((0, n_half_lives), np.float64)
        self.vector_squares = np.zeros(0, np.float32)
        self.bias_squares = np.zeros(0, np.float32)
        self.vector_means = np.zeros((0, dimension), np.float32)
        self.vector_variances = np.zeros((0, dimension), np.float32)
        self.bias_means = np.zeros(0, np.float32)
        self.bias_variances = np.zeros(0, np.float32)
        self.steps = np.zeros(0, np.uint32)
        self.names = np.zeros((0, NAMES_MAX), np.int32)
        self.numbers = np.zeros((0, NUMBERS_MAX), np.float32)
        self.ngrams = np.zeros((0, n_ngrams), np.int32)
        self.described = np.zeros(0, np.bool_)
        self.content = np.zeros((0, dimension), np.float16)
        self.closeness = np.zeros(0, np.float32)  # scratch of the kernels: 0 between calls
        self.place = np.zeros(0, np.int32)  # scratch of the kernels: -1 between calls
        self.dirty: NDArray[np.bool_] = np.zeros(0, np.bool_)  # blocks changed since they were last encoded
        self.version = 1  # rises with every base of a delta
        self.touched_at = np.zeros(0, np.int64)  # (room,) version at which each row changed last
        self.slots = build_index(self.hashes)
        self._grow(_SMALLEST)

    def _grow(self, room: int) -> None:
        for name in (*self._stored, *_FROM_CATALOGUE, "touched_at"):
            old = getattr(self, name)
            new = np.zeros((room, *old.shape[1:]), old.dtype)
            new[: self.n] = old[: self.n]
            setattr(self, name, new)
        self.place = np.full(room, -1, np.int32)
        self.closeness = np.zeros(room, np.float32)
        dirty = np.zeros(-(-room // BLOCK_ROWS), np.bool_)
        dirty[: len(self.dirty)] = self.dirty
        self.dirty = dirty

    def row_of(self, item: int) -> int:
        """Row of the item with this hash, or -1."""
        return int(row_of(self.slots, self.hashes, item))

    def rows_of(self, items: Ints) -> Ints:
        """Rows of several items, -1 for those without one."""
        rows: Ints = rows_of(self.slots, self.hashes, items)
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
        self.start_moments(slice(row, row + 1))
        self._forget_features(slice(row, row + 1))
        self.touch(np.array([row]))
        if 2 * self.n > len(self.slots):
            self.slots = build_index(self.hashes[: self.n])
        else:
            enter(self.slots, self.hashes, row)
        return row

    def _forget_features(self, span: slice) -> None:
        self.names[span] = self.ngrams[span] = -1
        self.numbers[span] = np.nan
        self.described[span] = False
        self.content[span] = 0

    def start_moments(self, of: slice | Ints) -> None:
        """Moments as they are before any step."""
        for name in _MOMENTS[self.optimizer]:
            getattr(self, name)[of] = INITIAL_SQUARES if self.optimizer == "adagrad" else 0

    def touch(self, rows: Ints) -> None:
        """Note that these rows changed."""
        self.dirty[rows // BLOCK_ROWS] = True
        self.touched_at[rows] = self.version

    def note_change(self, rows: Ints) -> None:
        """Note that what readers see of these rows changed, though not what state holds of them."""
        self.touched_at[rows] = self.version

    def evict(self, n_rows: int) -> Ints:
        """Give up the rows whose last event is longest ago; the others move together. Returns the hashes that left."""
        order = np.argsort(self.last_event[: self.n], kind="stable")
        gone = np.sort(order[:n_rows])
        left = self.hashes[gone].copy()
        kept = np.delete(np.arange(self.n), gone)
        for name in (*self._stored, *_FROM_CATALOGUE):
            array = getattr(self, name)
            array[: len(kept)] = array[kept]
        self.n = len(kept)
        self.slots = build_index(self.hashes[: self.n])
        self.dirty[:] = True
        return left

    # ---- all at once -----------------------------------------------------------------------------

    def stored(self) -> dict[str, NDArray[Any]]:
        """The live rows of every array that is kept, by its name."""
        return {name: getattr(self, name)[: self.n] for name in self._stored}

    def take(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take the rows that `stored` gave, into rows without any; moments of another optimiser are started anew.
        Raises InvalidBlock.
        """
        n = len(arrays["hashes"]) if "hashes" in arrays else 0
        moments = _MOMENTS[self.optimizer]
        names = (*_STORED, *(moments if any(name in arrays for name in moments) else ()))
        needed = {name: (n, *getattr(self, name).shape[1:]) for name in names}
        came = {name: arrays[name].shape for name in names if name in arrays}
        if came != needed:
            raise InvalidBlock(f"rows of these shapes were needed: {needed}; got {came}")
        while n > len(self.hashes):
            self._grow(2 * len(self.hashes))
        self.start_moments(slice(0, n))
        for name in names:
            getattr(self, name)[:n] = arrays[name]
        self._forget_features(slice(0, n))
        self.n = n
        self.dirty[:] = True
        self.reindex()

    # ---- blocks ----------------------------------------------------------------------------------

    def encode_block(self, block: int) -> bytes:
        """The bytes of rows [64 block, 64 block + 64), as far as they are live."""
        span = slice(block * BLOCK_ROWS, min(self.n, (block + 1) * BLOCK_ROWS))
        arrays = [getattr(self, name)[span] for name in self._stored]
        k, n_half_lives = self.vectors.shape[1], self.counts.shape[1]
        header = _HEADER.pack(MAGIC, len(arrays[0]), k, n_half_lives, OPTIMIZERS.index(self.optimizer))
        return header + b"".join([array.tobytes() for array in arrays])

    def append_block(self, blob: bytes) -> None:
        """Enter the rows of one block after those already there. Raises InvalidBlock; call `reindex` after the last."""
        n, k, n_half_lives, optimizer, names, at = _block_header(blob)
        if (k, n_half_lives) != (self.vectors.shape[1], self.counts.shape[1]):
            raise InvalidBlock(
                f"a block of dimension {self.vectors.shape[1]} with {self.counts.shape[1]} half-lives was needed; "
                f"got {k} and {n_half_lives}"
            )
        kinds = [(name, getattr(self, name).dtype, (n, *getattr(self, name).shape[1:])) for name in names]
        needed = at + sum(dtype.itemsize * math.prod(shape) for _, dtype, shape in kinds)
        if len(blob) != needed:
            raise InvalidBlock(f"a block with {n} rows must have {needed} bytes; got {len(blob)}")
        while self.n + n > len(self.hashes):
            self._grow(2 * len(self.hashes))
        span = slice(self.n, self.n + n)
        self.start_moments(span)
        for name, dtype, shape in kinds:
            array = np.frombuffer(blob, dtype, math.prod(shape), at).reshape(shape)
            at += array.nbytes
            if name in _STORED or optimizer == self.optimizer:
                getattr(self, name)[span] = array
        self._forget_features(span)
        self.n += n

    def reindex(self) -> None:
        """Find the rows again after blocks were entered."""
        self.slots = build_index(self.hashes[: self.n])


def _block_header(blob: bytes) -> tuple[int, int, int, str, tuple[str, ...], int]:
    """n, k, F, the optimiser, the arrays that follow and where they begin. Raises InvalidBlock."""
    if blob[:4] == _MAGIC_1 and len(blob) >= _HEADER_1.size:
        return *_HEADER_1.unpack_from(blob)[1:], "adagrad", _STORED_1, _HEADER_1.size
    if blob[:4] != MAGIC or len(blob) < _HEADER.size:
        raise InvalidBlock(f"a block of rows must start with {MAGIC!r}; got {len(blob)} bytes, {blob[:4]!r}")
    _, n, k, n_half_lives, code = _HEADER.unpack_from(blob)
    if code >= len(OPTIMIZERS):
        raise InvalidBlock(f"a block's optimiser must be in [0, {len(OPTIMIZERS) - 1}]; got {code}")
    return n, k, n_half_lives, OPTIMIZERS[code], (*_STORED, *_MOMENTS[OPTIMIZERS[code]]), _HEADER.size
