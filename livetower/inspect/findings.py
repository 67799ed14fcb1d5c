"""What is wrong with a checkpoint or an item snapshot, in the shape that `livetower doctor` gives its findings."""

from collections.abc import Sequence
from dataclasses import dataclass

import click

from livetower.doctor.checks import Check, Severity
from livetower.doctor.findings import Finding
from livetower.inspect.codes import CODES, WARNINGS
from livetower.inspect.errors import InspectError

BROKEN_EXIT = 1


@dataclass(frozen=True, slots=True)
class StateFinding(Finding):
    """A code of livetower/inspect/codes.py, and what was needed and what came here."""

    @property
    def check(self) -> Check:
        severity = Severity.WARNING if self.code in WARNINGS else Severity.BROKEN
        return Check(severity, *CODES[self.code])


def finding_of(error: InspectError) -> StateFinding:
    """What stopped a reader, as a finding among others."""
    return StateFinding(error.code, error.cause)


def print_findings(found: Sequence[Finding], unseen: Sequence[str], as_json: bool, strict: bool) -> None:
    """Print them as `livetower doctor` does; exit code 1 if one is broken or, with `strict`, if there is one at all."""
    from livetower.doctor.command import as_lines, as_object

    click.echo(as_object(found, unseen) if as_json else "\n".join(as_lines(found, unseen, "docs/codes.md")))
    if any(strict or finding.severity is Severity.BROKEN for finding in found):
        raise SystemExit(BROKEN_EXIT)
