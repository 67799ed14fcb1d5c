"""One user who makes all the traffic, each event with an item of its own: what its state and its events cost."""

import time
from collections import Counter
from statistics import median

from made_up import NOW_MS
from worlds import event, item_table

from models.recommender import advance
from models.settings import ModelSettings

SLOWER = 3.0
"""An event of the user at its bound takes at most so many times as long as one of its first thousands."""


def flood(n_events: int) -> str:
    """Raises AssertionError if the state passes its bound or events become slow; else says what came."""
    settings = ModelSettings(dimension=8, top_k=5, negatives=10)
    table, state, sizes = item_table(), None, Counter[int]()
    took = []
    for n in range(n_events):
        made = event(n, f"new {n}")
        began = time.perf_counter()
        state = advance(state, made, table, NOW_MS, settings).blob
        took.append(time.perf_counter() - began)
        sizes[len(state)] += 1
    at_most = 80 + 16 * settings.recent_items + 12 * settings.consumed_max
    at_most += 8 * (settings.dedup_max + settings.top_k) + 4 * settings.dimension
    assert max(sizes) == at_most
    tenth = n_events // 10
    early, late = 1e6 * median(took[:tenth]), 1e6 * median(took[-tenth:])
    assert late <= SLOWER * early
    return (
        f"{n_events} items of one user: state {max(sizes)} bytes, {early:.0f} us an event at first, {late:.0f} at last"
    )
