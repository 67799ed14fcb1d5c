"""The item tower in Flink's state: how a tower is written at a batch border, and how it comes back.

    log        MapState    log_place(number) -> input (tower_stream.encode_input)       latest LOG_INPUTS, one put each
    blocks     MapState    block number -> BLOCK_ROWS rows (tower_rows.py)              the dirty ones, at a border
    catalogue  MapState    hash of item_id -> JSON of a CatalogueEntry or a Waiting     the changed ones, at a border
    progress   ValueState  tensor_bytes.py: unit; alpha, beta, gamma and their          at a border, last
                           squares; content.*, number_*; the facts that are no tensors,
                           `settings` among them: what the job ran with, for who reads a checkpoint

An erased user's inputs leave the log, but not before the tower is written behind them.
A tower is restored from blocks, catalogue and progress as of input `number`; the inputs before it that are still in the
log refill the replay window, and those after it are accepted again. Writes are at most WRITE_INPUTS inputs apart, so
the log always reaches back far enough.
"""

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np
import orjson
import torch
from torch import nn

from models.features import Slot
from models.item_tower import CatalogueEntry, ItemTower, Waiting
from models.logged_users import LOG_INPUTS as LOG_INPUTS
from models.records import Item
from models.settings import TowerSettings
from models.tensor_bytes import InvalidTensors, Tensors, encode_tensors
from models.tower_progress import FORMAT, read_progress
from models.tower_rows import BLOCK_ROWS
from models.tower_stream import TowerStream, decode_input

WRITE_INPUTS: Final = 8_000
DESCRIBED_AT_ONCE: Final = 4_096
"""Rows whose features are made anew in one piece."""


class InvalidProgress(ValueError):
    """State that this tower cannot be restored from: another version, or other settings that shape it."""


# ---- writing -------------------------------------------------------------------------------------


def encode_entry(stream: TowerStream, key: int) -> bytes | None:
    """The catalogue state of one item, None if there is none."""
    entry = stream.tower.catalogue.get(key)
    if entry is not None:
        return encode_catalogue_entry(entry)
    waiting = stream.tower.waiting.get(key)
    if waiting is None:
        return None
    return orjson.dumps({"waiting": [waiting.item_id, waiting.events, waiting.first_user, waiting.users]})


def encode_catalogue_entry(entry: CatalogueEntry) -> bytes:
    """JSON of what is said of an item."""
    i = entry.item
    fields: list[Any] = [i.item_id, i.title, i.text, i.category, i.tags, i.numbers, i.available, i.updated_ms]
    if i.vectors:
        fields.append([[name, base64.b64encode(packed).decode()] for name, packed in i.vectors])
    return orjson.dumps({"entry": fields, "listed": entry.listed})


def decode_catalogue_entry(record: dict[str, Any]) -> CatalogueEntry:
    """What `encode_catalogue_entry` wrote; entries without vectors are as version 1 had them."""
    item_id, title, text, category, tags, numbers, available, updated_ms, *rest = record["entry"]
    pairs = tuple((name, number) for name, number in numbers)
    vectors = tuple((name, base64.b64decode(packed)) for name, packed in (rest[0] if rest else []))
    item = Item(item_id, title, text, category, tuple(tags), pairs, available, updated_ms, vectors)
    return CatalogueEntry(item, record["listed"])


def encode_progress(stream: TowerStream, job_settings: Mapping[str, Any] | None = None) -> bytes:
    """Everything of the tower that is neither a row nor a catalogue entry, and the settings of its job if given."""
    facts, tensors = progress_parts(stream)
    return encode_tensors(FORMAT, facts if job_settings is None else facts | {"settings": job_settings}, tensors)


def with_job_settings(progress: bytes, job_settings: Mapping[str, Any]) -> bytes:
    """The same progress, of a job that goes on with these settings. Raises InvalidProgress."""
    facts, tensors = decode_progress(progress)
    if facts.get("settings") == job_settings:
        return progress
    return encode_tensors(facts["format"], facts | {"settings": job_settings}, tensors)


def progress_parts(stream: TowerStream) -> tuple[dict[str, Any], Tensors]:
    """The facts and the tensors of progress."""
    tower = stream.tower
    space = tower.content.space
    facts = _shape(tower) | {
        "content": content_shape(tower.settings),
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
        "names": list(space.names),
        "numbers": list(space.numbers),
        "vectors": [[name, slot.length] for name, slot in space.vectors.items()],
        "unread_vectors": space.unread_vectors,
        "content_fits": tower.content.fits,
        "waiting": list(tower.waiting),
    }
    tensors = {name: getattr(tower, name) for name in _ARRAYS}
    tensors |= {f"content.{name}": tensor.numpy() for name, tensor in tower.content.state_dict().items()}
    return facts, tensors | {"number_moments": space.statistics.moments, "number_sample": space.statistics.sample}


def _shape(tower: ItemTower) -> dict[str, Any]:
    """The settings that rows, alpha and gamma depend on."""
    return {"dimension": tower.dimension, "half_lives": list(tower.settings.half_lives)}


def content_shape(settings: TowerSettings) -> dict[str, Any]:
    """The settings that the content tower's parameters depend on."""
    return {
        "content_columns": settings.content_columns,
        "content_numbers": settings.content_numbers,
        "content_text_columns": settings.content_text_columns,
        "content_text_buckets": settings.content_text_buckets if settings.content_text_columns else 0,
        "content_vector_columns": settings.content_vector_columns,
        "content_depth": settings.content_depth,
        "content_width": settings.content_width if settings.content_depth else 0,
    }


_ARRAYS: Final = ("unit", "alpha", "alpha_squares", "gamma", "gamma_squares", "beta", "beta_squares")


# ---- reading -------------------------------------------------------------------------------------


def decode_progress(progress: bytes) -> tuple[dict[str, Any], Tensors]:
    """The facts (`settings` are the job's; progress that an older job wrote has none) and the tensors. Raises
    InvalidProgress.
    """
    try:
        return read_progress(progress)
    except InvalidTensors as error:
        raise InvalidProgress(f"the tower's progress cannot be read: {error}") from error


def restore_tower(
    stream: TowerStream,
    progress: bytes,
    block: Callable[[int], bytes],
    entries: Iterable[tuple[int, bytes]],
) -> None:
    """Bring a fresh stream to where `progress` was written; under other settings of the content tower that is fitted
    anew from the catalogue. Raises InvalidProgress, InvalidBlock.
    """
    tower = stream.tower
    facts, arrays = decode_progress(progress)
    content = restore_progress(stream, facts, arrays)
    for number in range(-(-facts["n_rows"] // BLOCK_ROWS)):
        tower.rows.append_block(block(number))
    tower.rows.reindex()
    tower.rows.dirty[:] = False
    waiting = {}
    for key, blob in entries:
        record = orjson.loads(blob)
        if "waiting" in record:
            waiting[key] = Waiting(*record["waiting"])
        else:
            tower.catalogue[key] = decode_catalogue_entry(record)
    tower.waiting = {key: waiting[key] for key in facts["waiting"]}
    if not content:
        for key in sorted(key for key, entry in tower.catalogue.items() if entry.listed):
            tower.content.space.learn(tower.catalogue[key].item, None)
    finish_restore(tower)


def finish_restore(tower: ItemTower) -> None:
    """What follows from rows, catalogue and vocabularies that are in place."""
    tower.share_memory_with_rows()
    for begin in range(0, tower.rows.n, DESCRIBED_AT_ONCE):
        tower.describe(np.arange(begin, min(begin + DESCRIBED_AT_ONCE, tower.rows.n)))
    tower.changed_entries.clear()


def restore_progress(stream: TowerStream, facts: dict[str, Any], arrays: Tensors) -> bool:
    """Bring a fresh stream to what `progress_parts` gave, but for rows and catalogue; False if the content tower stayed
    as it was, since it was written under other settings. Raises InvalidProgress.
    """
    tower = stream.tower
    shape = _shape(tower)
    if shape != (stored := {name: facts[name] for name in shape}):
        raise InvalidProgress(
            f"the tower's state was written with {stored}; the settings say {shape}. Restore with the old settings."
        )
    names = [name for name in _ARRAYS if name in arrays or not name.startswith("beta")]  # version 1 knew no beta
    if any(name not in arrays or arrays[name].shape != getattr(tower, name).shape for name in names):
        raise InvalidProgress(f"the tower's state must hold {', '.join(_ARRAYS)} of the shapes that the settings say")
    for name in names:
        getattr(tower, name)[:] = arrays[name]
    content = facts.get("content") == content_shape(tower.settings)
    if content:
        _restore_content(tower, facts, arrays)
    stream.epoch = facts.get("epoch", 0)  # older than commands
    stream.number, stream.trained = facts["number"], facts["trained"]
    stream.shed_batches, tower.skipped_batches = facts["shed_batches"], facts["skipped_batches"]
    stream.untrained_batches = facts.get("untrained_batches", 0)  # older than suspension
    stream.shed_replay, stream.shed_sampled = facts.get("shed_replay", 0), facts.get("shed_sampled", 0)  # … sampling
    tower.generation = facts["generation"]
    return content


def _restore_content(tower: ItemTower, facts: dict[str, Any], arrays: Tensors) -> None:
    content, space = tower.content, tower.content.space
    space.names = {name: index for index, name in enumerate(facts["names"], 1)}
    space.numbers = {name: slot for slot, name in enumerate(facts["numbers"])}
    space.vectors = {name: Slot(number, length) for number, (name, length) in enumerate(facts["vectors"])}
    space.unread_vectors, content.fits = facts["unread_vectors"], facts["content_fits"]
    space.statistics.moments[:] = arrays["number_moments"]
    space.statistics.sample[:] = arrays["number_sample"]
    tensors = {
        name.removeprefix("content."): torch.from_numpy(array)
        for name, array in arrays.items()
        if name.startswith("content.")
    }
    for name, tensor in tensors.items():
        if name.startswith("projections."):
            matrix = nn.Parameter(torch.empty_like(tensor), tower.settings.content_depth > 0)
            content.projections[name.removeprefix("projections.")] = matrix
    try:
        content.load_state_dict(tensors)
    except RuntimeError as error:
        raise InvalidProgress(f"the content tower's parameters are not those of its settings: {error}") from error


def redo_log(stream: TowerStream, logged: Callable[[int], bytes | None]) -> int:
    """Refill the window, and whose inputs the log holds, from those that the restored tower knows, then accept those
    that it does not; returns how many these were.

    `logged` gives the log's entry at a place; an entry of another lap of the ring has another number and ends the
    search.
    """
    known = stream.number
    for number in range(max(1, known - LOG_INPUTS + 1), known + 1):
        entry = logged(log_place(number))
        if entry is not None and decode_input(entry)[0] == number:
            stream.recall(*decode_input(entry))
    stream.find_neighbours()
    while (entry := logged(log_place(stream.number + 1))) is not None:
        number, tower_input = decode_input(entry)
        if number != stream.number + 1:
            break
        stream.accept(tower_input)
    return stream.number - known


def purge_log(stream: TowerStream, logged: Callable[[int], bytes | None], remove: Callable[[int], None]) -> None:
    """Take the inputs of erased users out of the log; the tower has just been written, so none is to be redone."""
    for number in stream.erased:
        entry = logged(log_place(number))
        if entry is not None and decode_input(entry)[0] == number:
            remove(log_place(number))
    stream.erased.clear()


def log_place(number: int) -> int:
    """Where the input of this number lies in the log."""
    return number % LOG_INPUTS


def begin_write(stream: TowerStream) -> list[int]:
    """Bring the lists of neighbours to where a restored tower makes them anew, and return the blocks to write: those
    with live rows that changed since the last write.
    """
    stream.find_neighbours()
    dirty = np.flatnonzero(stream.tower.rows.dirty)
    blocks: list[int] = dirty[dirty * BLOCK_ROWS < stream.tower.rows.n].tolist()
    return blocks
