"""The item tower of a checkpoint as arrays, read without torch and without a job.

It is the tower as it was last written, at a batch border at most 8,000 inputs before the checkpoint; what came since
stands in the log (models/tower_state.py). `read_tower` takes about 1 KiB of memory an item at dimension 64.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livetower.inspect.codes import inspect_error
from livetower.inspect.errors import InspectError
from livetower.inspect.reading import LearnedState
from models.tensor_bytes import InvalidTensors, Tensors
from models.tower_progress import FORMAT, FORMAT_1, ItemNames, decode_item_names, read_progress
from models.tower_rows import BLOCK_ROWS, MAGIC, InvalidBlock, TowerRows


@dataclass(frozen=True, eq=False)
class StoredTower:
    """The tower's I live rows, in the order of its blocks."""

    facts: dict[str, Any]
    """What progress says: epoch, number (of inputs), trained (examples), generation, …"""
    settings: dict[str, Any] | None
    """What the job ran with; None if it was too old to keep them."""
    tensors: Tensors
    """alpha, beta, gamma, content.* and the others of progress, by name."""
    hashes: NDArray[np.int64]  # (I,)
    vectors: NDArray[np.float32]  # (I, k)
    biases: NDArray[np.float32]  # (I,)
    events: NDArray[np.int64]  # (I,) positive events so far
    last_event: NDArray[np.int64]  # (I,) number of the input that was its last event, 0 before the first
    available: NDArray[np.bool_]  # (I,)
    counts: NDArray[np.float64]  # (I, F)
    catalogue: dict[int, ItemNames]
    """Hash → names; also of ids that have no row (yet)."""

    @cached_property
    def norms(self) -> NDArray[np.float64]:
        """Length of each vector (I,); NaN or infinite where the vector is."""
        return norms_of(self.vectors)

    @cached_property
    def rows(self) -> dict[int, int]:
        """Hash → row."""
        return {item: row for row, item in enumerate(self.hashes.tolist())}

    def title_of(self, item: int) -> str:
        """Title of the item with this hash, else its id, else the hash in hex: never empty."""
        names = self.catalogue.get(item)
        return f"#{item & (2**64 - 1):016x}" if names is None else names.title or names.item_id

    def item_id_of(self, item: int) -> str | None:
        """Id of the item with this hash; None if the catalogue does not know it."""
        names = self.catalogue.get(item)
        return None if names is None else names.item_id

    def category_of(self, item: int) -> str:
        """Category of the item with this hash; '' if it has none."""
        names = self.catalogue.get(item)
        return "" if names is None else names.category


def read_tower(state: LearnedState) -> StoredTower | None:
    """The tower of a checkpoint; None before its first write. Raises InspectError for bytes it cannot read."""
    progress = state.progress()
    if progress is None:
        return None
    try:
        facts, tensors = read_progress(progress)
    except InvalidTensors as error:
        raise _unreadable(state, _is_newer(progress), f"the tower's progress: {error}") from error
    rows = _rows_of(state, facts)
    n = rows.n
    return StoredTower(
        facts=facts,
        settings=facts.get("settings"),
        tensors=tensors,
        hashes=rows.hashes[:n],
        vectors=rows.vectors[:n],
        biases=rows.biases[:n],
        events=rows.events[:n],
        last_event=rows.last_event[:n],
        available=rows.available[:n],
        counts=rows.counts[:n],
        catalogue=read_catalogue(state),
    )


def read_catalogue(state: LearnedState) -> dict[int, ItemNames]:
    """Hash → names of every item that the tower has heard of. Raises InspectError."""
    catalogue = {}
    for item, entry in state.catalogue():
        try:
            catalogue[item] = decode_item_names(entry)
        except ValueError as error:
            raise _unreadable(state, False, f"the catalogue entry of item {item}: {error}") from error
    return catalogue


def norms_of(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Euclidean length of each row (n,) of vectors (n, k), summed in float64.

    >>> norms_of(np.array([[3, 4], [0, 0]], np.float32)).tolist()
    [5.0, 0.0]
    """
    norms: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return norms


def _rows_of(state: LearnedState, facts: dict[str, Any]) -> TowerRows:
    rows = TowerRows(facts["dimension"], len(facts["half_lives"]))
    needed = -(-facts["n_rows"] // BLOCK_ROWS)  # blocks beyond them are of before an eviction
    expected = 0
    for number, block in state.blocks():
        if number != expected or number >= needed:
            break
        try:
            rows.append_block(block)
        except InvalidBlock as error:
            raise _unreadable(state, _is_newer(block), f"block {number} of the tower's rows: {error}") from error
        expected += 1
    if rows.n != facts["n_rows"]:
        raise inspect_error(
            "LT-INS-204",
            f"{state.uri}: {facts['n_rows']} rows of the item tower were needed, in {needed} blocks; "
            f"block {expected} is missing or short, after {rows.n} rows",
        )
    return rows


def _unreadable(state: LearnedState, newer: bool, cause: str) -> InspectError:
    return inspect_error("LT-INS-202" if newer else "LT-INS-201", f"{state.uri}: {cause}")


def _is_newer(blob: bytes) -> bool:
    """Whether bytes that cannot be read name a version of ours that this code does not know."""
    if blob[:3] == MAGIC[:3]:
        return blob[:4] > MAGIC
    return FORMAT[:-1].encode() in blob and FORMAT.encode() not in blob and FORMAT_1.encode() not in blob
