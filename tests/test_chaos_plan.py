"""A chaos run is drawn from its seed: kinds, order, events."""

from collections import Counter

import pytest

from livetower.chaos.plan import EVENTS_A_LEG, ONLY_LIVE, Kind, Mode, deal_legs
from livetower.chaos.stream import MadeUpStream
from models.records import InvalidRecord, parse_interaction

NOW_MS = 1_760_000_000_000


def dealt(seed: int, faults: int, events: int = 50_000, mode: Mode = Mode.IDEMPOTENT) -> Counter[Kind]:
    return Counter(kind for leg in deal_legs(seed, faults, events, mode) for kind in leg.faults)


@pytest.mark.parametrize("seed", range(20))
def test_the_short_form_has_every_kind_but_that_of_transactions(seed):
    assert dealt(seed, 20).keys() == set(Kind) - {Kind.COMMIT}


@pytest.mark.parametrize("seed", range(20))
def test_exactly_once_has_the_kill_before_the_commit_and_never_goes_back_behind_what_was_read(seed):
    assert dealt(seed, 20, mode=Mode.EXACTLY_ONCE).keys() == set(Kind) - {Kind.CHECKPOINT}


def test_the_same_seed_deals_the_same_and_another_another_order():
    one, again, other = (deal_legs(seed, 20, 50_000, Mode.IDEMPOTENT) for seed in (1, 1, 2))
    assert one == again
    assert [leg.faults for leg in one] != [leg.faults for leg in other]


@pytest.mark.parametrize(("faults", "events"), [(1, 100), (20, 50_000), (100, 250_000), (3, 90_001)])
def test_all_faults_and_events_are_dealt_and_no_leg_learns_more_than_the_towers_log_holds(faults, events):
    legs = deal_legs(5, faults, events, Mode.IDEMPOTENT)
    assert sum(leg.events for leg in legs) == events
    assert max(leg.events for leg in legs) <= EVENTS_A_LEG
    assert sum(len(leg.faults) for leg in legs) >= faults
    assert [leg.number for leg in legs] == list(range(1, len(legs) + 1))


def test_legs_take_turns_and_a_pinned_one_has_no_fault_that_it_would_not_feel():
    legs = deal_legs(3, 60, 100_000, Mode.IDEMPOTENT)
    assert [leg.pinned for leg in legs] == [n % 2 == 1 for n in range(len(legs))]
    assert not any(ONLY_LIVE & set(leg.faults) for leg in legs if leg.pinned)


def test_rescaling_goes_there_and_back_in_a_whole_leg():
    assert deal_legs(1, 40, 50_000, Mode.IDEMPOTENT)[0].faults.count(Kind.RESCALE) == 2


def test_the_stream_repeats_every_tenth_event_and_holds_records_that_cannot_be_read():
    stream = MadeUpStream(1)
    records = [record for n in range(1_000) for record in stream.event(NOW_MS + n)]
    unreadable, ids = 0, Counter()
    for record in records:
        try:
            event = parse_interaction(record.value, NOW_MS, max_bytes=65_536, future_tolerance_ms=300_000)
        except InvalidRecord:
            unreadable += 1
            continue
        assert event.user_id.encode() == record.key
        ids[event.event_id] += 1
    assert (unreadable, len(ids)) == (20, 1_000)
    assert sorted(ids.values()) == [1] * 900 + [2] * 100


def test_the_same_seed_gives_the_same_stream():
    one, again = MadeUpStream(4), MadeUpStream(4)
    assert [one.event(NOW_MS) for _ in range(100)] == [again.event(NOW_MS) for _ in range(100)]
    assert one.request(NOW_MS) == again.request(NOW_MS)
