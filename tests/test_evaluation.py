"""The measures of quality, by hand."""

import math

import numpy as np
import pytest

from models.evaluation import MISS, Quality, quality, rank_of

SCORES = np.array([5, 3, 3, 3, 1, np.nan], np.float32)
NOBODY = np.zeros(6, np.bool_)


@pytest.mark.parametrize(
    ("row", "rank"),
    [(0, 1), (1, 3), (2, 3), (3, 3), (4, 5)],  # two equals of row 1: 1 + one greater + ceil(2 / 2)
)
def test_equal_scores_share_the_middle_of_their_ranks(row: int, rank: int) -> None:
    assert rank_of(SCORES, NOBODY, row) == rank


def test_an_odd_number_of_equals_is_rounded_against_the_item() -> None:
    assert rank_of(np.array([2, 2, 2, 2], np.float32), NOBODY[:4], 0) == 3  # ceil(3 / 2) = 2


def test_excluded_items_do_not_count() -> None:
    assert rank_of(SCORES, np.array([True, True, True, False, False, False]), 4) == 2


def test_an_unseen_item_and_a_score_that_is_no_number_are_misses() -> None:
    assert rank_of(SCORES, NOBODY, -1) == MISS
    assert rank_of(SCORES, NOBODY, 5) == MISS


def test_quality_counts_a_hit_down_to_rank_ten() -> None:
    q = quality(np.array([1, 2, 10, 11, MISS]))
    assert (q.events, q.hit_at_10) == (5, 3 / 5)
    assert q.ndcg_at_10 == pytest.approx((1 + 1 / math.log2(3) + 1 / math.log2(11)) / 5)
    assert q.mrr == pytest.approx((1 + 1 / 2 + 1 / 10 + 1 / 11) / 5)


def test_no_events_have_quality_zero() -> None:
    assert quality(np.zeros(0, np.int64)) == Quality(0, 0.0, 0.0, 0.0)
