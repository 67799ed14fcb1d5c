"""The made-up users of `livetower.bench.make_state`, and how its job's trouble ends it."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from livetower.bench.errors import BenchError
from livetower.bench.fill_job import FILL
from livetower.bench.made_up_users import item_hashes, item_name, made_up_user, user_name
from livetower.bench.make_state import event_records, fill_records, item_records, require_no_trouble
from livetower.demo.job_health import JobHealth
from models.hashing import hash_id
from models.records import parse_interaction, parse_item
from models.settings import ModelSettings
from models.user_state import decode_user_state, encode_user_state

MODEL = ModelSettings()
HASHES = item_hashes(500)


def test_a_made_up_user_is_the_same_each_time_and_another_than_its_neighbour():
    blobs = [encode_user_state(made_up_user(n, HASHES, MODEL)) for n in (7, 7, 8)]
    assert blobs[0] == blobs[1] != blobs[2]


def test_a_made_up_user_goes_through_its_bytes_and_keeps_to_the_bounds_of_the_model():
    for number in range(200):
        user = made_up_user(number, HASHES, MODEL)
        assert encode_user_state(decode_user_state(encode_user_state(user))) == encode_user_state(user)
        assert user.embedding.shape == (MODEL.dimension,)
        assert len(user.recent) == min(user.user_seq, MODEL.recent_items)
        assert len(user.consumed) + user.forgotten == user.user_seq
        assert len(user.event_ids) == min(user.user_seq, MODEL.dedup_max)
        assert set(user.recent.tolist()) <= set(user.consumed.tolist()) <= set(HASHES.tolist())
        assert (np.diff(user.recent_ms) <= 0).all()


def test_made_up_users_have_the_size_of_real_ones():
    sizes = [len(encode_user_state(made_up_user(n, item_hashes(10_000), MODEL))) for n in range(300)]
    assert 1_900 < np.mean(sizes) < 2_500


def test_items_hash_as_the_job_hashes_their_ids():
    assert HASHES[7] == hash_id("item-00007") == hash_id(item_name(7))


def test_a_fill_record_asks_for_the_user_of_its_key():
    assert list(fill_records(2)) == [(b"user-0000000", FILL + b"0"), (b"user-0000001", FILL + b"1")]
    assert user_name(1) == "user-0000001"


def test_the_job_takes_every_item_and_event():
    for key, value in item_records(30):
        assert parse_item(key, value, max_bytes=65_536).item_id == key.decode()
    events = [
        parse_interaction(value, 2**53, max_bytes=65_536, future_tolerance_ms=0)
        for _, value in event_records(60, 6, 40)
    ]
    assert len({event.event_id for event in events}) == 60
    assert Counter(event.user_id for event in events) == {user_name(n): 10 for n in range(6)}
    categories = {event.user_id: set() for event in events}
    for event in islice(events, 60):
        categories[event.user_id].add(int(event.item_id.removeprefix("item-")) % 20)
    assert all(len(each) == 1 for each in categories.values())


# ---- trouble -------------------------------------------------------------------------------------


def health(state: str, *causes: str) -> JobHealth:
    answers = {
        "/jobs/j": {"state": state},
        "/jobs/j/exceptions": {"exceptionHistory": {"entries": [{"stacktrace": cause} for cause in causes]}},
    }
    return JobHealth(answers.__getitem__, "j")


def test_a_healthy_job_is_waited_for():
    for state in ("INITIALIZING", "CREATED", "RUNNING"):
        require_no_trouble(health(state), 0)


@pytest.mark.parametrize("state", ["RUNNING", "RESTARTING", "FAILED"])
def test_a_job_that_has_failed_once_ends_the_wait(state):
    with pytest.raises(BenchError, match=f"job j is {state}: .*no such attribute"):
        require_no_trouble(health(state, "AttributeError: no such attribute"), 0)


def test_a_job_that_ended_ends_the_wait():
    with pytest.raises(BenchError, match="job j is CANCELED"):
        require_no_trouble(health("CANCELED"), 0)


def test_a_rejected_record_ends_the_wait():
    with pytest.raises(BenchError, match="3 are on the topic `rejected`"):
        require_no_trouble(health("RUNNING"), 3)
