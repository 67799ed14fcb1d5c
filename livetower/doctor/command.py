"""The command `livetower doctor`: it parses and prints; what is looked at stands beside it."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from livetower.errors import CannotGoOn

if TYPE_CHECKING:
    from livetower.doctor.findings import Finding

BROKEN_EXIT = 1


@click.command()
@click.option(
    "--run-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="The sandbox's directory. Default: LIVETOWER_HOME/sandbox.",
)
@click.option("--rest-url", metavar="URL", help="Flink's REST API of another cluster than the sandbox.")
@click.option("--bootstrap-servers", metavar="HOST:PORT", help="Brokers of another Kafka than the sandbox's.")
@click.option(
    "--settings",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="TOML file as for `livetower submit`.",
)
@click.option("--set", "overrides", multiple=True, metavar="SECTION.NAME=VALUE", help="One setting, after the file's.")
@click.option(
    "--items", type=click.IntRange(min=0), help="So many items come. Default: those of the latest item snapshot."
)
@click.option("--shared-directories", is_flag=True, help="Local directories are mounts that all machines share.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout instead of the lines.")
def doctor(
    run_dir: Path | None,
    rest_url: str | None,
    bootstrap_servers: str | None,
    file: Path | None,
    overrides: tuple[str, ...],
    items: int | None,
    shared_directories: bool,
    as_json: bool,
) -> None:
    """Say what would keep the job from running, before it is submitted.

    It looks at Java, Python, packages and jars of this machine, at Flink's configuration, slots and memory, at Kafka's
    topics, and at where checkpoints and snapshots go. It changes nothing. Exit code 1: something is broken.

    \b
      livetower doctor
      livetower doctor --items 200000 --set model.dimension=128
      livetower doctor --rest-url http://flink:8081 --bootstrap-servers kafka-1:9092 --settings shop.toml
      livetower doctor --json
    """  # noqa: D301  # click wants the backspace: it keeps the lines of the examples
    # Kafka's client and pyflink need not load for `livetower --help`.
    from flink_jobs.settings import InvalidSettings, load_settings
    from livetower.doctor.findings import findings
    from livetower.doctor.gather import gather
    from livetower.sandbox import Sandbox, SandboxError

    sandbox = None if rest_url else Sandbox(run_dir)
    place = {}
    if sandbox is not None:
        place["job.snapshot_root"] = str(sandbox.snapshot_root)
        with suppress(SandboxError):  # it was never started, which the findings say
            place["kafka.bootstrap_servers"] = sandbox.bootstrap_servers
    told = [f"{name}={value}" for name, value in place.items()]
    named = [f"kafka.bootstrap_servers={bootstrap_servers}"] if bootstrap_servers else []
    try:
        settings = load_settings(file, [*told, *overrides, *named])
    except InvalidSettings as error:
        raise CannotGoOn(str(error)) from error
    facts = gather(settings, sandbox, rest_url, items, shared_directories)
    found = findings(facts)
    click.echo(as_object(found, facts.unseen) if as_json else "\n".join(as_lines(found, facts.unseen)))
    if any(finding.severity == "broken" for finding in found):
        raise SystemExit(BROKEN_EXIT)


def as_object(found: "Sequence[Finding]", unseen: Sequence[str]) -> str:
    """The findings for programs."""
    listed = [{"code": f.code, "severity": f.severity, "cause": f.cause, "cure": f.cure} for f in found]
    broken = sum(f.severity == "broken" for f in found)
    return json.dumps(
        {"broken": broken, "warnings": len(found) - broken, "findings": listed, "unseen": list(unseen)},
        ensure_ascii=False,
    )


def as_lines(found: "Sequence[Finding]", unseen: Sequence[str], page: str = "docs/doctor.md") -> list[str]:
    """The findings for people: two lines each, what could not be seen, and a sum with the page that explains them."""
    lines = []
    for f in found:
        lines += [f"{f.severity:8} {f.code}  {f.cause}", f"{'':8} {'cure':10}  {f.cure}"]
    lines += [f"{'unseen':8} {'':10}  {what}" for what in unseen]
    broken = sum(f.severity == "broken" for f in found)
    if not found:
        lines.append("everything that was looked at is as it must be")
    else:
        lines.append(f"broken: {broken}, warnings: {len(found) - broken}; {page} explains each code")
    return lines
