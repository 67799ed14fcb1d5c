"""Options that several commands share."""

import time
from pathlib import Path

import click

path_argument = click.argument("uri", metavar="PATH")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
settings_option = click.option(
    "--settings",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="TOML file of the job's settings, over what the checkpoint tells.",
)
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.NAME=VALUE",
    help="One setting, over all others: what would have come with it?",
)
root_option = click.option(
    "--snapshot-root",
    metavar="DIR",
    help="Where item snapshots lie. Default: beside the savepoint, then the job's own root.",
)


def now_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000
