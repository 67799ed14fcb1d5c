"""Hit rates of lists that are seen as they come: cases by hand, and the demo's rates, which know the stream."""

import numpy as np
import pytest

from livetower.demo.live_quality import LiveQuality
from livetower.watch.hit_rates import HitRates
from livetower.watch.live_hits import LiveHits
from livetower.watch.popularity import HIT, MISS, NOT_SCORED, PopularityTest


def test_a_list_tests_its_users_next_event():
    hits = LiveHits(length=1)
    hits.accept_event("ann:1", "ann", "x", True)
    hits.accept_list("ann:1", ["y"])
    hits.accept_event("bob:1", "bob", "x", True)
    hits.accept_event("ann:2", "ann", "y", True)  # y was never seen, so popularity misses
    assert hits.rates() == HitRates(scored=1, live_hits=1, popularity_hits=0)


def test_a_list_that_is_read_after_the_event_it_tests_counts_the_same():
    hits = LiveHits(length=1)
    hits.accept_event("ann:1", "ann", "x", True)
    hits.accept_event("ann:2", "ann", "y", True)
    hits.accept_list("ann:2", ["y"])  # the answer to the event itself is no test of it
    assert hits.rates() == HitRates(0, 0, 0)
    hits.accept_list("ann:1", ["y"])
    hits.accept_list("ann:1", ["y"])  # delivered again
    assert hits.rates() == HitRates(scored=1, live_hits=1, popularity_hits=0)


def test_an_event_sent_twice_is_one_event():
    hits = LiveHits(length=1)
    hits.accept_event("ann:1", "ann", "x", True)
    hits.accept_event("ann:1", "ann", "x", True)
    hits.accept_list("ann:1", ["y"])
    hits.accept_event("ann:2", "ann", "y", True)
    assert hits.rates() == HitRates(scored=1, live_hits=1, popularity_hits=0)


def test_a_dislike_is_not_scored_and_its_item_is_known_afterwards():
    hits = LiveHits(length=1)
    hits.accept_event("ann:1", "ann", "x", True)
    hits.accept_list("ann:1", ["y"])
    hits.accept_event("ann:2", "ann", "y", False)
    hits.accept_list("ann:2", ["y"])
    hits.accept_event("ann:3", "ann", "y", True)
    assert hits.rates() == HitRates(0, 0, 0)


def test_a_request_brings_the_list_that_the_next_event_is_tested_with():
    hits = LiveHits(length=1)
    hits.accept_event("ann:1", "ann", "x", True)
    hits.accept_list("ann:1", ["z"])
    hits.accept_event("ann:2", "ann", None, False)
    hits.accept_list("ann:2", ["y"])
    hits.accept_event("ann:3", "ann", "y", True)
    assert hits.rates() == HitRates(scored=1, live_hits=1, popularity_hits=0)


def test_memory_is_bounded_and_a_list_out_of_memory_is_not_a_miss():
    hits = LiveHits(length=1, lists_max=100)
    for n in range(1_000):
        hits.accept_event(f"u{n}:1", f"u{n}", "x", True)
        hits.accept_list(f"u{n}:1", ["y"])
    for n in range(1_000):
        hits.accept_event(f"u{n}:2", f"u{n}", "y", True)
    assert len(hits._lists) == len(hits._waiting) == 100
    assert (hits.rates().scored, hits.rates().live_hits) == (100, 100)


def test_a_user_beyond_the_newest_is_met_as_a_new_one():
    popularity = PopularityTest(length=1, users_max=1, items_max=1)
    events = [("ann", "x"), ("ann", "y"), ("bob", "x"), ("ann", "y"), ("ann", "x")]
    # Ann's second: y was never seen. Bob is new; Ann is new again; x (2) then leads y (2) by half a place: 1 + 0 + 1
    # with her own y (2) left out: x stands alone.
    assert [popularity.test_and_count(*event) for event in events] == [NOT_SCORED, MISS, NOT_SCORED, NOT_SCORED, HIT]


@pytest.mark.parametrize("seed", range(3))
def test_the_rates_are_those_of_the_demo_in_whatever_order_lists_and_events_are_read(seed: int):
    generator = np.random.default_rng(seed)
    users = [f"u{u}" for u in generator.integers(0, 8, 400)]
    items = [f"i{i}" for i in generator.geometric(0.08, 400)]
    lists = [[f"i{i}" for i in generator.geometric(0.08, 12)] for _ in users]
    late = (np.arange(400) + generator.integers(0, 60, 400)).tolist()  # a list is read up to 59 events after its own
    known, seen = LiveQuality(users, items), LiveHits()
    for n in range(460):
        for event in (e for e in range(400) if late[e] == n and e % 7):  # every seventh list never comes
            known.accept_list(event, lists[event])
            seen.accept_list(f"{users[event]}:{event}", lists[event])
        if n < 400:
            seen.accept_event(f"{users[n]}:{n}", users[n], items[n], True)
    assert seen.rates() == known.rates_so_far(0, 400)
    assert seen.rates().live_hits > 0 < seen.rates().popularity_hits
