"""The figures as a table for people. Pure: figures in, rows out."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

# What `livetower bench` must show on two shared cores with MovieLens-100k's catalogue.
TARGET_EVENTS_PER_S = 3_000
TARGET_RATIO = 0.15
TARGET_ADDED_MS = 40  # freshness p99 beyond that of Kafka alone
STAGE_NAMES = {
    "event_to_kafka": "event → Kafka",
    "kafka_to_learned": "Kafka → learned",
    "learned_to_emitted": "learned → emitted",
    "emitted_to_seen": "emitted → seen",
}

Row = tuple[str, str, str]


def rows_of(record: Mapping[str, Any]) -> list[Row]:
    """What, how much, and the target with whether it is met; from the JSON."""
    fresh, kafka = record["freshness_ms_p99"], record["kafka_alone_ms_p99"]
    spare_ms = None if fresh is None or kafka is None else kafka + TARGET_ADDED_MS - fresh
    runs = f"median of {len(record['runs'])} runs at {record['rate']:,}/s"
    rows = [
        (
            "throughput",
            f"{record['events_per_s']:,.0f} events/s ({record['lists']:,} lists)",
            verdict(f">= {TARGET_EVENTS_PER_S:,}/s", record["events_per_s"], TARGET_EVENTS_PER_S),
        ),
        ("bare loop, one thread", f"{record['bare_loop_events_per_s']:,.0f} events/s", ""),
        (
            "ratio to bare loop",
            f"{record['ratio_to_bare_loop']:.3f}",
            verdict(f">= {TARGET_RATIO}", record["ratio_to_bare_loop"], TARGET_RATIO),
        ),
        (
            "freshness",
            f"p50 {ms(record['freshness_ms_p50'])}, p99 {ms(fresh)} ({runs})",
            verdict(f"p99 <= Kafka alone + {TARGET_ADDED_MS} ms", spare_ms, 0),
        ),
        ("Kafka alone", f"p50 {ms(record['kafka_alone_ms_p50'])}, p99 {ms(kafka)} (probes in the same runs)", ""),
    ]
    for name, spread in record["stages_ms"].items():
        figures = ", ".join(f"{percent} {ms(spread[percent])}" for percent in ("p50", "p90", "p99"))
        rows.append((f"  {STAGE_NAMES[name]}", figures, ""))
    return rows


def bench_table(record: Mapping[str, Any]) -> Table:
    """The table that `livetower bench` prints."""
    machine = record["machine"]
    table = Table(
        title=f"{record['data']}, {record['items']:,} items, {record['events']:,} events",
        caption=f"{machine['cores']} cores, {machine['cpu']}; load before the bench {machine['load_before']:.1f}",
    )
    table.add_column("")
    table.add_column("measured")
    table.add_column("target")
    for row in rows_of(record):
        table.add_row(*row)
    return table


def verdict(target: str, measured: float | None, at_least: float) -> str:
    """The target and whether what was measured reaches it.

    >>> verdict(">= 3", 2.9, 3), verdict(">= 3", None, 3), verdict(">= 3", 3, 3)
    ('>= 3: NOT MET', '>= 3: not measured', '>= 3: met')
    """
    if measured is None:
        return f"{target}: not measured"
    return f"{target}: {'met' if measured >= at_least else 'NOT MET'}"


def ms(value: float | None) -> str:
    """A duration.

    >>> ms(2.345), ms(None)
    ('2.3 ms', 'n/a')
    """
    return "n/a" if value is None else f"{value:,.1f} ms"
