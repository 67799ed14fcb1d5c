"""A trained item tower as one file: safetensors that hold all of it, and the nn.Module that comes back.

    tensors   row_*  the live rows: hashes, events, vectors, biases, accumulators, counts (tower_rows.py)
              the tensors of the tower's progress (tower_state.py): alpha, beta, gamma, the content tower
              catalogue_bytes, catalogue_end   JSON of what is said of the items, UTF-8, end offsets
    facts     the settings of the tower, and those of its progress

Float32, or with `half` vectors in float16: 2 k bytes less a row, and 3 digits instead of 7. What only the running job
needs is not in it: ids that wait for admission, user states, and the replay window with the neighbours counted in it.

    tower = load_tower(Path("tower.safetensors").read_bytes())
    tower([Item("new", category="film", tags=("war",))])      # (1, k): the vector of an item nobody has seen

A job starts from one with `job.start_tower`; `livetower train` writes one.
"""

from dataclasses import asdict
from typing import Any, Final

import numpy as np
import orjson

from models.hashing import hash_id
from models.item_tower import ItemTower
from models.settings import LOSSES, ModelSettings, TowerSettings
from models.tensor_bytes import InvalidTensors, Tensors, decode_tensors, encode_tensors
from models.tower_rows import InvalidBlock
from models.tower_state import (
    InvalidProgress,
    content_shape,
    decode_catalogue_entry,
    encode_catalogue_entry,
    finish_restore,
    progress_parts,
    restore_progress,
)
from models.tower_stream import TowerStream

FORMAT: Final = "livetower-item-tower-1"
_ROW: Final = "row_"


class InvalidArtefact(ValueError):
    """Bytes that are no item tower of a version this code reads, or one that does not fit the settings."""


def encode_tower(stream: TowerStream, *, half: bool = False) -> bytes:
    """The bytes of a tower; examples of an unfinished batch are not yet in it."""
    tower = stream.tower
    facts, tensors = progress_parts(stream)
    live = tower.rows.hashes[: tower.rows.n].tolist()
    listed = [key for key, entry in tower.catalogue.items() if entry.listed and tower.rows.row_of(key) < 0]
    entries = [encode_catalogue_entry(tower.catalogue[key]) for key in [*live, *sorted(listed)]]
    rows: Tensors = {f"{_ROW}{name}": array for name, array in tower.rows.stored().items()}
    if half:
        rows[f"{_ROW}vectors"] = rows[f"{_ROW}vectors"].astype(np.float16)
    rows[f"{_ROW}available"] = rows[f"{_ROW}available"].astype(np.uint8)
    catalogue: Tensors = {
        "catalogue_bytes": np.frombuffer(b"".join(entries), np.uint8),
        "catalogue_end": np.cumsum([len(entry) for entry in entries], dtype=np.int64),
    }
    model = {"dimension": tower.dimension, "loss": LOSSES[tower.loss], "optimizer": tower.optimizer}
    told: dict[str, Any] = {"model": model, "settings": asdict(tower.settings), "waiting": []}
    return encode_tensors(FORMAT, facts | told, tensors | rows | catalogue)


def load_tower(blob: bytes) -> ItemTower:
    """The nn.Module in these bytes, with the settings it was trained with. Raises InvalidArtefact."""
    facts, tensors = _parts(blob)
    try:
        told: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in facts["settings"].items()}
        settings = TowerSettings(**told)
        model = ModelSettings(**facts["model"])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidArtefact(f"the item tower's settings cannot be read: {error}") from error
    return _stream(facts, tensors, model, settings).tower


def load_stream(blob: bytes, model: ModelSettings, settings: TowerSettings) -> TowerStream:
    """A stream that goes on where the artefact's ended, under the settings of a job. Raises InvalidArtefact, also when
    settings that shape the tower are others.
    """
    return _stream(*_parts(blob), model, settings)


def _parts(blob: bytes) -> tuple[dict[str, Any], Tensors]:
    try:
        return decode_tensors(FORMAT, blob)
    except InvalidTensors as error:
        raise InvalidArtefact(f"not an item tower: {error}") from error


def _stream(facts: dict[str, Any], tensors: Tensors, model: ModelSettings, settings: TowerSettings) -> TowerStream:
    stream = TowerStream(model, settings)
    tower = stream.tower
    try:
        if facts["model"]["loss"] != model.loss:
            raise InvalidArtefact(
                f"the item tower was trained with the loss {facts['model']['loss']}; model.loss is {model.loss}"
            )
        rows = {name.removeprefix(_ROW): array for name, array in tensors.items() if name.startswith(_ROW)}
        rows["available"] = rows["available"].astype(np.bool_)
        rows["vectors"] = rows["vectors"].astype(np.float32)
        for name, array in (rows | {name: tensors[name] for name in ("alpha", "gamma", "unit")}).items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise InvalidArtefact(f"the item tower's {name} holds numbers that are not finite")
        if not restore_progress(stream, facts, tensors):
            raise InvalidArtefact(
                f"the item tower was trained with {facts['content']}; the settings say {content_shape(settings)}"
            )
        tower.rows.take(rows)
        texts, begin = tensors["catalogue_bytes"].tobytes(), 0
        for end in tensors["catalogue_end"].tolist():
            entry = decode_catalogue_entry(orjson.loads(texts[begin:end]))
            tower.catalogue[hash_id(entry.item.item_id)] = entry
            begin = end
        finish_restore(tower)
    except (InvalidProgress, InvalidBlock) as error:
        raise InvalidArtefact(f"the item tower does not fit: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InvalidArtefact):
            raise
        raise InvalidArtefact(f"the item tower is incomplete: {error!r}") from error
    tower.changed_entries.update(tower.catalogue)  # none of it is in any state yet
    return stream
