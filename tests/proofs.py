"""The table of proofs: what was done to a running job, and what it cost. pytest prints it at the end (conftest.py)."""

from dataclasses import dataclass, fields

ROWS: list["Proof"] = []


@dataclass(frozen=True, slots=True)
class Proof:
    """One case of tests/test_job_*.py."""

    case: str
    runs: int = 1
    """How often it was done."""
    lost: int = 0
    """Events whose list never came."""
    doubled: int = 0
    """rec_ids that were given with two user_seq: an event learned twice."""
    wrong: int = 0
    """Users, or files of the tower, whose state differs from the undisturbed one's."""
    recovery_s: float | None = None
    """Longest time from the disturbance until every task ran and a new event had its list."""
    note: str = ""


def prove(proof: Proof) -> None:
    """Enter the case into the table, and fail if anything was lost, doubled or wrong."""
    ROWS.append(proof)
    assert (proof.lost, proof.doubled, proof.wrong) == (0, 0, 0), proof


def table() -> list[str]:
    """The lines of the table."""
    head = ["case", "runs", "lost", "doubled", "wrong states", "recovery s", ""]
    lines = [head]
    for row in ROWS:
        values = [getattr(row, field.name) for field in fields(row)]
        lines.append([f"{v:.1f}" if isinstance(v, float) else "–" if v is None else str(v) for v in values])
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
    aligned = []
    for line in lines:
        case, *numbers, note = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        aligned.append("  ".join([case, *(f"{number.strip():>{len(number)}}" for number in numbers), note]).rstrip())
    return aligned
