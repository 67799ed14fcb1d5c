"""Streams in which one event in ten is an attacker's, and what that does to everybody else's lists."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from livetower.evaluate.settings import evaluation_settings
from models.evaluation import quality
from models.prequential import NOT_SCORED, LocalJob
from models.records import EventType, Interaction
from models.settings import ModelSettings

PUSHED = "pushed"
ATTACKERS = 20
SHARE = 0.1
MODEL, TOWER = evaluation_settings(None)

Attack = Callable[[np.random.Generator, Sequence[Interaction]], str]


def push(_: np.random.Generator, honest: Sequence[Interaction]) -> str:
    """The item that every attacker's event names."""
    return PUSHED


def noise(rng: np.random.Generator, honest: Sequence[Interaction]) -> str:
    """Some item of the honest users', each equally likely for each of their events."""
    return honest[int(rng.integers(len(honest)))].item_id


def camouflage(rng: np.random.Generator, honest: Sequence[Interaction]) -> str:
    """The pushed item in one of two events, the honest users' items in the others, to pass for one of them."""
    return PUSHED if rng.random() < 0.5 else noise(rng, honest)


def poisoned(rng: np.random.Generator, honest: Sequence[Interaction], attack: Attack) -> list[Interaction]:
    """The honest events with attackers' between them, SHARE of all, from ATTACKERS users in turn."""
    events, n_attacks = [], 0
    for event in honest:
        events.append(event)
        while n_attacks < SHARE * (len(events) + 1):
            name, item = f"attacker {n_attacks % ATTACKERS}", attack(rng, honest)
            events.append(Interaction(f"a{n_attacks}", name, item, EventType.VIEW, event.event_time_ms))
            n_attacks += 1
    return events


@dataclass(frozen=True, slots=True)
class Harm:
    """What the honest users have of it, over the last nine tenths of the stream."""

    ndcg_at_10: float
    pushed_share: float  # of their lists that hold PUSHED


def harm(events: Sequence[Interaction], model: ModelSettings = MODEL) -> Harm:
    """Every honest event is tested before it is learned."""
    job, ranks, lists = LocalJob(model, TOWER), [], []
    for event in events:
        honest = not event.user_id.startswith("attacker")
        if honest:
            ranks.append(job.rank(event))
        recommendation = job.learn(event).recommendation
        if honest and recommendation is not None:
            lists.append(any(each.item_id == PUSHED for each in recommendation.items))
    tested = np.array(ranks[len(ranks) // 10 :])
    return Harm(quality(tested[tested != NOT_SCORED]).ndcg_at_10, float(np.mean(lists[len(lists) // 10 :])))
