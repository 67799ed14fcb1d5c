"""A learned state in memory (livetower/inspect/reading.py), for tests of what looks into one.

What it holds is written by the job's own code: users by encode_user_state, the tower as train-item-tower writes it,
announcements as learn-and-recommend remembers them. A command meets it when `opens` has put it in open_state's place,
which the commands call by its module: `reading.open_state(path)`.
"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from livetower.inspect import reading
from livetower.inspect.errors import InspectError
from livetower.inspect.reading import StateSize, StoredUser
from livetower.operations.metadata import Metadata, OperatorInState, StateFile
from models.snapshots import Announcement, encode_announcement
from models.tower_rows import BLOCK_ROWS
from models.tower_state import encode_entry, encode_progress, log_place
from models.tower_stream import TowerInput, TowerStream, encode_input
from models.user_state import UserState, encode_user_state
from operators.table_loader import remember

URI = "file:///made-up/chk-7"
TOUCHED_MS = 1_760_000_000_000
MAX_PARALLELISM = 128


def made_up_metadata(parallelism: int = 2) -> Metadata:
    """The operators that hold our state, each in a file of its own."""
    learn = OperatorInState("learn-and-recommend", "learn-and-recommend", parallelism, MAX_PARALLELISM)
    train = OperatorInState("train-item-tower", "train-item-tower", 1, MAX_PARALLELISM)
    learn.files.append(StateFile("users", 1_000, relative=True))
    train.files.append(StateFile("tower", 2_000, relative=True))
    return Metadata(7, (learn, train))


class Remembered(dict[str, bytes]):
    """A broadcast state, as operators.table_loader wants it."""

    def put(self, key: str, value: bytes) -> None:
        self[key] = value

    def remove(self, key: str) -> None:
        del self[key]


@dataclass
class FakeLearnedState:
    """Fill it with the `keep_…` and `announce` below."""

    uri: str = URI
    metadata: Metadata = field(default_factory=made_up_metadata)
    state_sizes: list[StateSize] = field(default_factory=list)
    kept_users: dict[str, StoredUser] = field(default_factory=dict)
    estimate: int | None = None
    kept_progress: bytes | None = None
    kept_blocks: dict[int, bytes] = field(default_factory=dict)
    kept_catalogue: dict[int, bytes] = field(default_factory=dict)
    kept_log: dict[int, bytes] = field(default_factory=dict)
    announced: Remembered = field(default_factory=Remembered)
    kept_offsets: dict[tuple[str, int], int] = field(default_factory=dict)

    # ---- what tests put in ---------------------------------------------------------------------

    def keep_user(self, user_id: str, state: UserState, touched_ms: int | None = TOUCHED_MS) -> None:
        self.keep_blob(user_id, encode_user_state(state), touched_ms)

    def keep_blob(self, user_id: str, blob: bytes, touched_ms: int | None = TOUCHED_MS) -> None:
        self.kept_users[user_id] = StoredUser(user_id, blob, touched_ms)

    def keep_tower(self, stream: TowerStream, job_settings: Mapping[str, Any] | None = None) -> None:
        """Everything of a stream that stands at a batch border, as train-item-tower writes it to state."""
        tower = stream.tower
        blocks = range(-(-tower.rows.n // BLOCK_ROWS))
        self.kept_blocks = {block: tower.rows.encode_block(block) for block in blocks}
        entries = {key: encode_entry(stream, key) for key in [*tower.catalogue, *tower.waiting]}
        self.kept_catalogue = {key: entry for key, entry in entries.items() if entry is not None}
        self.kept_progress = encode_progress(stream, job_settings)

    def keep_input(self, number: int, entry: TowerInput) -> None:
        self.kept_log[log_place(number)] = encode_input(number, entry)

    def announce(self, *announcements: Announcement) -> None:
        """Remember them one after the other, as the job does."""
        for announcement in announcements:
            remember(self.announced, announcement, encode_announcement(announcement))

    def without_time_to_live(self) -> None:
        """As if model.user_ttl_days were 0: no blob has a time."""
        self.kept_users = {name: replace(user, touched_ms=None) for name, user in self.kept_users.items()}

    def opens(self, monkeypatch: pytest.MonkeyPatch, *others: "FakeLearnedState") -> None:
        """Let `reading.open_state` give this state, and the others, by their URIs; any other path is not there."""
        states = {state.uri: state for state in (self, *others)}

        def open_state(uri: str) -> FakeLearnedState:
            if uri not in states:
                raise InspectError("LT-INS-101", f"no checkpoint at {uri}", "`livetower inspect ls` lists them")
            return states[uri]

        monkeypatch.setattr(reading, "open_state", open_state)

    # ---- the protocol --------------------------------------------------------------------------

    def __enter__(self) -> "FakeLearnedState":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def sizes(self) -> list[StateSize]:
        return self.state_sizes

    def users(self) -> Iterator[StoredUser]:
        return iter(self.kept_users.values())

    def user(self, user_id: str) -> StoredUser | None:
        return self.kept_users.get(user_id)

    def users_estimate(self) -> int | None:
        return self.estimate

    def key_group_of(self, user_id: str) -> int:
        """A number that is the same in every run; it is not Flink's."""
        return zlib.crc32(user_id.encode()) % MAX_PARALLELISM

    def progress(self) -> bytes | None:
        return self.kept_progress

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        return iter(sorted(self.kept_blocks.items()))

    def catalogue(self) -> Iterator[tuple[int, bytes]]:
        return iter(self.kept_catalogue.items())

    def log(self) -> Iterator[tuple[int, bytes]]:
        return iter(self.kept_log.items())

    def announcements(self) -> Mapping[str, bytes]:
        return self.announced

    def offsets(self) -> Mapping[tuple[str, int], int]:
        return self.kept_offsets
