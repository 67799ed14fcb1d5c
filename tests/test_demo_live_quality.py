"""Scoring of live lists and of popularity, against cases worked out by hand and a slow reading of the protocol."""

import numpy as np
import pytest

from livetower.demo.live_quality import LiveQuality, next_events, popularity_hits
from livetower.watch.hit_rates import HitRates
from livetower.watch.popularity import HIT, MISS, NOT_SCORED

#            0      1      2      3      4      5
USERS = ["ann", "bob", "ann", "bob", "ann", "cat"]
ITEMS = ["x", "x", "y", "z", "z", "x"]
# Scored: 2 (Ann's second), 3 (Bob's second), 4 (Ann's third). First events of ann, bob, cat are not.
# Popularity with lists of one item:
#   2: counts x2; Ann has x, and y was never seen           -> miss
#   3: counts x2 y1; Bob has x; y is first and z never seen -> miss
#   4: counts x2 y1 z1; Ann has x and y; z is alone         -> hit


def test_popularity_is_scored_as_worked_out_by_hand():
    assert popularity_hits(USERS, ITEMS, length=1).tolist() == [NOT_SCORED, NOT_SCORED, MISS, MISS, HIT, NOT_SCORED]


def test_a_list_tests_the_next_event_of_its_user():
    quality = LiveQuality(USERS, ITEMS, length=1)
    quality.accept_list(0, ["y"])  # Ann's event 2 is y: hit
    quality.accept_list(1, ["z"])  # Bob's event 3 is z: hit
    quality.accept_list(2, ["w"])  # Ann's event 4 is z: miss
    assert quality.rates(0, 6) == HitRates(scored=3, live_hits=2, popularity_hits=1)


def test_the_answer_to_an_event_is_never_used_for_that_event():
    quality = LiveQuality(USERS, ITEMS, length=1)
    for event, item in enumerate(ITEMS):  # a cheat: every list holds exactly the item of its own event
        quality.accept_list(event, [item])
    assert quality.rates(0, 6).live_hits == 0


def test_an_event_without_a_list_is_a_miss_and_is_not_skipped():
    quality = LiveQuality(USERS, ITEMS, length=1)
    quality.accept_list(0, ["y"])
    quality.accept_list(2, ["z"])
    assert quality.rates(0, 6) == HitRates(scored=3, live_hits=2, popularity_hits=1)  # Bob's event 3 had no list


def test_an_older_list_does_not_stand_in_for_a_missing_one():
    quality = LiveQuality(USERS, ITEMS, length=1)
    quality.accept_list(0, ["z"])  # would have been right for Ann's event 4, but the answer to event 2 is missing
    assert quality.rates(4, 5) == HitRates(scored=1, live_hits=0, popularity_hits=1)


def test_without_any_list_all_rates_are_numbers():
    rates = LiveQuality(USERS, ITEMS, length=1).rates(0, 6)
    assert (rates.live, rates.popularity, rates.ratio) == (0.0, pytest.approx(1 / 3), 0.0)


def test_where_nothing_is_scored_there_is_no_rate():
    assert (HitRates(0, 0, 0).live, HitRates(0, 0, 0).popularity, HitRates(0, 0, 0).ratio) == (None, None, None)
    assert HitRates(scored=5, live_hits=2, popularity_hits=0).ratio is None


def test_a_list_delivered_again_changes_nothing_even_if_it_is_better():
    quality = LiveQuality(USERS, ITEMS, length=1)
    assert quality.accept_list(0, ["w"]) is True
    assert quality.accept_list(0, ["y"]) is False
    assert quality.rates(0, 6).live_hits == 0
    assert quality.repeated == 1
    assert quality.answered(0, 6) == 1


def test_only_the_first_places_of_a_longer_list_count():
    quality = LiveQuality(USERS, ITEMS, length=2)
    quality.accept_list(0, ["a", "y"])
    quality.accept_list(1, ["a", "b", "z"])
    assert quality.rates(0, 6).live_hits == 1


def test_a_repeated_pair_is_scored_for_neither_side():
    quality = LiveQuality(["ann", "ann", "ann"], ["x", "x", "y"], length=1)
    quality.accept_list(0, ["x"])
    quality.accept_list(1, ["y"])
    assert quality.rates(0, 3) == HitRates(scored=1, live_hits=1, popularity_hits=0)


def test_so_far_counts_only_events_whose_list_has_arrived_for_both_sides():
    quality = LiveQuality(USERS, ITEMS, length=1)
    quality.accept_list(2, ["z"])
    assert quality.rates_so_far(0, 6) == HitRates(scored=1, live_hits=1, popularity_hits=1)
    quality.accept_list(0, ["w"])
    assert quality.rates_so_far(0, 6) == HitRates(scored=2, live_hits=1, popularity_hits=1)


def test_a_part_is_scored_with_the_past_of_the_whole_stream():
    quality = LiveQuality(USERS, ITEMS, length=1)
    quality.accept_list(2, ["z"])  # sent in the first part, tests an event of the second
    assert quality.rates(4, 6) == HitRates(scored=1, live_hits=1, popularity_hits=1)
    assert quality.rates(0, 4) == HitRates(scored=2, live_hits=0, popularity_hits=0)


def test_equal_counts_share_their_places():
    # Four items with one event each; Dan has none of them but d. For length 1: 1 + 0 + ceil(2 / 2) = 2 -> miss; for
    # length 2 -> hit.
    users, items = ["ann", "bob", "cat", "dan", "dan"], ["a", "b", "c", "d", "a"]
    assert popularity_hits(users, items, length=1)[4] == MISS
    assert popularity_hits(users, items, length=2)[4] == HIT


def random_stream(seed: int) -> tuple[list[str], list[str]]:
    generator = np.random.default_rng(seed)
    users = [f"u{u}" for u in generator.integers(0, 8, 400)]
    items = [f"i{i}" for i in generator.geometric(0.08, 400)]  # a few items are popular, many are rare, pairs repeat
    return users, items


def slow_popularity_hit(users: list[str], items: list[str], event: int, length: int) -> int:
    """The protocol read aloud, from the whole past of one event."""
    own = {i for u, i in zip(users[:event], items[:event], strict=True) if u == users[event]}
    if not own or items[event] in own:
        return NOT_SCORED
    counts = {i: items[:event].count(i) for i in set(items[:event]) - own}
    if items[event] not in counts:
        return MISS
    mine = counts.pop(items[event])
    rank = 1 + sum(c > mine for c in counts.values()) + -(-sum(c == mine for c in counts.values()) // 2)
    return HIT if rank <= length else MISS


@pytest.mark.parametrize("seed", range(3))
def test_popularity_equals_a_slow_reading_of_the_protocol(seed: int):
    users, items = random_stream(seed)
    slow = [slow_popularity_hit(users, items, event, 5) for event in range(len(users))]
    assert {NOT_SCORED, MISS, HIT} == set(slow)
    assert popularity_hits(users, items, length=5).tolist() == slow


@pytest.mark.parametrize("seed", range(3))
def test_the_order_in_which_lists_arrive_changes_nothing(seed: int):
    users, items = random_stream(seed)
    generator = np.random.default_rng(seed + 100)
    lists = [[f"i{i}" for i in generator.geometric(0.08, 12)] for _ in users]
    in_order, shuffled = LiveQuality(users, items), LiveQuality(users, items)
    for event in range(len(users)):
        in_order.accept_list(event, lists[event])
    for event in generator.permutation(len(users)).tolist():
        shuffled.accept_list(event, lists[event])
    following = next_events(users)
    hits = sum(
        items[following[e]] in lists[e][:10]
        and items[following[e]] not in {i for u, i in zip(users[: following[e]], items, strict=False) if u == users[e]}
        for e in range(len(users))
        if following[e] >= 0
    )
    assert in_order.rates(0, 400).live_hits == hits > 0
    assert shuffled.rates(0, 400) == in_order.rates(0, 400)
    assert in_order.rates_so_far(0, 400) == in_order.rates(0, 400)
