"""Columns of many users' blobs: every value is the one that decode_user_state gives for that user."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from worlds import event, item_table, replay

from livetower.inspect import user_columns as module
from livetower.inspect.reading import StoredUser
from livetower.inspect.user_columns import NO_TIME, Ragged, UserColumns, column_batches, user_columns
from models.optimisers import ADAM
from models.settings import ModelSettings
from models.user_state import UserState, decode_user_state, encode_user_state, new_user_state

FIXTURES = Path(__file__).parent / "fixtures"


def learned(n_events: int, optimizer: str = "adagrad", seed: int = 0) -> UserState:
    """A state that the recommender itself has made of so many events."""
    settings = ModelSettings(dimension=8, recent_items=4, negatives=10, top_k=5, optimizer=optimizer)
    events = [event(n, f"i{(n * 7 + seed) % 30}", user=f"u{seed}") for n in range(n_events)]
    return replay(events, item_table(seed=1), settings)[-1].state


def made_up_users() -> list[StoredUser]:
    """Some of every kind: few and many events, Adam's moments, nothing learned, no time to live."""
    states = [learned(n, "adam" if n % 3 == 0 else "adagrad", seed=n) for n in range(1, 26)]
    states += [new_user_state(8, 5), replace(learned(3), rating_sum=4.5, rating_count=2, late=3, no_table=1)]
    return [
        StoredUser(f"ü{n}", encode_user_state(state), 1_000 + n if n % 2 else None) for n, state in enumerate(states)
    ]


def split(lists: Ragged) -> list[list[int]]:
    bounds = lists.offsets.tolist()
    return [lists.values[begin:end].tolist() for begin, end in pairwise(bounds)]


def of_each(states: Sequence[UserState], name: str) -> list[list[int]]:
    return [getattr(state, name).tolist() for state in states]


def assert_columns_equal(columns: UserColumns, users: Sequence[StoredUser]) -> None:
    states = [decode_user_state(user.blob) for user in users]
    assert list(columns.ids) == [user.user_id for user in users]
    assert columns.blob_bytes.tolist() == [len(user.blob) for user in users]
    assert columns.touched_ms.tolist() == [NO_TIME if u.touched_ms is None else u.touched_ms for u in users]
    assert columns.embedding.tolist() == of_each(states, "embedding")
    for name in ("user_seq", "positives", "newest_event_ms", "user_since_ms", "late", "no_table", "forgotten", "steps"):
        assert columns.number(name).tolist() == [getattr(state, name) for state in states]
    for name in ("rating_count", "optimizer"):
        assert columns.number(name).tolist() == [getattr(state, name) for state in states]
    for name in ("accumulator", "rating_sum"):
        assert columns.header[name].tolist() == [getattr(state, name) for state in states]
    for name in ("recent", "recent_ms", "consumed", "consumed_day", "event_ids", "last_list", "moments"):
        assert split(getattr(columns, name)()) == of_each(states, name), name
    assert columns.consumed_count.tolist() == [len(state.consumed) for state in states]


def test_columns_hold_what_the_decoder_gives_for_each_user() -> None:
    users = made_up_users()
    assert_columns_equal(user_columns(users), users)


def test_batches_of_any_size_hold_every_user_once() -> None:
    users = made_up_users()
    for size in (1, 4, 1_000):
        batches = list(column_batches(iter(users), size))
        assert [name for batch in batches for name in batch.ids] == [user.user_id for user in users]
        assert_columns_equal(batches[0], users[:size])


@pytest.mark.parametrize("version", [1, 2])
def test_blobs_of_every_released_version_become_columns(version: int) -> None:
    users = [StoredUser("old", (FIXTURES / f"user_state_{version}.bin").read_bytes(), None)]
    assert_columns_equal(user_columns(users), users)


def test_norms_are_lengths_and_a_number_that_is_not_finite_is_found_wherever_it_lies() -> None:
    state = learned(6)
    vector = np.zeros(8, np.float32)
    vector[:2] = 3, 4
    adam = learned(6, "adam")
    bad_moment = adam.moments.copy()
    bad_moment[-1] = np.nan
    bad_vector = vector.copy()
    bad_vector[7] = np.inf
    states = {
        "good": replace(state, embedding=vector),
        "vector": replace(state, embedding=bad_vector),
        "accumulator": replace(state, accumulator=float("nan")),
        "adam": adam,
        "moment": replace(adam, moments=bad_moment),
    }
    columns = user_columns([StoredUser(name, encode_user_state(s), None) for name, s in states.items()])
    assert columns.norms[0] == 5.0
    assert columns.finite.tolist() == [True, False, False, True, False]


def test_bytes_that_are_no_user_state_are_named_and_the_others_still_read() -> None:
    users = made_up_users()[:4]
    good = users[0].blob
    optimizer = bytearray(good)
    optimizer[76] = ADAM + 1
    other = encode_user_state(new_user_state(16, 0))
    damaged = {
        "empty": b"",
        "garbage": b"garbage" * 40,
        "short": good[:-4],
        "odd": good[:-1],
        "long": good + bytes(8),
        "newer": b"LTU9" + good[4:],
        "optimiser": bytes(optimizer),
        "dimension": other,
    }
    mixed = [users[0], *(StoredUser(name, blob, None) for name, blob in damaged.items()), *users[1:]]
    columns = user_columns(mixed)
    assert_columns_equal(columns, users)
    causes = dict(columns.unreadable)
    assert causes.keys() == damaged.keys()
    assert "dimension 8 was needed" in causes["dimension"]
    assert "got 3" in causes["optimiser"]


def test_a_batch_without_any_readable_user_has_no_rows() -> None:
    columns = user_columns([StoredUser("bad", b"bad", 3)])
    assert len(columns) == 0
    assert columns.norms.tolist() == []
    assert columns.consumed().values.tolist() == []
    assert [name for name, _ in columns.unreadable] == ["bad"]
    assert len(user_columns([])) == 0


def test_the_dimension_of_the_first_batch_is_needed_in_all() -> None:
    small, large = encode_user_state(new_user_state(8, 0)), encode_user_state(new_user_state(16, 0))
    users = [StoredUser("bad", b"", None), StoredUser("a", small, None), StoredUser("b", large, None)]
    batches = list(column_batches(users, 1))
    assert [len(batch) for batch in batches] == [0, 1, 0]
    assert batches[2].unreadable[0][0] == "b"


def test_the_columns_know_the_layout_of_a_header_to_its_last_byte() -> None:
    blob = encode_user_state(new_user_state(0, 0))
    assert module._HEADER.itemsize == len(blob)
