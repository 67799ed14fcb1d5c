"""The item tower in Flink's state: how a tower is written at a batch border, and how it comes back.

    log        MapState    log_place(number) -> input (tower_stream.encode_input)       latest LOG_INPUTS, one put each
    blocks     MapState    block number -> BLOCK_ROWS rows (tower_rows.py)              the dirty ones, at a border
    catalogue  MapState    hash of item_id -> JSON of a CatalogueEntry or a Waiting     the changed ones, at a border
    progress   ValueState  tensor_bytes.py: unit, alpha, alpha_squares, gamma,          at a border, last
                           gamma_squares, content_*, and the facts that are no tensors

A tower is restored from blocks, catalogue and progress as of input `number`; the inputs before it that are still in the
log refill the replay window, and those after it are accepted again. Writes are at most WRITE_INPUTS inputs apart, so
the log always reaches back far enough.
"""

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
import orjson
import torch

from models.item_tower import CatalogueEntry, Waiting
from models.records import Item
from models.tensor_bytes import InvalidTensors, decode_tensors, encode_tensors
from models.tower_rows import BLOCK_ROWS
from models.tower_stream import TowerStream, decode_input

FORMAT: Final = "livetower-tower-progress-1"
LOG_INPUTS: Final = 32_000
WRITE_INPUTS: Final = 8_000


class InvalidProgress(ValueError):
    """State that this tower cannot be restored from: another version, or other settings that shape it."""


# ---- writing -------------------------------------------------------------------------------------


def encode_entry(stream: TowerStream, key: int) -> bytes | None:
    """The catalogue state of one item, None if there is none."""
    entry = stream.tower.catalogue.get(key)
    if entry is not None:
        i = entry.item
        fields = [i.item_id, i.title, i.text, i.category, i.tags, i.numbers, i.available, i.updated_ms]
        return orjson.dumps({"entry": fields, "listed": entry.listed})
    waiting = stream.tower.waiting.get(key)
    if waiting is None:
        return None
    return orjson.dumps({"waiting": [waiting.item_id, waiting.events, waiting.first_user, waiting.users]})


def encode_progress(stream: TowerStream) -> bytes:
    """Everything of the tower that is neither a row nor a catalogue entry."""
    tower = stream.tower
    content = {f"content_{name}": tensor.numpy() for name, tensor in tower.content.named_buffers()}
    arrays = {name: getattr(tower, name) for name in _ARRAYS}
    facts = {
        "epoch": stream.epoch,
        "number": stream.number,
        "trained": stream.trained,
        "shed_batches": stream.shed_batches,
        "shed_replay": stream.shed_replay,
        "shed_sampled": stream.shed_sampled,
        "untrained_batches": stream.untrained_batches,
        "skipped_batches": tower.skipped_batches,
        "n_rows": tower.rows.n,
        "generation": tower.generation,
        "content_names": list(tower.content.names),
        "content_fitted": tower.content.fitted,
        "waiting": list(tower.waiting),
        "dimension": tower.dimension,
        "half_lives": list(tower.settings.half_lives),
    }
    return encode_tensors(FORMAT, facts, arrays | content)


_ARRAYS: Final = ("unit", "alpha", "alpha_squares", "gamma", "gamma_squares")


# ---- reading -------------------------------------------------------------------------------------


def restore_tower(
    stream: TowerStream,
    progress: bytes,
    block: Callable[[int], bytes],
    entries: Iterable[tuple[int, bytes]],
) -> None:
    """Bring a fresh stream to where `progress` was written. Raises InvalidProgress, InvalidBlock."""
    tower = stream.tower
    try:
        facts, arrays = decode_tensors(FORMAT, progress)
    except InvalidTensors as error:
        raise InvalidProgress(f"the tower's progress cannot be read: {error}") from error
    shape = {"dimension": tower.dimension, "half_lives": list(tower.settings.half_lives)}
    if shape != (stored := {name: facts[name] for name in shape}):
        raise InvalidProgress(
            f"the tower's state was written with {stored}; the settings say {shape}. Restore with the old settings."
        )
    for name in _ARRAYS:
        getattr(tower, name)[:] = arrays[name]
    for name, tensor in tower.content.named_buffers():
        if arrays[f"content_{name}"].shape != tuple(tensor.shape):
            raise InvalidProgress(
                f"the tower's state was written with {len(arrays['content_weights'])} content columns; "
                f"tower.content_columns is {tower.settings.content_columns}. Restore with the old settings."
            )
        tensor.copy_(torch.from_numpy(arrays[f"content_{name}"]))
    tower.content.names = {name: column for column, name in enumerate(facts["content_names"])}
    tower.content.fitted = facts["content_fitted"]
    for number in range(-(-facts["n_rows"] // BLOCK_ROWS)):
        tower.rows.append_block(block(number))
    tower.rows.reindex()
    tower.rows.dirty[:] = False
    tower.share_memory_with_rows()
    _restore_entries(stream, entries, facts["waiting"])
    stream.epoch = facts.get("epoch", 0)  # older than commands
    stream.number, stream.trained = facts["number"], facts["trained"]
    stream.shed_batches, tower.skipped_batches = facts["shed_batches"], facts["skipped_batches"]
    stream.untrained_batches = facts.get("untrained_batches", 0)  # older than suspension
    stream.shed_replay, stream.shed_sampled = facts.get("shed_replay", 0), facts.get("shed_sampled", 0)  # … sampling
    tower.generation = facts["generation"]


def _restore_entries(stream: TowerStream, entries: Iterable[tuple[int, bytes]], waiting_order: list[int]) -> None:
    tower = stream.tower
    waiting = {}
    for key, blob in entries:
        fields = orjson.loads(blob)
        if "waiting" in fields:
            waiting[key] = Waiting(*fields["waiting"])
            continue
        item_id, title, text, category, tags, numbers, available, updated_ms = fields["entry"]
        pairs = tuple((name, number) for name, number in numbers)
        item = Item(item_id, title, text, category, tuple(tags), pairs, available, updated_ms)
        tower.catalogue[key] = CatalogueEntry(item, fields["listed"])
    tower.waiting = {key: waiting[key] for key in waiting_order}
    live = tower.rows.hashes[: tower.rows.n]
    for row, key in enumerate(live.tolist()):
        tower.rows.columns[row], tower.rows.values[row] = tower.content.contents(tower.catalogue[key].item)
    tower.changed_entries.clear()


def redo_log(stream: TowerStream, logged: Callable[[int], bytes | None]) -> int:
    """Refill the window from the inputs that the restored tower knows, then accept those it does not; returns how many
    these were.

    `logged` gives the log's entry at a place; an entry of another lap of the ring has another number and ends the
    search.
    """
    known = stream.number
    for number in range(max(1, known - stream.window.size + 1), known + 1):
        entry = logged(log_place(number))
        if entry is not None and decode_input(entry)[0] == number:
            stream.recall(*decode_input(entry))
    while (entry := logged(log_place(stream.number + 1))) is not None:
        number, tower_input = decode_input(entry)
        if number != stream.number + 1:
            break
        stream.accept(tower_input)
    return stream.number - known


def log_place(number: int) -> int:
    """Where the input of this number lies in the log."""
    return number % LOG_INPUTS


def block_numbers(stream: TowerStream) -> list[int]:
    """The blocks to write: those with live rows that changed since the last write."""
    dirty = np.flatnonzero(stream.tower.rows.dirty)
    blocks: list[int] = dirty[dirty * BLOCK_ROWS < stream.tower.rows.n].tolist()
    return blocks
