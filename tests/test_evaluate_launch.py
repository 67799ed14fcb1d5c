"""The protocol of launched items, and that content brings them to those they suit."""

from dataclasses import replace

import numpy as np
import pytest

from livetower.evaluate.launch import Launch, evaluate_launch, launch_stream, pooled
from livetower.evaluate.settings import evaluation_settings
from livetower.evaluate.streams import steady_stream
from models.records import Item

STREAM = steady_stream(np.random.default_rng(0), 3_000, n_active=30, life=40, n_each=60)
MODEL, TOWER = evaluation_settings(None, ["model.dimension=16", "model.negatives=20", "tower.negatives=20"])


def quietly(_name: str, _total: int):
    return lambda _done: None


def test_a_fifth_of_the_items_launch_and_lose_what_they_had_before() -> None:
    kept, earlier = launch_stream(STREAM, np.random.default_rng(1))
    ids = {e.item_id for e in STREAM}
    launched = {e.item_id for e, n in zip(kept, earlier.tolist(), strict=True) if n >= 0}
    always = [e for e in STREAM if e.item_id not in launched]
    lost = len(STREAM) - len(kept)
    assert len(launched) == pytest.approx(0.2 * len(ids), abs=3)  # one whose events all came before is never seen
    assert [e for e in kept if e.item_id not in launched] == [e for e in always if e in set(kept)]
    assert 0.06 * len(STREAM) < lost < 0.14 * len(STREAM)  # half of the events of a fifth of the items
    for item in launched:
        own = [n for e, n in zip(kept, earlier.tolist(), strict=True) if e.item_id == item]
        assert own == list(range(len(own)))
        events = [e for e in STREAM if e.item_id == item]
        assert [e for e in kept if e.item_id == item] == events[len(events) - len(own) :]
    first = min(at for at, e in enumerate(STREAM) if e.item_id in launched and e in set(kept))
    assert first >= 0.2 * len(STREAM)


def test_pooled_figures_weigh_every_event_the_same() -> None:
    one = Launch(0, 10, 0.5, 0.1, 2, 1.0, 100, 0.2, 0.3)
    two = Launch(1, 30, 0.1, 0.0, 0, 0.0, 300, 0.4, 0.1)
    assert pooled([one, two]) == Launch(None, 40, 0.2, 0.025, 2, 1.0, 400, pytest.approx(0.35), pytest.approx(0.15))


def test_content_brings_launched_items_to_those_they_suit() -> None:
    items = [Item(i, title="a title", tags=(i.split("-")[0],)) for i in dict.fromkeys(e.item_id for e in STREAM)]
    tower = replace(TOWER, content_every=100, content_warm_events=5, half_lives=(2_000.0,))
    told = evaluate_launch(STREAM, items, MODEL, tower, seed=0, begin=quietly)
    untold = evaluate_launch(STREAM, [Item(i.item_id) for i in items], MODEL, tower, seed=0, begin=quietly)
    assert (told.cold_events, told.first_events) == (untold.cold_events, untold.first_events)
    assert told.first_events <= told.cold_events
    assert told.cold_hit_at_50 > 1.15 * untold.cold_hit_at_50  # 50 of 240 items, of which 60 are of a user's taste
    assert told.ndcg_at_10_without_content == untold.ndcg_at_10_without_content
    assert evaluate_launch(STREAM, items, MODEL, tower, seed=0, begin=quietly) == told
