"""The item tower's one stream of inputs: their numbers, the batches they close, and the replays.

Every accepted input (an example, an item, the border that a timer puts after an unfinished batch, the command to learn
the rows anew, or the erasure of a user) gets the next number. Borders, negatives and replays are functions of these
numbers alone, so feeding the same inputs again gives the same tower, bit for bit. That is what lets a log of inputs
restore it: state holds the tower as it was at some border (`tower_state.py`) and the inputs since.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from models.erasure import decode_erasure, is_erasure
from models.examples import InvalidExample, decode_example, user_of_example
from models.hashing import draws_before, stream_of
from models.item_tower import Batch, ItemTower
from models.learning import Ints
from models.logged_users import LoggedUsers
from models.publishing import next_fit, next_full
from models.records import parse_item
from models.replay_window import ReplayWindow
from models.settings import ModelSettings, TowerSettings
from models.snapshots import SnapshotRows

_ENTRY: Final = struct.Struct("<4sQBB")
MAGIC: Final = b"LTI1"


class InputKind(IntEnum):
    """What an input is."""

    EXAMPLE = 1
    ITEM = 2
    BORDER = 3
    COMMAND = 4
    ERASURE = 5


class Shed(IntEnum):
    """What a batch that this input closes goes without; numbers of released versions stay."""

    NOTHING = 0
    NEGATIVES = 1
    """The tower is behind: fewer negatives."""
    TRAINING = 2
    """Training is suspended: the examples count for the popularities only."""
    REPLAY = 3
    """Fewer negatives and no replays."""
    HALF = 4
    """The same, and one of two examples is learned; the others count for the popularities only."""
    QUARTER = 5
    TENTH = 6


LEARNED_OF: Final = {Shed.HALF: 2, Shed.QUARTER: 4, Shed.TENTH: 10}
"""One of so many examples is learned."""

_KINDS: Final = frozenset(InputKind)
_SHEDS: Final = frozenset(Shed)


@dataclass(frozen=True, slots=True)
class TowerInput:
    """One accepted input: an example's or an erasure's bytes, an item's JSON, a full_refresh's JSON, or b'' for a
    border.
    """

    kind: InputKind
    payload: bytes
    shed: Shed = Shed.NOTHING


def input_of_user(payload: bytes, shed: Shed = Shed.NOTHING) -> TowerInput:
    """The input that came of a user's event: an example, or an erasure, which nothing is left out of."""
    if is_erasure(payload):
        return TowerInput(InputKind.ERASURE, payload)
    return TowerInput(InputKind.EXAMPLE, payload, shed)


class InvalidInput(ValueError):
    """Bytes that are not an input of a version this code reads."""


def encode_input(number: int, entry: TowerInput) -> bytes:
    """b"LTI1", number (uint64), kind (uint8), shed (uint8), the payload; little-endian."""
    return _ENTRY.pack(MAGIC, number, entry.kind, entry.shed) + entry.payload


def decode_input(blob: bytes) -> tuple[int, TowerInput]:
    """Number and input. Raises InvalidInput."""
    if len(blob) < _ENTRY.size or blob[:4] != MAGIC:
        raise InvalidInput(f"an input must start with {MAGIC!r}; got {len(blob)} bytes, {blob[:4]!r}")
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
        self.epoch = 0  # rises when the rows are made anew or brought back: deltas do not reach across
        self.number = 0  # inputs accepted so far
        self.trained = 0  # examples trained so far
        self.batch_first = 0  # index of the first example of the unfinished batch
        self.shed = Shed.NOTHING  # with which the last input came
        self.logged = LoggedUsers()
        self.erased: list[int] = []  # numbers of inputs that the log must let go of when the tower is next written
        self.left_out: list[int] = []  # items of the unfinished batch's examples that will only be counted
        self.shed_batches = 0  # trained with fewer negatives, or less than that
        self.shed_replay = 0  # … of which so many without replays
        self.shed_sampled = 0  # examples that were only counted
        self.untrained_batches = 0
        self.watch: Callable[[ItemTower, Batch], None] | None = None
        """Sees every batch just before it is learned, and changes nothing."""

    @property
    def shed_negatives(self) -> int:
        """Batches trained with fewer negatives and all else."""
        return self.shed_batches - self.shed_replay

    @property
    def unfinished(self) -> int:
        """Examples in the unfinished batch, those left out among them."""
        return self.window.end - self.batch_first + len(self.left_out)

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
            self.logged.note(self.number, example.user)
            if self._is_left_out(self.number, entry.shed):
                self.window.forget(self.number)
                if example.weight > 0:
                    self.left_out.append(example.positive)
            else:
                self.window.append(example, self.number)
            self.shed = entry.shed
            if example.weight > 0:
                self.tower.meet_item(example.positive, example.item_id, example.user)
            if self.unfinished < self.settings.batch:
                return False
        elif entry.kind is InputKind.ITEM:
            item = parse_item(None, entry.payload, max_bytes=len(entry.payload))
            self._count_input()
            self.tower.list_item(item)
            return False
        elif entry.kind is InputKind.ERASURE:
            user = decode_erasure(entry.payload)
            self._count_input()
            self._erase(user)
            return False
        else:
            self._count_input()
        self._close_batch(entry.shed)
        if entry.kind is InputKind.COMMAND:
            self._refresh()
        return True

    def _count_input(self) -> None:
        """The next input is none of a user's examples."""
        self.number += 1
        self.logged.note(self.number, None)
        self.window.forget(self.number)

    def _erase(self, user: int) -> None:
        """Let go of all that is held of a user: what is in the window now, what is in the log when the tower is next
        written, since the inputs after the last write are needed to redo what was learned from them.

        The user's examples in the unfinished batch are never learned. What rows and popularities took from those
        before is no longer told apart from what they took from others.
        """
        self.erased += [*self.logged.take_out(user), self.number]
        self.batch_first = self.window.erase(user, self.batch_first)
        self.tower.forget_user(user)

    def roll_back(self, rows: SnapshotRows) -> None:
        """Take up the vectors of an earlier full snapshot, in a new epoch. It is no input, since its file may be gone
        when the log is redone: the caller must write the tower to state at once. Raises ValueError, before anything
        changes, if the snapshot is of another shape or a batch is unfinished.
        """
        if self.unfinished:
            raise ValueError(f"a rollback needs a batch border; {self.unfinished} examples are unfinished")
        self.tower.roll_back(rows)
        self.epoch += 1

    def _refresh(self) -> None:
        """Begin with first rows and learn the window again, `refresh_passes` times in another order each."""
        settings, window = self.settings, self.window
        self.tower.start_anew()
        nothing = np.zeros(0, np.int64)
        size = settings.batch * (1 + settings.replays)
        for n in range(settings.refresh_passes):
            stream = int(stream_of(settings.seed, self.number, 2 + n))
            drawn = draws_before(stream, window.end - window.first, 2**31)
            order = window.first + np.argsort(drawn, kind="stable")
            for at in range(0, len(order), size):
                batch = window.batch(nothing, order[at : at + size])
                self.tower.learn(batch, int(stream_of(stream, at, 0)), settings.negatives)
        self.tower.fit_content()
        self.epoch += 1

    def recall(self, number: int, entry: TowerInput) -> None:
        """Put an example that the stored tower has already learned back into the window, if that reaches so far."""
        if entry.kind is InputKind.EXAMPLE:
            self.logged.note(number, user_of_example(entry.payload))
            if number > self.number - self.window.size and not self._is_left_out(number, entry.shed):
                self.window.append(decode_example(entry.payload), number)
        self.batch_first = self.window.end

    def _is_left_out(self, number: int, shed: Shed) -> bool:
        """Whether an example that comes with this level is only counted: a draw by its input's number."""
        learned_of = LEARNED_OF.get(shed, 1)
        return learned_of > 1 and int(draws_before(stream_of(self.settings.seed, number, 1), 1, learned_of)[0]) != 0

    def _close_batch(self, shed: Shed) -> None:
        window = self.window
        first, end = max(self.batch_first, window.first), window.end
        self.batch_first = end
        new = np.arange(first, end)
        if not len(new) and not self.left_out:
            return
        counted = np.concatenate([window.positives(new), np.array(self.left_out, np.int64)])
        self.shed_sampled += len(self.left_out)
        self.left_out.clear()
        if shed == Shed.TRAINING:
            self.tower.count(counted, self.number)
            self.untrained_batches += 1
            return
        if len(new):
            self._learn(new, shed)
        self.tower.count(counted, self.number)
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

    def _learn(self, new: Ints, shed: Shed) -> None:
        """One step on the examples of these indices and, unless that is shed, on replayed ones."""
        window, settings = self.window, self.settings
        stream = int(stream_of(settings.seed, self.number, 0))
        n_old = settings.replays * len(new) if shed in (Shed.NOTHING, Shed.NEGATIVES) else 0
        old = draws_before(stream, n_old, window.end - window.first) + window.first
        batch = window.batch(new, old)
        if self.watch is not None:
            self.watch(self.tower, batch)
        n_negatives = settings.negatives if shed == Shed.NOTHING else settings.negatives_when_behind
        self.tower.learn(batch, stream, n_negatives)
        self.shed_batches += shed != Shed.NOTHING
        self.shed_replay += shed not in (Shed.NOTHING, Shed.NEGATIVES)
