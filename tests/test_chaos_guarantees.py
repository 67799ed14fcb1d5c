"""The checker of a chaos run reports what was lost, doubled or wrong: each is fed to it once, by hand."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from made_up import NOW_MS, interaction

from livetower.chaos import guarantees
from livetower.chaos.accepted import Accepted, ExpectedList, undisturbed
from livetower.chaos.guarantees import Broken, Violation
from livetower.chaos.seen_list import SeenList, digest_of
from livetower.chaos.stream import FIRST_USER
from models.hashing import hash_id
from models.settings import ModelSettings
from models.user_state import UserState

RECORD = {"rec_id": "u1:a", "items": [], "snapshot": {"epoch": 0, "age_ms": 3}, "clock": {"kafka_ms": 1}}
OTHER = RECORD | {"items": [{"item_id": "i1"}]}
EXPECTED = {"u1:a": ExpectedList("u1", 1, 10, RECORD), "u1:b": ExpectedList("u1", 2, 20, RECORD)}


def seen(rec_id: str, user_seq: int, kafka_ms: int, record: dict = RECORD) -> SeenList:
    return SeenList(rec_id, rec_id.partition(":")[0], user_seq, kafka_ms, digest_of(record))


A, B = seen("u1:a", 1, 10), seen("u1:b", 2, 20)


def broken(lists: list[SeenList], *, once: bool = False, pinned: bool = False) -> list[tuple[str, int | None]]:
    found = guarantees.in_lists(EXPECTED, lists, once=once, pinned=pinned)
    return [(violation.broken, violation.kafka_ms) for violation in found]


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("pinned", [False, True])
def test_lists_as_they_must_be_break_nothing(once, pinned):
    assert broken([A, B], once=once, pinned=pinned) == []


def test_an_event_without_a_list_is_lost():
    assert broken([A]) == [(Broken.LOST, 20)]


def test_what_is_asked_before_there_is_a_table_may_stay_without_a_list():
    expected = {f"{FIRST_USER}:a": ExpectedList(FIRST_USER, 1, 10)}
    assert list(guarantees.in_lists(expected, [], once=True, pinned=True)) == []


def test_an_event_learned_twice_is_doubled():
    assert broken([A, B, seen("u1:b", 3, 20)]) == [(Broken.DOUBLED, 20)]


def test_a_list_that_comes_again_is_doubled_only_where_each_must_come_once():
    assert broken([A, B, B]) == []
    assert broken([A, B, B], once=True) == [(Broken.DOUBLED, 20)]


def test_a_list_with_another_user_seq_is_wrong():
    assert broken([A, seen("u1:b", 3, 20)]) == [(Broken.WRONG, 20)]


def test_a_list_that_nobody_asked_for_is_wrong():
    assert broken([A, B, seen("u2:z", 1, 30)]) == [(Broken.WRONG, 30)]


def test_another_list_is_wrong_only_where_it_must_be_equal_to_the_bit():
    assert broken([seen("u1:a", 1, 10, OTHER), B]) == []
    assert broken([A, seen("u1:a", 1, 10, OTHER), B], pinned=True) == [(Broken.WRONG, 10)]


def test_a_pinned_run_judged_without_the_expected_lists_is_refused():
    expected = {"u1:a": ExpectedList("u1", 1, 10)}
    with pytest.raises(ValueError, match="u1:a"):
        list(guarantees.in_lists(expected, [A], once=False, pinned=True))


STATE = UserState(np.zeros(4, np.float32), user_seq=5, positives=3, consumed=np.array([7, 8]))
MOVED = replace(STATE, embedding=np.ones(4, np.float32), last_list=np.array([9]), no_table=2)


@pytest.mark.parametrize(
    "came",
    [
        replace(STATE, user_seq=4),
        replace(STATE, positives=4),
        replace(STATE, consumed=np.array([8, 7])),
        replace(STATE, recent=np.array([1]), recent_ms=np.array([1])),
        replace(STATE, event_ids=np.array([1])),
        replace(STATE, late=1),
    ],
    ids=["user_seq", "positives", "consumed", "recent", "event_ids", "late"],
)
@pytest.mark.parametrize("pinned", [False, True])
def test_a_state_that_differs_is_wrong(came, pinned):
    (violation,) = guarantees.in_states({"u1": STATE}, {"u1": came}, pinned=pinned)
    assert (violation.broken, violation.what[:3]) == (Broken.WRONG, "u1:")


def test_what_depends_on_the_table_must_be_equal_in_a_pinned_run_only():
    assert list(guarantees.in_states({"u1": STATE}, {"u1": MOVED}, pinned=False)) == []
    assert len(list(guarantees.in_states({"u1": STATE}, {"u1": MOVED}, pinned=True))) == 1


def test_a_user_too_few_and_a_user_too_many_are_wrong():
    assert len(list(guarantees.in_states({"u1": STATE}, {"u2": STATE}, pinned=False))) == 2


def test_an_example_that_the_tower_missed_and_one_that_it_took_twice_are_reported():
    one, two = (1, 2, 30), (1, 3, 40)
    found = list(guarantees.in_examples(Counter([one, two]), Counter([two, two])))
    assert [(violation.broken, violation.kafka_ms) for violation in found] == [
        (Broken.EXAMPLE, 30),
        (Broken.DOUBLED, 40),
    ]


def test_a_partition_that_was_not_read_to_its_end_has_lost_something():
    ends = {("t", 0): 10, ("t", 1): 4}
    assert list(guarantees.in_offsets(ends, {("t", 0): 10, ("t", 1): 4, ("other", 0): 1})) == []
    assert [v.broken for v in guarantees.in_offsets(ends, {("t", 0): 9})] == [Broken.LOST, Broken.LOST]


def test_unreadable_records_must_be_rejected_and_readable_ones_not():
    found = guarantees.in_rejected({(0, 1), (0, 2)}, [(0, 2), (0, 2), (0, 3)], once=True)
    assert [v.broken for v in found] == [Broken.LOST, Broken.DOUBLED, Broken.WRONG]
    assert list(guarantees.in_rejected({(0, 1)}, [(0, 1), (0, 1)], once=False)) == []


def test_an_undisturbed_run_counts_duplicates_once_and_bad_records_never():
    values = [
        interaction("a", "u1", "i1", event_type="like"),
        interaction("a", "u1", "i1", event_type="like"),
        b"{",
        interaction("b", "u1", "i2", event_type="skip"),
        interaction("c", "u2", None, event_type="request"),
    ]
    log = [Accepted(value, NOW_MS + n, 0, n) for n, value in enumerate(values)]
    expected = undisturbed(log, None, ModelSettings(dimension=8))
    assert {rec_id: each.user_seq for rec_id, each in expected.lists.items()} == {"u1:a": 1, "u1:b": 2, "u2:c": 1}
    assert expected.rejected == {(0, 2)}
    assert expected.states["u1"].consumed.tolist() == [hash_id("i1"), hash_id("i2")]
    assert (hash_id("u1"), hash_id("i1"), NOW_MS) in expected.examples
    assert Violation(Broken.LOST, "x") == Violation(Broken.LOST, "x", None)
