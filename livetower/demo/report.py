"""The summary that the demo ends with, and whether its targets are met. Pure: numbers in, text out."""

from collections.abc import Sequence
from dataclasses import dataclass

from livetower.watch.hit_rates import HitRates
from livetower.watch.lines import format_ms, format_rate

# What a first run on two shared cores must show.
TARGET_RATIO = 2.2
TARGET_HIT_RATE = 0.17
TARGET_EVENTS_PER_S = 2_000
TARGET_ADDED_MS = 40  # freshness p99 beyond that of Kafka alone


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the replay."""

    events: int
    answered: int
    events_per_s: float | None  # full speed: lists appended per second; paced: events sent per second
    rates: HitRates


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything that the last block says."""

    fast: Part
    paced: Part
    overall: HitRates
    repeated: int  # lists delivered again
    freshness_p50_ms: float | None  # of the paced part, as all that follows about time
    freshness_p99_ms: float | None
    kafka_p50_ms: float | None
    kafka_p99_ms: float | None
    probes: int
    wall_s: float
    disk_bytes: int


def summary_lines(s: Summary) -> list[str]:
    """The summary, one line per fact, with the targets and whether they are met."""
    events, answered = s.fast.events + s.paced.events, s.fast.answered + s.paced.answered
    fresh = f"p50 {format_ms(s.freshness_p50_ms)}, p99 {format_ms(s.freshness_p99_ms)} (event sent to list received)"
    kafka = f"p50 {format_ms(s.kafka_p50_ms)}, p99 {format_ms(s.kafka_p99_ms)} ({s.probes:,} probes, same load)"
    saved_ms = None  # how far freshness stays below its limit
    if s.freshness_p99_ms is not None and s.kafka_p99_ms is not None:
        saved_ms = s.kafka_p99_ms + TARGET_ADDED_MS - s.freshness_p99_ms
    facts = {
        "events": f"{events:,} sent, {answered:,} answered ({s.repeated:,} lists delivered again, counted once)",
        "full-speed part": f"{s.fast.events:,} events, {format_speed(s.fast.events_per_s)}"
        + verdict(f">= {TARGET_EVENTS_PER_S:,}/s", s.fast.events_per_s, TARGET_EVENTS_PER_S),
        "paced part": f"{s.paced.events:,} events sent, {format_speed(s.paced.events_per_s)}",
        "freshness, paced": fresh + verdict(f"p99 <= Kafka alone + {TARGET_ADDED_MS} ms", saved_ms, 0),
        "Kafka alone, paced": kafka,
        "hit@10, full speed": format_rates(s.fast.rates) + verdict_on_ratio(s.fast.rates),
        "hit@10, paced": format_rates(s.paced.rates) + verdict_on_ratio(s.paced.rates),
        "hit@10, all": format_rates(s.overall) + verdict(f">= {TARGET_HIT_RATE}", s.overall.live, TARGET_HIT_RATE),
        "wall time": f"{s.wall_s:.0f} s",
        "disk used": f"{s.disk_bytes / 2**20:,.0f} MiB",
    }
    return [f"{name:<20}{fact}" for name, fact in facts.items()]


def verdict(target: str, measured: float | None, at_least: float) -> str:
    """Say of a target whether what was measured reaches it.

    >>> verdict(">= 3", 2.9, 3), verdict(">= 3", None, 3)
    ('  [target >= 3: NOT MET]', '  [target >= 3: not measured]')
    """
    if measured is None:
        return f"  [target {target}: not measured]"
    return f"  [target {target}: {'met' if measured >= at_least else 'NOT MET'}]"


def verdict_on_ratio(rates: HitRates) -> str:
    """The verdict on live hits per popularity hit."""
    return verdict(f">= {TARGET_RATIO} x popularity", rates.ratio, TARGET_RATIO)


def format_rates(rates: HitRates) -> str:
    """Both hit rates and their ratio."""
    ratio = "n/a" if rates.ratio is None else f"{rates.ratio:.2f}"
    live, popularity = format_rate(rates.live), format_rate(rates.popularity)
    return f"live {live}, popularity {popularity}, ratio {ratio} over {rates.scored:,} events"


def format_speed(events_per_s: float | None) -> str:
    """A speed, rounded.

    >>> format_speed(2712.7)
    '2,713 events/s'
    """
    return "n/a" if events_per_s is None else f"{events_per_s:,.0f} events/s"


def appended_per_s(appended_ms: Sequence[int]) -> float | None:
    """Records appended per second between the first and the last; None if fewer than two or all in one millisecond.

    >>> appended_per_s([1_000, 1_500, 3_000])
    1.0
    """
    if len(appended_ms) < 2 or max(appended_ms) == min(appended_ms):
        return None
    return (len(appended_ms) - 1) * 1000 / (max(appended_ms) - min(appended_ms))
