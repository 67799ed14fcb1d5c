"""The command `livetower bench`. What it does stands in run.py; livetower/cli.py adds it to the other commands."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from livetower.errors import CannotGoOn

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option(
    "--data",
    "source",
    type=click.Choice(["movielens-100k", "made-up"]),
    default="movielens-100k",
    show_default=True,
    help="The events; made-up needs no download and has no end.",
)
@click.option(
    "--events", type=click.IntRange(min=100), default=40_000, show_default=True, help="Length of the backlog."
)
@click.option(
    "--warm-up",
    type=click.IntRange(min=0),
    default=30_000,
    show_default=True,
    help="Events of a backlog before it: the JVMs compile for the first minute.",
)
@click.option(
    "--rate", type=click.IntRange(min=1), default=500, show_default=True, help="Events/s of the three paced runs."
)
@click.option("--seconds", type=click.IntRange(min=1), default=20, show_default=True, help="Length of each paced run.")
@click.option(
    "--run-dir",
    type=FOLDER,
    help="Measure in the running sandbox of this directory, which gets the bench's items and events; its job is used, "
    "or one is submitted. Default: a cluster of the bench's own, stopped at the end.",
)
@click.option("--profile", is_flag=True, help="Also the ten hottest lines of Python in the job, by py-spy.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout instead of the table.")
@click.option(
    "--out", type=FOLDER, help="Where the JSON, the page and its charts go. Default: LIVETOWER_HOME/bench/results/TIME."
)
@click.option("--settings", type=FILE, help="TOML file as for `livetower submit`.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.NAME=VALUE", help="One setting, after the file's.")
def bench(
    source: str,
    events: int,
    warm_up: int,
    rate: int,
    seconds: int,
    run_dir: Path | None,
    profile: bool,
    as_json: bool,
    out: Path | None,
    settings: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Measure a job: events per second from a backlog, then how fresh lists are at a fixed rate.

    Beside it, in the same run: records that only Kafka touches, and the same events without Kafka and Flink in a bare
    loop. Takes about five minutes.

    \b
      livetower bench
      livetower bench --json --rate 1000
      livetower bench --data made-up --events 20000 --seconds 10 --profile
      livetower bench --run-dir .livetower/sandbox --out results/today
    """  # noqa: D301  # click wants the backspace: it keeps the lines of the examples
    # numba and Kafka's client need not load for `livetower --help`.
    from confluent_kafka import KafkaException
    from rich.console import Console

    from flink_jobs.settings import InvalidSettings
    from livetower.bench.errors import BenchError
    from livetower.bench.figures import figures_json
    from livetower.bench.page import PAGE, RESULT, files_of
    from livetower.bench.run import Plan, run_bench
    from livetower.bench.table import bench_table
    from livetower.demo.errors import DemoError
    from livetower.sandbox.home import livetower_home

    folder = livetower_home() / "bench"
    out = out or folder / "results" / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    plan = Plan(source, warm_up, events, rate, seconds, settings, overrides, run_dir, profile)
    write_files(out, {})  # before minutes of measuring
    try:
        record = figures_json(run_bench(plan, folder, lambda line: click.echo(line, err=True)))
    except (BenchError, DemoError, InvalidSettings, KafkaException) as error:
        raise CannotGoOn(str(error)) from error
    write_files(out, {RESULT: json.dumps(record, indent=1) + "\n", **files_of(record)})
    if as_json:
        click.echo(json.dumps(record))
    else:
        Console().print(bench_table(record))
    click.echo(f"written: {out / PAGE}", err=True)


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Make the folder and the files in it. Raises CannotGoOn."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text)
    except OSError as error:
        raise CannotGoOn(f"--out {folder}: a folder to write to was needed: {error}") from error
