"""What `livetower watch` and the demo show at one moment. Pure data; lines.py makes text of it, screen.py draws it.

figures.py makes it from messages, livetower/demo/run.py from a replay.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from livetower.watch.click_through import Clicks
from livetower.watch.followed import ShownList
from livetower.watch.hit_rates import HitRates


@dataclass(frozen=True, slots=True)
class SnapshotSeen:
    """The item snapshot of the newest list, and its age when that list was made."""

    name: str
    age_ms: float


@dataclass(frozen=True, slots=True)
class View:
    """None stands for what is not known (yet). Speed and freshness are those of the last seconds; counts and hit rates
    those since the beginning of what is shown.
    """

    elapsed_s: float
    part: str
    events_per_s: float
    freshness_p50_ms: float | None
    freshness_p99_ms: float | None
    snapshot: SnapshotSeen | None
    rates: HitRates
    lag: int | None
    rejected: Mapping[str, int] = field(default_factory=dict)
    by_strategy: tuple[Clicks, ...] = ()
    by_snapshot: tuple[Clicks, ...] = ()
    unknown_clicks: int = 0
    mistaken_clicks: int = 0
    shown: ShownList | None = None
    unreadable: int = 0
    """Records on the topic of recommendations that were no list."""


def snapshot_of(recommendation: Mapping[str, Any]) -> SnapshotSeen:
    """The snapshot that a record of the topic of recommendations was made with.

    >>> snapshot_of({"snapshot": {"epoch": 0, "trained_events": 2_000, "age_ms": 133}})
    SnapshotSeen(name='0-2000', age_ms=133)
    """
    snapshot = recommendation["snapshot"]
    return SnapshotSeen(f"{snapshot['epoch']}-{snapshot['trained_events']}", snapshot["age_ms"])
