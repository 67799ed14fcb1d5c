"""The parts of the item tower's state that are read without torch: its progress, and what its catalogue calls an item.

`tower_state.py` says what a tower writes and how it comes back; this file is for those who only look.
"""

from typing import Any, Final, NamedTuple

import orjson

from models.tensor_bytes import Tensors, decode_tensors

FORMAT: Final = "livetower-tower-progress-2"
FORMAT_1: Final = "livetower-tower-progress-1"
"""Its content was a map with other columns: it is read without."""


class ItemNames(NamedTuple):
    """What people call an item; texts that nobody gave are ''."""

    item_id: str
    title: str
    category: str


def read_progress(blob: bytes) -> tuple[dict[str, Any], Tensors]:
    """Facts and tensors of a tower's progress. Raises InvalidTensors."""
    return decode_tensors(FORMAT, blob, FORMAT_1)


def decode_item_names(entry: bytes) -> ItemNames:
    """The names in a catalogue entry, or of an id that waits for its row. Raises ValueError for other bytes.

    >>> decode_item_names(b'{"waiting": ["i1", 2, 7, 1]}').item_id
    'i1'
    """
    record = orjson.loads(entry)
    try:
        if "waiting" in record:
            return ItemNames(record["waiting"][0], "", "")
        item_id, title, _text, category = record["entry"][:4]
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ValueError(f"a catalogue entry must have 'entry' or 'waiting'; got {entry[:80]!r}") from error
    return ItemNames(item_id, title, category)
