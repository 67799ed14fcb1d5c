"""What the demo ends with: the verdict on each target, the cause of a failed job, percentiles."""

import dataclasses
import doctest

import pytest

from livetower.demo import job_health, live_quality, movielens, report, stream
from livetower.demo.job_health import JobHealth, one_line
from livetower.demo.report import Part, Summary, summary_lines
from livetower.watch.freshness import percentile_ms
from livetower.watch.hit_rates import HitRates

GOOD = HitRates(scored=1000, live_hits=220, popularity_hits=100)
SUMMARY = Summary(
    fast=Part(events=800, answered=800, events_per_s=2000.0, rates=GOOD),
    paced=Part(events=200, answered=199, events_per_s=499.9, rates=GOOD),
    overall=GOOD,
    repeated=3,
    freshness_p50_ms=3.0,
    freshness_p99_ms=45.0,
    kafka_p50_ms=1.0,
    kafka_p99_ms=5.0,
    probes=20,
    wall_s=61.4,
    disk_bytes=3 * 2**20,
)


def test_the_summary_says_every_fact_on_its_line():
    rates = "live .2200, popularity .1000, ratio 2.20 over 1,000 events"
    fresh = "p50 3.0 ms, p99 45.0 ms (event sent to list received)"
    assert summary_lines(SUMMARY) == [
        "events              1,000 sent, 999 answered (3 lists delivered again, counted once)",
        "full-speed part     800 events, 2,000 events/s  [target >= 2,000/s: met]",
        "paced part          200 events sent, 500 events/s",
        f"freshness, paced    {fresh}  [target p99 <= Kafka alone + 40 ms: met]",
        "Kafka alone, paced  p50 1.0 ms, p99 5.0 ms (20 probes, same load)",
        f"hit@10, full speed  {rates}  [target >= 2.2 x popularity: met]",
        f"hit@10, paced       {rates}  [target >= 2.2 x popularity: met]",
        f"hit@10, all         {rates}  [target >= 0.17: met]",
        "wall time           61 s",
        "disk used           3 MiB",
    ]


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({"fast": dataclasses.replace(SUMMARY.fast, events_per_s=1999.9)}, ">= 2,000/s: NOT MET"),
        ({"freshness_p99_ms": 45.1}, "+ 40 ms: NOT MET"),
        ({"kafka_p99_ms": None}, "+ 40 ms: not measured"),
        ({"paced": dataclasses.replace(SUMMARY.paced, rates=HitRates(1000, 219, 100))}, ">= 2.2 x popularity: NOT MET"),
        ({"overall": HitRates(1000, 169, 50)}, ">= 0.17: NOT MET"),
        ({"overall": HitRates(0, 0, 0)}, ">= 0.17: not measured"),
    ],
)
def test_a_missed_target_is_said_once(change: dict[str, object], missed: str):
    text = "\n".join(summary_lines(dataclasses.replace(SUMMARY, **change)))
    assert missed in text
    assert text.count("NOT MET") + text.count("not measured") == 1


TRACE = """org.apache.flink.runtime.JobException: Recovery is suppressed
\tat org.apache.flink.A.b(A.java:1)
Caused by: java.lang.RuntimeException: Failed to run
\t... 7 more
Caused by: pemja.core.PythonException: <class 'ValueError'>: row 3
is not finite
"""
CAUSE = "Caused by: pemja.core.PythonException: <class 'ValueError'>: row 3 is not finite"


@pytest.mark.parametrize(
    ("history", "cause"),
    [([{"stacktrace": TRACE}, {"stacktrace": "older"}], CAUSE), ([], "no exception is on record")],
)
def test_trouble_names_the_job_its_state_and_the_newest_cause(history: list[dict[str, str]], cause: str):
    answers = {"/jobs/ab": {"state": "FAILED"}, "/jobs/ab/exceptions": {"exceptionHistory": {"entries": history}}}
    assert JobHealth(answers.__getitem__, "ab").trouble() == f"job ab is FAILED: {cause}"


def test_a_silent_rest_api_is_said_and_not_raised():
    def refuse(path: str) -> object:
        raise ConnectionRefusedError(path)

    assert JobHealth(refuse, "ab").state() == "UNREACHABLE"
    assert "job ab is UNREACHABLE" in JobHealth(refuse, "ab").trouble()


def test_a_long_cause_keeps_both_ends():
    line = one_line("start " + "x" * 2000 + " end")
    assert (line[:5], line[-3:], len(line)) == ("start", "end", 603)


def test_percentiles_are_measured_values_of_unsorted_input():
    waits = [n * 1_000_000 for n in range(200, 0, -1)]
    assert (percentile_ms(waits, 50), percentile_ms(waits, 99), percentile_ms(waits, 100)) == (100.0, 198.0, 200.0)
    assert waits[0] == 200_000_000
    with pytest.raises(ValueError, match="percent must be in"):
        percentile_ms(waits, 0)


@pytest.mark.parametrize("module", [job_health, live_quality, movielens, report, stream])
def test_the_examples_in_docstrings_are_right(module: object):
    tried = doctest.testmod(module)
    assert tried.attempted > 0
    assert tried.failed == 0
