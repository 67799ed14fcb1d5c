"""A user's bytes: the layout by hand, the sizes that were promised, and that nothing is lost on the way."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from worlds import event, item_table, replay

from models.settings import ModelSettings
from models.user_state import InvalidState, UserState, as_dict, decode_user_state, encode_user_state, new_user_state

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
)
BLOB = b"".join(
    [
        b"LTU1",
        struct.pack("<HBBHH", 2, 1, 2, 2, 3),
        struct.pack("<I", 3),
        struct.pack("<qqqd", 11, 9, 77, 0.125),
        struct.pack("<III", 1, 2, 4),
        struct.pack("<2f", 0.5, -2),
        struct.pack("<2q", -5, 76),
        struct.pack("<2q2I", -5, 6, 20_000, 20_001),
        struct.pack("<3q", 1, 2, 3),
        struct.pack("<2q", 8, 9),
    ]
)


def test_a_state_is_laid_out_as_documented() -> None:
    assert encode_user_state(STATE) == BLOB
    assert decode_user_state(BLOB) == STATE


def test_a_decoded_state_cannot_be_written_to() -> None:
    state = decode_user_state(BLOB)
    for name, value in as_dict(state).items():
        assert not isinstance(value, np.ndarray) or not value.flags.writeable, name


@given(st.data())
def test_any_state_comes_back_from_its_bytes(data: st.DataObject) -> None:
    def numbers(dtype: type, at_most: int) -> np.ndarray:
        return data.draw(arrays(dtype, st.integers(0, at_most)))

    count = st.integers(0, 2**32 - 1)
    recent, consumed = numbers(np.int64, 255), numbers(np.int64, 64)
    state = UserState(
        embedding=data.draw(arrays(np.float32, st.integers(1, 64), elements={"allow_nan": False})),
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
    )
    back = decode_user_state(encode_user_state(state))
    for name, value in as_dict(state).items():
        assert np.array_equal(getattr(back, name), value), name


def test_a_user_with_100_events_takes_at_most_2304_bytes() -> None:
    table = item_table(200, dimension=64)
    state = replay([event(n, f"i{n}") for n in range(100)], table, ModelSettings())[-1].state
    assert (state.user_seq, len(state.consumed), len(state.recent), len(state.last_list)) == (100, 100, 20, 10)
    assert len(encode_user_state(state)) == 2_172


def test_a_users_size_stops_growing_at_1024_consumed_items() -> None:
    state = replay([event(n, f"i{n}") for n in range(1_100)], None, ModelSettings())[-1].state
    assert len(encode_user_state(state)) + 10 * 8 == 13_260  # without a table there is no last list
    assert (len(state.consumed), state.forgotten) == (1_024, 76)


def test_states_are_equal_by_content() -> None:
    assert new_user_state(3, 5) == new_user_state(3, 5)
    assert new_user_state(3, 5) != new_user_state(3, 6)
    assert new_user_state(3, 5) != "a state"


@pytest.mark.parametrize(
    "broken",
    [b"", b"LTU1", b"LTU2" + BLOB[4:], BLOB[:-1], BLOB + b"\0", BLOB[:8] + b"\xff\xff" + BLOB[10:]],
    ids=["empty", "magic alone", "another version", "a byte short", "a byte long", "a count that lies"],
)
def test_broken_bytes_are_no_state(broken: bytes) -> None:
    with pytest.raises(InvalidState):
        decode_user_state(broken)
