"""What came of a chaos run is counted where it belongs, and ends in an exit code."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from livetower.chaos import run
from livetower.chaos.errors import ChaosError
from livetower.chaos.guarantees import Broken, Violation
from livetower.chaos.leg import Hit, LegOutcome
from livetower.chaos.plan import Kind, LegPlan, Mode
from livetower.chaos.table import Row, document, rows_of
from livetower.cli import main

PLAN = LegPlan(1, False, (Kind.BROKER, Kind.TASKMANAGER, Kind.BROKER), 100)
HITS = (
    Hit(Kind.BROKER, 1_000, 4.0, 0),
    Hit(Kind.TASKMANAGER, 2_000, 9.0, 7),
    Hit(Kind.BROKER, 3_000, 5.0, 1),
)


def outcome(*violations: Violation) -> LegOutcome:
    return LegOutcome(PLAN, HITS, violations, 120, 110, 9)


def test_a_kind_of_fault_is_one_row_with_its_longest_recovery():
    assert rows_of([outcome()]) == [
        Row(Kind.TASKMANAGER, 1, recovery_s=9.0, lists_again=7),
        Row(Kind.BROKER, 2, recovery_s=5.0, lists_again=1),
        Row("end of leg 1, live: 9 users, 120 records", 1),
    ]


@pytest.mark.parametrize(
    ("broken", "column"),
    [(Broken.LOST, "lost"), (Broken.DOUBLED, "doubled"), (Broken.WRONG, "wrong"), (Broken.EXAMPLE, "examples_lost")],
)
def test_a_violation_counts_for_the_last_fault_before_its_event_and_else_for_the_end(broken, column):
    rows = rows_of([outcome(Violation(broken, "a", 2_500), Violation(broken, "b", 500), Violation(broken, "c"))])
    assert [getattr(row, column) for row in rows] == [1, 0, 2]


def test_the_document_names_the_violations():
    record = document([outcome(Violation(Broken.LOST, "u1:a: none came", 2_500))], 7, "idempotent")
    assert (record["violations"], record["first_violations"]) == (1, ["leg 1: lost: u1:a: none came"])
    assert (record["faults"], record["records"], record["lists"]) == (3, 120, 110)


def livetower_chaos(monkeypatch, came: LegOutcome | Exception, *words: str):
    def run_chaos(plan: run.Plan, run_dir: Path, say: run.Say) -> list[LegOutcome]:
        if isinstance(came, Exception):
            raise came
        return [came]

    monkeypatch.setattr(run, "run_chaos", run_chaos)
    monkeypatch.setattr("livetower.chaos.command.deal_legs", lambda *_: [PLAN])
    return CliRunner().invoke(main, ["chaos", *words])


def test_the_command_ends_with_0_when_nothing_is_broken_and_with_1_when_something_is(monkeypatch):
    good = livetower_chaos(monkeypatch, outcome(), "--json")
    assert (good.exit_code, json.loads(good.stdout)["violations"]) == (0, 0)
    bad = livetower_chaos(monkeypatch, outcome(Violation(Broken.LOST, "u1:a: none came")))
    assert bad.exit_code == 1
    assert "u1:a: none came" in bad.stdout


def test_a_kind_that_was_not_reached_is_a_failure(monkeypatch):
    cut = LegOutcome(PLAN, HITS[:1], (), 10, 10, 1)
    result = livetower_chaos(monkeypatch, cut, "--json")
    assert (result.exit_code, json.loads(result.stdout)["left_out"]) == (1, [Kind.TASKMANAGER])


def test_a_run_that_cannot_be_judged_is_one_line_and_2(monkeypatch):
    result = livetower_chaos(monkeypatch, ChaosError("a list was needed; none came"), "--seed", "3")
    assert result.exit_code == 2
    assert "seed 3: a list was needed; none came" in result.output


def test_exactly_once_is_refused_where_the_job_has_no_such_setting(monkeypatch):
    monkeypatch.setattr(run, "fields", lambda _: ())
    with pytest.raises(ChaosError, match="setting kafka"):
        run.require_mode(Mode.EXACTLY_ONCE)
    run.require_mode(Mode.IDEMPOTENT)
