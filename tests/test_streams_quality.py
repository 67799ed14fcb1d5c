"""What the defaults are worth on streams whose right answer is known: bursts, changes of taste, a world that stands
still.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from livetower.evaluate.baselines.popularity import popularity_ranks
from livetower.evaluate.columns import columns_of
from livetower.evaluate.run import part
from livetower.evaluate.settings import evaluation_settings
from livetower.evaluate.streams import bursty_stream, steady_stream, taste_shift_stream
from models.learning import Ints
from models.prequential import LocalJob, prequential_ranks
from models.records import Interaction
from models.settings import TowerSettings

MODEL, TOWER = evaluation_settings(None)
HALF_LIVES = (200.0, 2_000.0, 20_000.0)


def ranks_of(events: Sequence[Interaction], tower: TowerSettings = TOWER) -> Ints:
    return prequential_ranks(LocalJob(MODEL, tower), events, lambda _: None)


def test_in_bursts_the_default_loses_nothing_to_the_best_single_half_life() -> None:
    each_second = replace(TOWER, popularity_examples=100)  # popularity is announced every second; here of 100 events
    stream = bursty_stream(np.random.default_rng(1), 10_000)
    blended = part(ranks_of(stream, each_second), 0.1, 1).ndcg_at_10
    single = [part(ranks_of(stream, replace(each_second, half_lives=(h,))), 0.1, 1).ndcg_at_10 for h in HALF_LIVES]
    assert blended >= 0.98 * max(single)
    # Popularity alone has every event at once; the job's is up to a second old.
    fresh = [part(popularity_ranks(columns_of(stream), h), 0.1, 1).ndcg_at_10 for h in HALF_LIVES]
    assert max(fresh) == fresh[0]  # the stream is one of bursts: short memory is best, and far better than long
    assert fresh[0] > 2 * fresh[2]
    assert blended >= 0.98 * max(fresh)


def test_a_change_of_taste_is_recovered_within_fifty_events_of_the_user() -> None:
    stream, since_change = taste_shift_stream(np.random.default_rng(1), n_each=100, before=60, after=50)
    job, of_taste = LocalJob(MODEL, TOWER), []  # share of each list that is of the taste the user has at that moment
    for event in stream:
        listed = job.learn(event).recommendation
        tastes = [i.item_id.split("-")[0] for i in listed.items] if listed is not None else []
        of_taste.append(tastes.count(event.item_id.split("-")[0]) / MODEL.top_k)
    shares, since = np.array(of_taste), np.array(since_change)
    before, at_once, after = (
        shares[(since >= start) & (since < end)].mean() for start, end in ((-20, 0), (0, 1), (30, 50))
    )
    assert before > 0.9  # of four tastes
    assert at_once < 0.75 * before  # the change is felt …
    assert after >= 0.95 * before  # … and over


def test_in_a_steady_world_the_last_third_is_not_worse_than_the_middle_third() -> None:
    ranks = ranks_of(steady_stream(np.random.default_rng(1), 9_000))
    middle, last = part(ranks, 1 / 3, 2 / 3), part(ranks, 2 / 3, 1)
    assert middle.ndcg_at_10 > 0.05
    assert last.ndcg_at_10 >= 0.98 * middle.ndcg_at_10


@pytest.mark.parametrize("make", [bursty_stream, steady_stream])
def test_a_stream_is_the_same_for_the_same_generator(make) -> None:
    first, second = (make(np.random.default_rng(5), 500) for _ in range(2))
    assert first == second
    assert len({(e.user_id, e.item_id) for e in first}) == len(first) == 500


def test_every_user_of_a_taste_shift_has_two_tastes_one_after_the_other() -> None:
    stream, since = taste_shift_stream(np.random.default_rng(5), n_users=7, before=4, after=3)
    for user in {e.user_id for e in stream}:
        own = [(n, e.item_id.split("-")[0]) for n, e in zip(since, stream, strict=True) if e.user_id == user]
        assert [n for n, _ in own] == [-4, -3, -2, -1, 0, 1, 2]
        tastes = [taste for _, taste in own]
        assert len(set(tastes[:4])) == len(set(tastes[4:])) == 1
        assert tastes[0] != tastes[-1]
