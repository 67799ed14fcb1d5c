"""What came of a chaos run, as JSON and as a table. Pure: outcomes in, rows out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.table import Table

from livetower.chaos.guarantees import Broken, Violation
from livetower.chaos.leg import LegOutcome
from livetower.chaos.plan import Kind

SHOWN: Final = 20
"""So many violations are named."""


@dataclass(slots=True)
class Row:
    """One kind of fault, or the end of a leg."""

    fault: str
    runs: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    examples_lost: int = 0
    recovery_s: float | None = None
    """The longest."""
    lists_again: int = 0
    """Lists that came a second time with the same user_seq: allowed where delivery is at least once."""

    def add(self, violation: Violation) -> None:
        """Count a broken guarantee."""
        name = {Broken.LOST: "lost", Broken.DOUBLED: "doubled", Broken.WRONG: "wrong", Broken.EXAMPLE: "examples_lost"}
        setattr(self, name[violation.broken], getattr(self, name[violation.broken]) + 1)


def rows_of(outcomes: Sequence[LegOutcome]) -> list[Row]:
    """A row for each kind of fault in the order of Kind, then one for the end of each leg.

    What is wrong with an event's list or example counts for the last fault that began before the event; what a leg's
    end alone shows, its users' states among it, counts there.
    """
    kinds: dict[Kind, Row] = {}
    ends = []
    for outcome in outcomes:
        plan = outcome.plan
        end = Row(f"end of leg {plan.number}, {plan.level}: {outcome.users} users, {outcome.accepted:,} records", 1)
        for hit in outcome.hits:
            row = kinds.setdefault(hit.kind, Row(hit.kind))
            row.runs += 1
            row.recovery_s = max(row.recovery_s or 0.0, hit.recovery_s)
            row.lists_again += hit.again
        for violation in outcome.violations:
            before = [
                hit.kind
                for hit in outcome.hits
                if violation.kafka_ms is not None and hit.began_ms <= violation.kafka_ms
            ]
            (kinds[before[-1]] if before else end).add(violation)
        ends.append(end)
    return [*(kinds[kind] for kind in Kind if kind in kinds), *ends]


def document(outcomes: Sequence[LegOutcome], seed: int, mode: str) -> dict[str, Any]:
    """The run as one JSON document."""
    violations = [f"leg {o.plan.number}: {v.broken}: {v.what}" for o in outcomes for v in o.violations]
    return {
        "seed": seed,
        "mode": mode,
        "faults": sum(len(outcome.hits) for outcome in outcomes),
        "records": sum(outcome.accepted for outcome in outcomes),
        "lists": sum(outcome.lists for outcome in outcomes),
        "rows": [asdict(row) for row in rows_of(outcomes)],
        "violations": len(violations),
        "first_violations": violations[:SHOWN],
    }


def chaos_table(record: dict[str, Any]) -> Table:
    """The table that `livetower chaos` prints."""
    table = Table(
        title=f"seed {record['seed']}, {record['mode']}: {record['faults']} faults among {record['records']:,} records",
    )
    table.add_column("fault")
    for name in ("runs", "lost", "doubled", "wrong states", "examples lost by the tower", "recovery s", "lists again"):
        table.add_column(name, justify="right")
    for row in record["rows"]:
        numbers = [row[name] for name in ("runs", "lost", "doubled", "wrong", "examples_lost")]
        recovery = "" if row["recovery_s"] is None else f"{row['recovery_s']:.1f}"
        table.add_row(row["fault"], *map(str, numbers), recovery, str(row["lists_again"]))
    return table
