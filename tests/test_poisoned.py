"""What a tenth of hostile events does to the lists of everybody else, with the default settings and no rate cap."""

import numpy as np
import pytest
from poisoned import ATTACKERS, PUSHED, SHARE, Attack, Harm, camouflage, harm, noise, poisoned, push

from livetower.evaluate.streams import steady_stream
from models.records import Interaction

KEPT = 0.95
"""Of the honest users' NDCG@10 so much is left. Measured, of .068: 1.07 under the push, 1.12 under noise, 1.11 under
camouflage; the attackers' events teach popularity, too."""
PUSHED_MOST = 0.35
"""Of the honest users' lists at most so many hold the pushed item. Measured: .20 under the push, .26 under camouflage;
a list at random would hold it at .02. Attackers are no faster than other users here, so a cap per user
does not help."""


@pytest.fixture(scope="module")
def honest() -> list[Interaction]:
    return steady_stream(np.random.default_rng(1), 2_000)


@pytest.fixture(scope="module")
def undisturbed(honest) -> Harm:
    return harm(honest)


@pytest.mark.parametrize("attack", [push, noise, camouflage])
def test_a_tenth_of_hostile_events_costs_the_others_no_quality_and_buys_a_third_of_the_lists_at_most(
    honest, undisturbed, attack: Attack
):
    came = harm(poisoned(np.random.default_rng(2), honest, attack))
    assert undisturbed.ndcg_at_10 > 0.05
    assert came.ndcg_at_10 >= KEPT * undisturbed.ndcg_at_10
    assert came.pushed_share <= PUSHED_MOST


def test_the_attackers_are_a_tenth_of_the_events_and_the_honest_ones_stay_as_they_are(honest):
    events = poisoned(np.random.default_rng(2), honest, push)
    hostile = [event for event in events if event.user_id.startswith("attacker")]
    assert [event for event in events if event not in hostile] == honest
    assert len(hostile) == pytest.approx(SHARE * len(events), abs=1)
    assert len({event.user_id for event in hostile}) == ATTACKERS
    assert {event.item_id for event in hostile} == {PUSHED}
