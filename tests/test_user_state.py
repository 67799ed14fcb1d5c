"""A user's bytes: the layout by hand, the sizes that were promised, and that nothing is lost on the way."""

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from worlds import event, item_table, replay

from models.settings import ModelSettings
from models.user_state import (
    InvalidState,
    UserState,
    as_dict,
    decode_user_state,
    encode_user_state,
    new_user_state,
)

FIXTURES = Path(__file__).parent / "fixtures"
STATE = UserState(
    embedding=np.array([0.5, -2], np.float32),
    accumulator=0.125,
    user_since_ms=11,
    user_seq=9,
    positives=3,
    newest_event_ms=77,
    late=1,
    no_table=2,
    forgotten=4,
    recent=np.array([-5], np.int64),
    recent_ms=np.array([76], np.int64),
    consumed=np.array([-5, 6], np.int64),
    consumed_day=np.array([20_000, 20_001], np.uint32),
    event_ids=np.array([1, 2, 3], np.int64),
    last_list=np.array([8, 9], np.int64),
    rating_sum=7.5,
    rating_count=2,
)
HEAD = b"LTU2" + struct.pack("<HBBHHI", 2, 1, 2, 2, 3, 3) + struct.pack("<qqqdd", 11, 9, 77, 0.125, 7.5)
IDS = struct.pack("<2q", -5, 76) + struct.pack("<2q", -5, 6) + struct.pack("<3q", 1, 2, 3) + struct.pack("<2q", 8, 9)
DAYS = struct.pack("<2I", 20_000, 20_001)
BLOB = HEAD + struct.pack("<IIIIIB3x", 2, 1, 2, 4, 0, 1) + IDS + struct.pack("<2f", 0.5, -2) + DAYS
ADAM = replace(STATE, optimizer=2, moments=np.array([1, 2, 3, 4], np.float32), steps=6)
ADAM_BLOB = HEAD + struct.pack("<IIIIIB3x", 2, 1, 2, 4, 6, 2) + IDS + struct.pack("<6f", 0.5, -2, 1, 2, 3, 4) + DAYS


@pytest.mark.parametrize(("state", "blob"), [(STATE, BLOB), (ADAM, ADAM_BLOB)], ids=["adagrad", "adam"])
def test_a_state_is_laid_out_as_documented(state: UserState, blob: bytes) -> None:
    assert encode_user_state(state) == blob
    assert decode_user_state(blob) == state


def test_numbers_of_a_stored_state_lie_at_multiples_of_their_size() -> None:
    """Kernels are compiled for what they are called with: otherwise stored states would need others than new ones."""
    for state in (decode_user_state(ADAM_BLOB), decode_user_state((FIXTURES / "user_state_1.bin").read_bytes())):
        for name, value in as_dict(state).items():
            assert not isinstance(value, np.ndarray) or value.flags.aligned, name


def test_a_decoded_state_cannot_be_written_to() -> None:
    state = decode_user_state(BLOB)
    for name, value in as_dict(state).items():
        assert not isinstance(value, np.ndarray) or not value.flags.writeable, name


@given(st.data())
def test_any_state_comes_back_from_its_bytes(data: st.DataObject) -> None:
    def numbers(dtype: type, at_most: int) -> np.ndarray:
        return data.draw(arrays(dtype, st.integers(0, at_most)))

    count = st.integers(0, 2**32 - 1)
    k, optimizer = data.draw(st.integers(1, 64)), data.draw(st.integers(0, 2))
    recent, consumed = numbers(np.int64, 255), numbers(np.int64, 64)
    state = UserState(
        embedding=data.draw(arrays(np.float32, k, elements={"allow_nan": False})),
        accumulator=data.draw(st.floats(allow_nan=False)),
        user_since_ms=data.draw(st.integers(0, 2**63 - 1)),
        user_seq=data.draw(st.integers(0, 2**63 - 1)),
        positives=data.draw(count),
        newest_event_ms=data.draw(st.integers(0, 2**63 - 1)),
        late=data.draw(count),
        no_table=data.draw(count),
        forgotten=data.draw(count),
        recent=recent,
        recent_ms=data.draw(arrays(np.int64, len(recent))),
        consumed=consumed,
        consumed_day=data.draw(arrays(np.uint32, len(consumed))),
        event_ids=numbers(np.int64, 32),
        last_list=numbers(np.int64, 255),
        rating_sum=data.draw(st.floats(allow_nan=False)),
        rating_count=data.draw(count),
        optimizer=optimizer,
        moments=data.draw(arrays(np.float32, 2 * k if optimizer == 2 else 0, elements={"allow_nan": False})),
        steps=data.draw(count),
    )
    back = decode_user_state(encode_user_state(state))
    for name, value in as_dict(state).items():
        assert np.array_equal(getattr(back, name), value), name


def test_a_user_with_100_events_takes_at_most_2304_bytes() -> None:
    table = item_table(200, dimension=64)
    state = replay([event(n, f"i{n}") for n in range(100)], table, ModelSettings())[-1].state
    assert (state.user_seq, len(state.consumed), len(state.recent), len(state.last_list)) == (100, 100, 20, 10)
    assert len(encode_user_state(state)) == 2_192


def test_a_users_size_stops_growing_at_1024_consumed_items() -> None:
    state = replay([event(n, f"i{n}") for n in range(1_100)], None, ModelSettings())[-1].state
    assert len(encode_user_state(state)) + 10 * 8 == 13_280  # without a table there is no last list
    assert (len(state.consumed), state.forgotten) == (1_024, 76)


def test_states_are_equal_by_content() -> None:
    assert new_user_state(3, 5) == new_user_state(3, 5)
    assert new_user_state(3, 5) != new_user_state(3, 6)
    assert new_user_state(3, 5) != "a state"


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"LTU1",
        b"LTU2",
        b"LTU3" + BLOB[4:],
        b"LTU1" + BLOB[4:],
        BLOB[:-1],
        BLOB + b"\0",
        BLOB[:8] + b"\xff\xff" + BLOB[10:],
        BLOB[:76] + b"\3" + BLOB[77:],
        BLOB[:76] + b"\2" + BLOB[77:],
    ],
    ids=[
        "empty",
        "old magic alone",
        "magic alone",
        "another version",
        "an old version that it is not",
        "a byte short",
        "a byte long",
        "a count that lies",
        "an unknown optimiser",
        "an optimiser without its moments",
    ],
)
def test_broken_bytes_are_no_state(broken: bytes) -> None:
    with pytest.raises(InvalidState):
        decode_user_state(broken)
