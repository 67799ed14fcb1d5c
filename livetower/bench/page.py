"""One bench as a Markdown page with its charts. Pure: the JSON in, the files' texts out."""

from collections.abc import Mapping
from typing import Any

from livetower.bench.charts import bar_chart, line_chart
from livetower.bench.table import STAGE_NAMES, ms, rows_of

RESULT, PAGE = "result.json", "page.md"
BACKLOG, RUNS, STAGES = "backlog.svg", "freshness.svg", "stages.svg"


def files_of(record: Mapping[str, Any]) -> dict[str, str]:
    """Every file but the JSON: name and text."""
    return {PAGE: page(record), BACKLOG: backlog_chart(record), RUNS: runs_chart(record), STAGES: stages_chart(record)}


def page(record: Mapping[str, Any]) -> str:
    """The Markdown page."""
    machine = record["machine"]
    settings = ", ".join(f"`{each}`" for each in record["settings"]) or "the defaults"
    stream = (
        f"{record['data']}: {record['items']:,} items, a backlog of {record['events']:,} events, then "
        f"{len(record['runs'])} runs at {record['rate']:,}/s. Settings: {settings}."
    )
    where = (
        f"Machine: {machine['cores']} cores, {machine['cpu']}; load before the bench {machine['load_before']:.1f}; "
        f"Python {machine['python']}, numba {machine['numba']}."
    )
    lines = [
        f"# Bench of {record['at']}",
        "",
        stream,
        where,
        "",
        "| | measured | target |",
        "| --- | --- | --- |",
        *[f"| {name.strip()} | {measured} | {target} |" for name, measured, target in rows_of(record)],
        "",
        f"![lists appended in each second of the backlog]({BACKLOG})",
        "",
        "## The paced runs",
        "",
        "| run | freshness p50 | p90 | p99 | Kafka alone p50 | p99 | answered |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *[run_row(n, run) for n, run in enumerate(record["runs"], 1)],
        "",
        f"![freshness and Kafka alone]({RUNS})",
        "",
        f"![median of each stage]({STAGES})",
        "",
    ]
    if "profile" in record:
        profile = record["profile"]
        lines += [
            "## The lines of learn-and-recommend that take the time",
            "",
            f"{100 * profile['python_share']:.0f}% of the samples of its TaskManager were in Python; of these",
            "",
            "| share | line |",
            "| --- | --- |",
            *[f"| {100 * line['share']:.1f}% | `{line['where']}` |" for line in profile["lines"]],
            "",
        ]
    return "\n".join(lines)


def run_row(n: int, run: Mapping[str, Any]) -> str:
    """One row of the table of runs."""
    fresh, kafka = run["freshness"], run["kafka_alone"]
    cells = (ms(fresh["p50"]), ms(fresh["p90"]), ms(fresh["p99"]), ms(kafka["p50"]), ms(kafka["p99"]))
    return f"| {n} | {' | '.join(cells)} | {run['answered']:,} of {run['events']:,} |"


def backlog_chart(record: Mapping[str, Any]) -> str:
    """Lists of each second; the last one is seldom whole."""
    points = [(second, float(lists)) for second, lists in enumerate(record["lists_by_s"])]
    return line_chart("The backlog", "seconds since the first list", "lists/s", {"lists": points})


def runs_chart(record: Mapping[str, Any]) -> str:
    """The p99 of each run."""
    bars: dict[str, float] = {}
    for n, run in enumerate(record["runs"], 1):
        bars |= {f"run {n}: freshness p99": run["freshness"]["p99"] or 0}
        bars |= {f"run {n}: Kafka alone p99": run["kafka_alone"]["p99"] or 0}
    return bar_chart("Freshness and Kafka alone", "ms", bars)


def stages_chart(record: Mapping[str, Any]) -> str:
    """The p99 of each stage: medians are near the millisecond in which the clock counts."""
    bars = {STAGE_NAMES[name]: spread["p99"] or 0 for name, spread in record["stages_ms"].items()}
    return bar_chart("Where the milliseconds go, p99", "ms", bars)
