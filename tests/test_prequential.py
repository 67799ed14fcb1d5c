"""The loop that joins user side and tower: it tests before it learns, publishes where the job does, repeats itself."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from worlds import MODEL, START_MS, TOWER, event, item_table

from livetower.evaluate.streams import bursty_stream, steady_stream
from models.evaluation import MISS
from models.hashing import hash_id
from models.prequential import NOT_SCORED, LocalJob, pinned_recommendations, prequential_ranks
from models.publishing import next_full
from models.recommender import advance
from models.records import EventType, Interaction, Item
from models.settings import TowerSettings

SETTINGS = replace(TOWER, popularity_examples=24, snapshot_examples=200)


def quiet(_done: int) -> None:
    pass


def test_a_users_first_event_is_not_scored_and_an_unknown_item_is_a_miss() -> None:
    job = LocalJob(MODEL, SETTINGS)
    events = [event(0, "i0", user="a"), event(1, "i0", user="b"), event(2, "i1", user="a"), event(3, "i1", user="b")]
    # b's i1: the table is the one after the first event, which holds i0 alone
    assert prequential_ranks(job, events, quiet).tolist() == [NOT_SCORED, NOT_SCORED, MISS, MISS]


def test_an_event_that_teaches_nothing_is_not_scored_and_makes_no_user_known() -> None:
    job = LocalJob(MODEL, SETTINGS, [Item(f"i{n}") for n in range(20)])
    kinds = (EventType.REQUEST, EventType.VIEW, EventType.SKIP, EventType.VIEW)
    ranks = prequential_ranks(job, [event(n, f"i{n}", kind) for n, kind in enumerate(kinds)], quiet)
    assert ranks[:3].tolist() == [NOT_SCORED] * 3
    assert 1 <= ranks[3] <= 20


def test_the_rank_is_the_place_in_the_list_that_the_event_before_was_answered_with() -> None:
    """Where nothing was published between two events of a user and no time passed, the rank of the second is its place
    in the answer to the first.
    """
    job = LocalJob(replace(MODEL, top_k=40), SETTINGS, [Item(f"i{n}") for n in range(40)])
    stream = [replace(e, event_time_ms=START_MS) for e in steady_stream(np.random.default_rng(0), 400)]
    places, ranks = [], []
    listed: dict[str, tuple[object, list[str]]] = {}
    for e in stream:
        e = replace(e, item_id=f"i{int(hash_id(e.item_id)) % 40}")
        rank = job.rank(e)
        table, ids = listed.get(e.user_id, (None, []))
        if table is job.table and e.item_id in ids:
            ranks.append(rank)
            places.append(ids.index(e.item_id) + 1)
        table = job.table
        recommendation = job.learn(e).recommendation
        assert recommendation is not None
        listed[e.user_id] = (table, [i.item_id for i in recommendation.items])
    assert len(places) > 20
    assert ranks == places


def test_snapshots_come_where_the_job_publishes_them() -> None:
    job = LocalJob(MODEL, SETTINGS)
    fulls, popularities = [], []
    for n, e in enumerate(steady_stream(np.random.default_rng(0), 900)):
        before, full_before = job.table, job._full
        job.learn(e)
        if job._full is not full_before:
            fulls.append(n + 1)
        elif job.table is not before:
            popularities.append(n + 1)
    points = [1]  # the first item is published at once; then each point of next_full, at the border of a batch of 8
    while (point := next_full(points[-1] if len(points) > 1 else 0, SETTINGS.snapshot_examples)) <= 900:
        points.append(-(-point // SETTINGS.batch) * SETTINGS.batch)
    assert fulls == points
    known = sorted(fulls + popularities)
    assert popularities
    assert all(b - a == SETTINGS.popularity_examples for a, b in pairwise(known[1:]) if b in popularities)


def test_a_stream_has_the_same_ranks_each_time_and_other_ranks_for_another_seed() -> None:
    stream = bursty_stream(np.random.default_rng(0), 600, n_users=40)
    first = prequential_ranks(LocalJob(MODEL, SETTINGS), stream, quiet)
    assert prequential_ranks(LocalJob(MODEL, SETTINGS), stream, quiet).tolist() == first.tolist()
    assert prequential_ranks(LocalJob(MODEL, replace(SETTINGS, seed=1)), stream, quiet).tolist() != first.tolist()


def test_the_future_changes_no_rank_before_it() -> None:
    stream = bursty_stream(np.random.default_rng(0), 500, n_users=40)
    whole = prequential_ranks(LocalJob(MODEL, SETTINGS), stream, quiet)
    half = prequential_ranks(LocalJob(MODEL, SETTINGS), stream[:250], quiet)
    assert whole[:250].tolist() == half.tolist()


def test_progress_is_told_to_the_end() -> None:
    told: list[int] = []
    prequential_ranks(LocalJob(MODEL, SETTINGS), [event(n, f"i{n}") for n in range(450)], told.append)
    assert told == [0, 200, 400, 450]


@pytest.mark.parametrize("settings", [SETTINGS, replace(SETTINGS, max_items=100)])
def test_rows_that_are_renumbered_are_published_at_once(settings: TowerSettings) -> None:
    job = LocalJob(MODEL, settings)
    stream = [Interaction(str(n), f"u{n % 9}", f"i{n}", EventType.VIEW, START_MS + n) for n in range(300)]
    ranks = prequential_ranks(job, stream, quiet)
    assert job.table is not None
    assert len(job.table.ids) <= settings.max_items
    assert set(ranks.tolist()) == {NOT_SCORED, MISS}  # every item is new


def test_pinned_recommendations_are_those_of_advance_and_a_duplicate_has_none() -> None:
    table = item_table(30)
    events = [(event(n, f"i{n}", user=f"u{n % 3}"), START_MS + 60_000 * n + 3) for n in range(12)]
    events.insert(5, events[4])
    listed = list(pinned_recommendations(table, events, MODEL))
    assert [r.trigger for r in listed] == [e.event_id for e, _ in events[:5] + events[6:]]
    state = None
    for e, kafka_ms in events:
        if e.user_id == "u0":
            state = (result := advance(state, e, table, kafka_ms, MODEL)).state
    assert listed[-3] == result.recommendation
