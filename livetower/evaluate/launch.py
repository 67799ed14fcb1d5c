"""LAUNCH: how soon items that appear in the middle of a stream are recommended.

A fifth of the items, drawn at random, launch at a random place within [20%, 80%] of the stream and lose the events they
had before. Cold is an event on a launched item with 0 to 4 earlier ones. Candidates are the whole catalogue from the
first event on. The same stream is run once more with nothing of an item but its id, and with no popularity lent to cold
items: that run says what showing them costs everybody else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from livetower.evaluate.run import WARM_UP, Begin, part
from models.learning import Ints
from models.prequential import NOT_SCORED, LocalJob, prequential_ranks
from models.records import Interaction, Item
from models.settings import ModelSettings, TowerSettings

LAUNCHED_SHARE = 0.2
FIRST_LAUNCH, LAST_LAUNCH = 0.2, 0.8
COLD_EVENTS = 5


@dataclass(frozen=True, slots=True)
class Launch:
    """One run, or several pooled: each figure a mean over its events."""

    seed: int | None
    cold_events: int
    cold_hit_at_50: float
    cold_hit_at_10: float
    first_events: int
    first_hit_at_50: float
    events: int
    ndcg_at_10: float
    ndcg_at_10_without_content: float


def evaluate_launch(
    events: Sequence[Interaction],
    items: Sequence[Item],
    model: ModelSettings,
    tower: TowerSettings,
    *,
    seed: int,
    begin: Begin,
) -> Launch:
    """Both runs of the protocol for one seed of the launches, of the model and of the tower."""
    model, tower = replace(model, seed=seed), replace(tower, seed=seed)
    stream, earlier = launch_stream(events, np.random.default_rng(seed))
    named = [replace(item, title="") for item in items]  # title words are not in the protocol
    ranks = prequential_ranks(LocalJob(model, tower, named), stream, begin(f"seed {seed}", len(stream)))
    nothing = [Item(item.item_id) for item in items]
    without = LocalJob(model, replace(tower, cold_popularity=0.0), nothing)
    ranks_without = prequential_ranks(without, stream, begin("no content", len(stream)))
    cold = ranks[(earlier >= 0) & (earlier < COLD_EVENTS) & (ranks != NOT_SCORED)]
    first = ranks[(earlier == 0) & (ranks != NOT_SCORED)]
    reported = part(ranks, WARM_UP, 1.0)
    return Launch(
        seed=seed,
        cold_events=len(cold),
        cold_hit_at_50=_share(cold, 50),
        cold_hit_at_10=_share(cold, 10),
        first_events=len(first),
        first_hit_at_50=_share(first, 50),
        events=reported.events,
        ndcg_at_10=reported.ndcg_at_10,
        ndcg_at_10_without_content=part(ranks_without, WARM_UP, 1.0).ndcg_at_10,
    )


def launch_stream(events: Sequence[Interaction], rng: np.random.Generator) -> tuple[list[Interaction], Ints]:
    """The stream without what launched items had before their launch, and for each event (n,) how many earlier events
    its launched item has in it; -1 for items that were always there.
    """
    ids = list(dict.fromkeys(event.item_id for event in events))
    launched = rng.choice(len(ids), round(LAUNCHED_SHARE * len(ids)), replace=False)
    places = len(events) * rng.uniform(FIRST_LAUNCH, LAST_LAUNCH, len(launched))
    launch = {ids[item]: place for item, place in zip(launched.tolist(), places.tolist(), strict=True)}
    kept = [event for at, event in enumerate(events) if at >= launch.get(event.item_id, 0)]
    counts = dict.fromkeys(launch, 0)
    earlier = np.full(len(kept), -1, np.int64)
    for at, event in enumerate(kept):
        if event.item_id in counts:
            earlier[at] = counts[event.item_id]
            counts[event.item_id] += 1
    return kept, earlier


def pooled(launches: Iterable[Launch]) -> Launch:
    """Several seeds as one: every event counts the same."""
    runs = list(launches)

    def mean(figure: str, events: str) -> float:
        weights = [getattr(run, events) for run in runs]
        return float(np.average([getattr(run, figure) for run in runs], weights=weights)) if sum(weights) else 0.0

    return Launch(
        seed=None,
        cold_events=sum(run.cold_events for run in runs),
        cold_hit_at_50=mean("cold_hit_at_50", "cold_events"),
        cold_hit_at_10=mean("cold_hit_at_10", "cold_events"),
        first_events=sum(run.first_events for run in runs),
        first_hit_at_50=mean("first_hit_at_50", "first_events"),
        events=sum(run.events for run in runs),
        ndcg_at_10=mean("ndcg_at_10", "events"),
        ndcg_at_10_without_content=mean("ndcg_at_10_without_content", "events"),
    )


def _share(ranks: Ints, within: int) -> float:
    return float((ranks <= within).mean()) if len(ranks) else 0.0
