"""`livetower inspect verify`: would a job of the code here go on from this state? What is looked at stands in
state_findings.py.
"""

from pathlib import Path

import click


@click.command("verify")
@click.argument("path")
@click.option(
    "--deep",
    is_flag=True,
    help="Read every user and input, with them all bytes of every file, and restore the item tower as the job does.",
)
@click.option(
    "--settings",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="TOML file of the next start, as for `livetower submit`. Default: the settings the job ran with.",
)
@click.option("--set", "overrides", multiple=True, metavar="SECTION.NAME=VALUE", help="One setting, after the file's.")
@click.option("--snapshot-root", default="", metavar="DIR", help="Where item snapshots are now.")
@click.option("--strict", is_flag=True, help="Exit code 1 for a warning, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout instead of the lines.")
def verify(
    path: str,
    deep: bool,
    file: Path | None,
    overrides: tuple[str, ...],
    snapshot_root: str,
    strict: bool,
    as_json: bool,
) -> None:
    """Say whether the job would restore from the checkpoint or savepoint at PATH, and what to do if not.

    Files, operators, blobs of the first 1,000 users, the item tower, settings and the item snapshots that the state
    names. Exit code 0: it would. 1: something would stop it (with --strict: or make it worse). 2: nothing can be read.

    \b
      livetower inspect verify .livetower/sandbox/savepoints/savepoint-9df82a-4c1f2ab33d10
      livetower inspect verify s3://bucket/checkpoints/9df8…/chk-20 --deep --json
      livetower inspect verify savepoints/savepoint-9df82a-4c1f2ab33d10 --set model.dimension=32
    """  # noqa: D301
    from flink_jobs.settings import InvalidSettings
    from livetower.errors import CannotGoOn
    from livetower.inspect import reading
    from livetower.inspect.findings import print_findings
    from livetower.inspect.state_findings import Verification, blob_version_findings, settings_of_state
    from livetower.progress import progress_bars

    with reading.open_state(path) as state, progress_bars() as begin:
        try:
            settings, why = settings_of_state(state, file, overrides)
        except InvalidSettings as error:
            raise CannotGoOn(str(error)) from error
        verification = Verification(state, settings, snapshot_root, deep, begin)
        verification.look()
        verification.findings += blob_version_findings(state)
        if why:
            verification.unseen.append(f"the settings that the job ran with, which this code does not take: {why}")
    found = sorted(verification.findings, key=lambda finding: (finding.severity, finding.code))
    print_findings(found, verification.unseen, as_json, strict)
