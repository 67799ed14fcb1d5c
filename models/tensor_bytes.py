"""Named tensors and some facts about them as safetensors bytes, and back: the form of item snapshots, of the tower's
progress and of a trained tower's file.

The facts (JSON, one metadata entry, so that the same facts give the same bytes) say the format first. safetensors has
no public way to read metadata out of bytes, only out of a file, hence the header is read here. Which tensors there
are is the business of `snapshots.py`, `tower_state.py` and `tower_artefact.py`.
"""

from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from models.shown import shown

Tensors = dict[str, NDArray[Any]]

_LENGTH: Final = 8
"""A safetensors file starts with the length of its JSON header (uint64, little-endian)."""


class InvalidTensors(ValueError):
    """Bytes that are not tensors of the format this code reads."""


def encode_tensors(format_name: str, facts: dict[str, Any], tensors: Tensors) -> bytes:
    """The bytes of these tensors, under a format name that ends in its version."""
    header = orjson.dumps({"format": format_name} | facts).decode()
    return save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, {"facts": header})


def decode_tensors(format_name: str, blob: bytes, *older: str) -> tuple[dict[str, Any], Tensors]:
    """Facts (`format` among them) and tensors. Raises InvalidTensors unless the bytes have this format or one of the
    `older`.
    """
    try:
        length = int.from_bytes(blob[:_LENGTH], "little")
        facts = orjson.loads(orjson.loads(blob[_LENGTH : _LENGTH + length])["__metadata__"]["facts"])
        came = facts["format"]
        tensors = load(blob)
    except (SafetensorError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InvalidTensors(
            f"bytes of the format {format_name} were needed; got {len(blob)} others: {error}"
        ) from error
    if came not in (format_name, *older):
        raise InvalidTensors(f"bytes of the format {format_name} were needed; got {shown(came)}")
    return facts, tensors
