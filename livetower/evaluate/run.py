"""One evaluation from settings to figures: the recommender over a stream, and what it is compared with."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from livetower.evaluate.baselines.ease import ease_ranks
from livetower.evaluate.baselines.isgd import isgd_ranks, raisgd_ranks
from livetower.evaluate.baselines.item_neighbours import item_neighbour_ranks
from livetower.evaluate.baselines.popularity import popularity_ranks
from livetower.evaluate.columns import Columns, columns_of
from livetower.evaluate.ratings import RatingErrors, RatingQuality
from models.evaluation import Quality, quality
from models.learning import Ints
from models.prequential import NOT_SCORED, LocalJob, prequential_ranks
from models.records import Interaction, Item
from models.settings import ModelSettings, TowerSettings

WARM_UP, EARLY_END = 0.1, 0.4
POPULARITY_HALF_LIFE = 20_000.0

Begin = Callable[[str, int], Callable[[int], None]]
"""Begins a step of so many events under this name; returns what to call with the number done."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Quality on the reported stream [10%, 100%], on [10%, 40%] where settings may be chosen, and on [40%, 100%]."""

    reported: Quality
    early: Quality
    late: Quality


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `livetower evaluate` prints."""

    events: int
    users: int
    items: int
    events_per_s: float
    recommender: Parts
    baselines: dict[str, Parts]  # by the names of the JSON keys
    ratings: RatingQuality | None  # under squared error, where there are ratings


def evaluate(
    events: Sequence[Interaction],
    model: ModelSettings,
    tower: TowerSettings,
    catalogue: Sequence[Item] = (),
    *,
    all_baselines: bool,
    begin: Begin,
) -> Evaluation:
    """Run the recommender, which may know a catalogue before the first event, and the baselines over a stream that is
    in the order of the protocol.
    """
    started = time.perf_counter()
    errors = RatingErrors() if model.loss == "mse" else None
    test = None if errors is None else errors.test
    ranks = prequential_ranks(LocalJob(model, tower, catalogue), events, begin("recommender", len(events)), test)
    elapsed = time.perf_counter() - started
    positive = np.array([model.is_positive(event.event_type) for event in events], np.bool_)
    columns = columns_of([event for event in events if model.is_positive(event.event_type)])
    return Evaluation(
        events=len(events),
        users=columns.n_users,
        items=columns.n_items,
        events_per_s=len(events) / elapsed,
        recommender=parts(ranks[positive]),
        baselines={name: parts(found) for name, found in baseline_ranks(columns, all_baselines, begin).items()},
        ratings=None if errors is None else errors.quality(int(WARM_UP * len(events))),
    )


def baseline_ranks(columns: Columns, all_baselines: bool, begin: Begin) -> dict[str, Ints]:
    """Ranks (n,) of each baseline, by name."""
    runs: dict[tuple[str, ...], Callable[[], list[Ints]]] = {
        ("popularity",): lambda: [popularity_ranks(columns)],
        ("popularity_decayed",): lambda: [popularity_ranks(columns, POPULARITY_HALF_LIFE)],
        ("isgd",): lambda: [isgd_ranks(columns)],
    }
    if all_baselines:
        runs |= {
            ("raisgd",): lambda: [raisgd_ranks(columns)],
            ("item_neighbours",): lambda: [item_neighbour_ranks(columns)],
            ("ease", "ease_recency"): lambda: ease_ranks(columns),
        }
    done = begin("baselines", len(runs))
    ranks: dict[str, Ints] = {}
    for n, (names, run) in enumerate(runs.items()):
        ranks |= zip(names, run(), strict=True)
        done(n + 1)
    return ranks


def parts(ranks: Ints) -> Parts:
    """Quality by part of the stream, of the ranks (n,) of its positive events."""
    return Parts(*(part(ranks, *bounds) for bounds in ((WARM_UP, 1.0), (WARM_UP, EARLY_END), (EARLY_END, 1.0))))


def part(ranks: Ints, start: float, end: float) -> Quality:
    """Quality of the scored events in [start, end) of the stream.

    >>> part(np.array([0, 1, 3, 0]), 0.5, 1.0).ndcg_at_10
    0.5
    """
    within = ranks[int(len(ranks) * start) : int(len(ranks) * end)]
    return quality(within[within != NOT_SCORED])
