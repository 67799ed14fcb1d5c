"""Where the milliseconds of a list went, from the clock that it carries. Pure: records and times in, percentiles out.

    event_to_kafka      from the event being sent to its Kafka timestamp, which the sender's client gives it
    kafka_to_learned    from there until the operator has learned from it and ranked: the broker, Flink's source and the
                        operator itself
    learned_to_emitted  writing the record
    emitted_to_seen     Flink's sink, the broker and the reader

The clock counts whole milliseconds, so a stage is off by up to one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from livetower.watch.freshness import percentile_ms

STAGES = ("event_to_kafka", "kafka_to_learned", "learned_to_emitted", "emitted_to_seen")
NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Passage:
    """One event's way: when it passed each point, in ms since 1970."""

    sent_ms: int
    kafka_ms: int
    learned_ms: int
    emitted_ms: int
    seen_ms: int


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles of one duration in ms; None if nothing was measured."""

    p50: float | None
    p90: float | None
    p99: float | None


def spread_of(waits_ns: Sequence[int]) -> Spread:
    """The percentiles of waiting times.

    >>> spread_of([2_000_000, 1_000_000, 4_000_000, 3_000_000])
    Spread(p50=2.0, p90=4.0, p99=4.0)
    """
    return Spread(*(percentile_ms(waits_ns, percent) for percent in (50, 90, 99)))


def stage_spreads(passages: Iterable[Passage]) -> Mapping[str, Spread]:
    """The percentiles of every stage, by its name."""
    waits: dict[str, list[int]] = {stage: [] for stage in STAGES}
    for p in passages:
        points = (p.sent_ms, p.kafka_ms, p.learned_ms, p.emitted_ms, p.seen_ms)
        for stage, begin, end in zip(STAGES, points[:-1], points[1:], strict=True):
            waits[stage].append((end - begin) * NS_PER_MS)
    return {stage: spread_of(times) for stage, times in waits.items()}
