"""The index from hashes to rows against a dict, and what popularity adds to a score by hand."""

import math

import numpy as np
import pytest
from worlds import item_table

from models.item_table import (
    CLASSES,
    Popularity,
    activity_class,
    add_to_index,
    build_index,
    find_row,
    find_rows,
    log_popularity,
    with_popularity,
)


@pytest.mark.parametrize("n", [0, 1, 8, 9, 1_000])
def test_every_hash_is_found_at_its_row_and_no_other_is(n: int) -> None:
    drawn = np.random.default_rng(n).integers(-(2**63), 2**63 - 1, 2 * n)
    hashes, strangers = drawn[:n], drawn[n:]
    slots = build_index(hashes)
    assert len(slots) >= 2 * n
    assert find_rows(slots, hashes, hashes).tolist() == list(range(n))
    assert (find_rows(slots, hashes, strangers) == -1).all()


def test_hashes_that_meet_in_one_slot_are_told_apart() -> None:
    hashes = np.array([5, 5 + 16, 5 + 32, -11], np.int64)  # equal modulo 16, the number of slots
    slots = build_index(hashes[:3])
    add_to_index(slots, hashes, 3)
    assert len(slots) == 16
    assert [int(find_row(slots, hashes, h)) for h in hashes] == [0, 1, 2, 3]
    assert find_row(slots, hashes, 5 + 48) == -1


def test_classes_of_activity_begin_at_the_documented_numbers_of_events() -> None:
    begins = [0, 1, 2, 3, 5, 10, 20]
    expected = [sum(n >= begin for begin in begins) - 1 for n in range(30)]
    assert [int(activity_class(n)) for n in range(30)] == expected
    assert activity_class(10**9) == CLASSES - 1


def test_popularity_adds_the_weighted_logarithms_of_counts_and_of_cold_counts_too() -> None:
    alpha = np.zeros((CLASSES, 2), np.float32)
    alpha[3] = [1, 0.5]
    popularity = Popularity(
        counts=np.array([[4, 9], [0, 0]], np.float32),
        cold=np.array([False, True]),
        cold_counts=np.array([2, 3], np.float32),
        alpha=alpha,
        gamma=np.ones(CLASSES, np.float32),
        floor=0.5,
    )
    expected = [math.log(4.5) + 0.5 * math.log(9.5), math.log(2.5) + 0.5 * math.log(3.5)]
    np.testing.assert_allclose(log_popularity(popularity)[3], expected, rtol=1e-6)
    assert not log_popularity(popularity)[[0, 1, 2, 4, 5, 6]].any()


def test_only_available_items_are_candidates() -> None:
    available = np.array([True, False, True])
    assert item_table(3, available=available).candidates.tolist() == [0, 2]


def test_a_table_cannot_be_written_to() -> None:
    table = item_table()
    for name in ("hashes", "vectors", "biases", "available", "log_popularity"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(table, name)[:] = 0


def test_newer_popularity_keeps_the_rows_and_leaves_the_old_table_alone() -> None:
    old = item_table()
    before = old.log_popularity.copy()
    new = with_popularity(old, item_table(seed=7).popularity, 123, 456)
    assert (new.trained_events, new.created_ms) == (123, 456)
    assert new.vectors is old.vectors
    assert np.array_equal(old.log_popularity, before)
    assert np.array_equal(new.log_popularity, item_table(seed=7).log_popularity)
