"""The item tower's one stream of inputs: their numbers, the batches they close, and the replays.

Every accepted input (an example, an item, or the border that a timer puts after an unfinished batch) gets the next
number. Borders, negatives and replays are functions of these numbers alone, so feeding the same inputs again gives the
same tower, bit for bit. That is what lets a log of inputs restore it: state holds the tower as it was at some border
(`tower_state.py`) and the inputs since.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from models.examples import InvalidExample, decode_example
from models.hashing import draws_before, stream_of
from models.item_tower import ItemTower
from models.publishing import next_fit, next_full
from models.records import parse_item
from models.replay_window import ReplayWindow
from models.settings import ModelSettings, TowerSettings

_ENTRY: Final = struct.Struct("<4sQBB")
_MAGIC: Final = b"LTI1"


class InputKind(IntEnum):
    """What an input is."""

    EXAMPLE = 1
    ITEM = 2
    BORDER = 3


class Shed(IntEnum):
    """What a batch that this input closes goes without."""

    NOTHING = 0
    NEGATIVES = 1
    """The tower is behind: fewer negatives."""
    TRAINING = 2
    """Training is suspended: the examples count for the popularities only."""


_KINDS: Final = frozenset(InputKind)
_SHEDS: Final = frozenset(Shed)


@dataclass(frozen=True, slots=True)
class TowerInput:
    """One accepted input: an example's bytes, an item's JSON, or b'' for a border."""

    kind: InputKind
    payload: bytes
    shed: Shed = Shed.NOTHING


class InvalidInput(ValueError):
    """Bytes that are not an input of a version this code reads."""


def encode_input(number: int, entry: TowerInput) -> bytes:
    """b"LTI1", number (uint64), kind (uint8), shed (uint8), the payload; little-endian."""
    return _ENTRY.pack(_MAGIC, number, entry.kind, entry.shed) + entry.payload


def decode_input(blob: bytes) -> tuple[int, TowerInput]:
    """Number and input. Raises InvalidInput."""
    if len(blob) < _ENTRY.size or blob[:4] != _MAGIC:
        raise InvalidInput(f"an input must start with {_MAGIC!r}; got {len(blob)} bytes, {blob[:4]!r}")
    _, number, kind, shed = _ENTRY.unpack_from(blob)
    if kind not in _KINDS:
        raise InvalidInput(f"input {number}: its kind must be in [1, {max(_KINDS)}]; got {kind}")
    if shed not in _SHEDS:
        raise InvalidInput(f"input {number}: its shed must be in [0, {max(_SHEDS)}]; got {shed}")
    return number, TowerInput(InputKind(kind), blob[_ENTRY.size :], Shed(shed))


class TowerStream:
    """A tower and where in its stream of inputs it stands."""

    def __init__(self, model: ModelSettings, settings: TowerSettings) -> None:
        self.settings = settings
        self.rho = model.rho
        self.tower = ItemTower(model.dimension, settings, model.loss, model.optimizer)
        self.window = ReplayWindow(settings.replay_window, model.dimension, model.recent_items)
        self.number = 0  # inputs accepted so far
        self.trained = 0  # examples trained so far
        self.batch_first = 0  # index of the first example of the unfinished batch
        self.shed_batches = 0  # trained with fewer negatives
        self.untrained_batches = 0

    @property
    def unfinished(self) -> int:
        """Examples in the unfinished batch."""
        return self.window.end - self.batch_first

    def accept(self, entry: TowerInput) -> bool:
        """Take the next input in; True if it closed a batch. Raises what the decoders of its payload raise, before
        anything changes.
        """
        if entry.kind is InputKind.EXAMPLE:
            example = decode_example(entry.payload)
            if len(example.embedding) != self.tower.dimension:
                raise InvalidExample(
                    f"an example of dimension {self.tower.dimension} was needed; got {len(example.embedding)}"
                )
            self.number += 1
            self.window.append(example, self.number)
            if example.weight > 0:
                self.tower.meet_item(example.positive, example.item_id, example.user)
            if self.unfinished < self.settings.batch:
                return False
        elif entry.kind is InputKind.ITEM:
            item = parse_item(None, entry.payload, max_bytes=len(entry.payload))
            self.number += 1
            self.window.forget(self.number)
            self.tower.list_item(item)
            return False
        else:
            self.number += 1
            self.window.forget(self.number)
        self._close_batch(entry.shed)
        return True

    def recall(self, number: int, entry: TowerInput) -> None:
        """Put an example that the stored tower has already learned back into the window."""
        if entry.kind is InputKind.EXAMPLE:
            self.window.append(decode_example(entry.payload), number)
        self.batch_first = self.window.end

    def _close_batch(self, shed: Shed) -> None:
        window = self.window
        first, end = max(self.batch_first, window.first), window.end
        self.batch_first = end
        new = np.arange(first, end)
        if not len(new):
            return
        if shed == Shed.TRAINING:
            self.tower.count(window.positives(new), self.number)
            self.untrained_batches += 1
            return
        stream = int(stream_of(self.settings.seed, self.number, 0))
        n_old = self.settings.replays * len(new)
        old = draws_before(stream, n_old, end - window.first) + window.first
        behind = shed == Shed.NEGATIVES
        n_negatives = self.settings.negatives_when_behind if behind else self.settings.negatives
        self.tower.learn(window.batch(new, old), stream, n_negatives)
        self.tower.count(window.positives(new), self.number)
        self.shed_batches += behind
        before = self.trained
        self.trained += len(new)
        if next_full(before, self.settings.snapshot_examples) <= self.trained:
            self.find_neighbours()
        if next_fit(before, self.settings.content_every) <= self.trained:
            self.tower.fit_content()

    def find_neighbours(self) -> None:
        """Make the tower's lists of closest items anew from the window.

        Done where full snapshots are due, and also whenever the tower is written to state or has come from there, so
        that a restored tower goes on with the lists it had.
        """
        self.tower.find_neighbours(*self.window.transitions(), self.rho)
