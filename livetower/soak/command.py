"""The command `livetower soak`. What it does stands in run.py; livetower/cli.py adds it to the other commands."""

import json
from pathlib import Path

import click

from livetower.errors import CannotGoOn

FILE = click.Path(dir_okay=False, path_type=Path)
BROKEN_EXIT = 1


@click.command()
@click.option("--minutes", type=click.FloatRange(min=2), default=30.0, show_default=True, help="How long.")
@click.option("--rate", type=click.IntRange(min=1), default=2_000, show_default=True, help="Events/s.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, samples included.")
@click.option("--settings", type=FILE, help="TOML file as for `livetower submit`.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.NAME=VALUE", help="One setting, after the file's.")
def soak(minutes: float, rate: int, as_json: bool, settings: Path | None, overrides: tuple[str, ...]) -> None:
    """Run a job under traffic without end and see that nothing grows beyond its bound.

    Users and items come and leave for good. Every ten seconds memory, state, files and topics are looked at; after a
    warm-up each must stay below its bound and grow no faster than is stated. Exit code 1 when one does not.

    \b
      livetower soak
      livetower soak --minutes 5 --rate 500 --json
    """  # noqa: D301  # click wants the backspace: it keeps the lines of the examples
    # numba and Kafka's client need not load for `livetower --help`.
    from confluent_kafka import KafkaException
    from rich.console import Console

    from flink_jobs.settings import InvalidSettings
    from livetower.demo.errors import DemoError
    from livetower.sandbox.home import livetower_home
    from livetower.soak.errors import SoakError
    from livetower.soak.run import Plan, run_soak
    from livetower.soak.table import soak_table
    from livetower.soak.verdict import kept, soak_json

    plan = Plan(minutes, rate, settings, overrides)
    try:
        outcome = run_soak(plan, livetower_home() / "soak" / "sandbox", lambda line: click.echo(line, err=True))
    except (SoakError, DemoError, InvalidSettings, KafkaException) as error:
        raise CannotGoOn(str(error)) from error
    if as_json:
        click.echo(json.dumps(soak_json(outcome.rows, outcome.facts, outcome.samples)))
    else:
        Console(width=None if Console().is_terminal else 180).print(soak_table(outcome.rows))
    if not kept(outcome.rows):
        raise SystemExit(BROKEN_EXIT)
