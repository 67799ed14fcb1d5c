"""What a bench has measured, and its JSON. Pure: nothing here measures."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from livetower.bench.stages import Spread

DIGITS = 3


@dataclass(frozen=True, slots=True)
class Throughput:
    """What became of a backlog."""

    events: int  # sent
    lists: int  # appended to the topic of recommendations
    events_per_s: float  # lists per second from the first to the last one appended
    append_s: float  # how long appending the backlog took, while the job read it already
    lists_by_s: Sequence[int]  # lists appended in the 1st, 2nd … second


@dataclass(frozen=True, slots=True)
class PacedRun:
    """One run at a fixed rate: percentiles from the event being sent to its list being seen, and of Kafka alone."""

    events: int
    answered: int
    freshness: Spread
    kafka_alone: Spread
    probes: int


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was measured."""

    cpu: str
    cores: int
    load_before: float  # processes that wanted a core in the minute before the bench
    python: str
    numba: str


@dataclass(frozen=True, slots=True)
class HotLine:
    """A line of Python and its share of the samples in Python: those that fell on it, or on a kernel that it called."""

    where: str
    share: float


@dataclass(frozen=True, slots=True)
class Profile:
    """What the TaskManager of learn-and-recommend did during a backlog."""

    python_share: float  # of its task threads' samples; the others were in Java and RocksDB, or waited for a core
    lines: Sequence[HotLine]  # the most expensive first


@dataclass(frozen=True, slots=True)
class Figures:
    """One bench."""

    at: str  # UTC, ISO 8601
    data: str
    items: int
    settings: Sequence[str]  # given by --set
    rate: int
    throughput: Throughput
    bare_loop_events_per_s: float
    runs: Sequence[PacedRun]
    stages: Mapping[str, Spread]  # of all paced runs
    machine: Machine
    profile: Profile | None = None

    @property
    def ratio_to_bare_loop(self) -> float:
        """The job's events per second over those of the bare loop."""
        return self.throughput.events_per_s / self.bare_loop_events_per_s


def median_of(values: Sequence[float | None]) -> float | None:
    """The middle one; None if one of them was not measured.

    >>> median_of([5.0, 1.0, 3.0]), median_of([5.0, None, 3.0])
    (3.0, None)
    """
    known = [value for value in values if value is not None]
    return median(known) if values and len(known) == len(values) else None


def figures_json(figures: Figures) -> dict[str, Any]:
    """The figures by name; freshness and Kafka alone are the medians of the runs."""
    runs, throughput = figures.runs, figures.throughput
    record = {
        "at": figures.at,
        "data": figures.data,
        "items": figures.items,
        "settings": list(figures.settings),
        "events": throughput.events,
        "lists": throughput.lists,
        "events_per_s": throughput.events_per_s,
        "bare_loop_events_per_s": figures.bare_loop_events_per_s,
        "ratio_to_bare_loop": figures.ratio_to_bare_loop,
        "rate": figures.rate,
        "freshness_ms_p50": median_of([run.freshness.p50 for run in runs]),
        "freshness_ms_p99": median_of([run.freshness.p99 for run in runs]),
        "kafka_alone_ms_p50": median_of([run.kafka_alone.p50 for run in runs]),
        "kafka_alone_ms_p99": median_of([run.kafka_alone.p99 for run in runs]),
        "stages_ms": {name: asdict(spread) for name, spread in figures.stages.items()},
        "runs": [asdict(run) for run in runs],
        "backlog_append_s": throughput.append_s,
        "lists_by_s": list(throughput.lists_by_s),
        "machine": asdict(figures.machine),
    }
    if figures.profile is not None:
        record["profile"] = asdict(figures.profile)
    rounded: dict[str, Any] = round_floats(record)
    return rounded


def round_floats(value: Any) -> Any:
    """The same with every float rounded.

    >>> round_floats({"a": [1.23456, None, 2]})
    {'a': [1.235, None, 2]}
    """
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {name: round_floats(each) for name, each in value.items()}
    return [round_floats(each) for each in value] if isinstance(value, list) else value


def lists_by_second(appended_ms: Sequence[int]) -> list[int]:
    """How many records were appended in each second from the first one on.

    >>> lists_by_second([10_400, 10_000, 12_999])
    [2, 0, 1]
    """
    if not appended_ms:
        return []
    first = min(appended_ms)
    counts = [0] * ((max(appended_ms) - first) // 1000 + 1)
    for at in appended_ms:
        counts[(at - first) // 1000] += 1
    return counts
