"""A short chaos run on a real cluster: JobManager, TaskManager and broker die, and a snapshot file is gone."""

import pytest

from livetower.chaos.plan import Kind, LegPlan, Mode
from livetower.chaos.run import Plan, kinds_left_out, run_chaos
from livetower.chaos.table import rows_of

pytestmark = pytest.mark.flink

FAULTS = (Kind.SNAPSHOT, Kind.JOBMANAGER, Kind.TASKMANAGER, Kind.BROKER)


@pytest.mark.parametrize("pinned", [False, True], ids=["live", "pinned"])
def test_four_faults_break_no_guarantee(run_dir, pinned):
    faults = FAULTS[1:3] if pinned else FAULTS
    plan = Plan((LegPlan(1, pinned, faults, 3_000),), seed=1, mode=Mode.IDEMPOTENT, minutes=10)
    said: list[str] = []
    outcomes = run_chaos(plan, run_dir, said.append)
    assert [violation.what for outcome in outcomes for violation in outcome.violations] == [], said
    assert kinds_left_out(plan, outcomes) == []
    assert {row.fault: row.runs for row in rows_of(outcomes)[:-1]} == dict.fromkeys(faults, 1)
    assert outcomes[0].lists >= 3_000
