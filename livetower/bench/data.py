"""What the bench sends: MovieLens-100k or a made-up stream, as records of the topics `items` and `interactions`.

Every part of a bench, and every bench, has users and event ids of its own (a prefix), so that a job which has seen
others meets nobody twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from livetower.bench.errors import BenchError
from livetower.demo.errors import DemoError
from livetower.demo.movielens import fetch_movielens, load_interactions, load_items
from livetower.demo.stream import Stream, encode_stream
from livetower.evaluate.streams import steady_stream
from livetower.sandbox.home import livetower_home

MOVIELENS, MADE_UP = "movielens-100k", "made-up"
MADE_UP_SEED = 0
TASTES, ITEMS_EACH = 4, 420  # as many items as MovieLens-100k has

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Data:
    """Records in the order in which they are sent."""

    items: Sequence[Record]
    interactions: Sequence[Record]


def load_data(source: str, n_events: int) -> Data:
    """The catalogue and the first `n_events` interactions. Raises BenchError if there are fewer."""
    data = movielens() if source == MOVIELENS else made_up(n_events)
    if len(data.interactions) < n_events:
        raise BenchError(
            f"{source}: {n_events:,} events were needed (--events, and three paced runs of --rate times --seconds); "
            f"it has {len(data.interactions):,}: ask for fewer, or take --data {MADE_UP}"
        )
    return Data(data.items, data.interactions[:n_events])


def movielens() -> Data:
    """All of MovieLens-100k; downloaded when it is missing. Raises BenchError."""
    folder = livetower_home() / "demo" / "movielens"
    try:
        fetch_movielens(folder)
    except DemoError as error:
        raise BenchError(str(error)) from error
    return Data(load_items(folder), load_interactions(folder))


def made_up(n_events: int) -> Data:
    """`n_events` of a world that never changes (evaluate/streams.py), and its items."""
    events = steady_stream(np.random.default_rng(MADE_UP_SEED), n_events, n_tastes=TASTES, n_each=ITEMS_EACH)
    interactions = [
        {
            "event_id": event.event_id,
            "user_id": event.user_id,
            "item_id": event.item_id,
            "event_type": str(event.event_type),
            "event_time_ms": event.event_time_ms,
        }
        for event in events
    ]
    return Data(
        [{"item_id": f"{taste}-{n}"} for taste in range(TASTES) for n in range(ITEMS_EACH)],
        interactions,
    )


def encode_part(interactions: Iterable[Record], prefix: str) -> Stream:
    """The interactions as they are sent, with users and event ids that begin with `prefix`.

    >>> stream = encode_part([{"event_id": "1", "user_id": "ann", "item_id": "x"}], "b7-")
    >>> stream.keys, stream.positions, stream.values
    ([b'b7-ann'], {'b7-1': 0}, [b'{"event_id":"b7-1","user_id":"b7-ann","item_id":"x"}'])
    """
    return encode_stream(
        {**record, "event_id": prefix + record["event_id"], "user_id": prefix + record["user_id"]}
        for record in interactions
    )
