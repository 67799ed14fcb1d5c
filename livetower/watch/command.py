"""The command `livetower watch`: it parses and wires; what is shown stands in view.py."""

import threading
from pathlib import Path

import click

from livetower.sandbox import Sandbox, SandboxError

HISTORY = 100_000


class CannotWatch(click.ClickException):
    """What the person can cure: one line and exit code 2."""

    exit_code = 2


@click.command()
@click.option(
    "--run-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="The sandbox's directory. Default: LIVETOWER_HOME/sandbox.",
)
@click.option("--bootstrap-servers", metavar="HOST:PORT", help="Brokers of another Kafka than the sandbox's.")
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The job's settings: its topics, its group, [kafka] with TLS and SASL.",
)
@click.option("--set", "overrides", multiple=True, metavar="SECTION.NAME=VALUE", help="One of the job's settings.")
@click.option("--user", "user_id", metavar="USER", help="The user whose list is shown. Default: whoever is active.")
@click.option(
    "--history",
    type=click.IntRange(min=0),
    default=HISTORY,
    show_default=True,
    help="So many of the newest interactions are read first: what is popular, and what users consumed.",
)
@click.option(
    "--for", "seconds", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="End after so long."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, every five seconds.")
def watch(
    run_dir: Path | None,
    bootstrap_servers: str | None,
    settings_file: Path | None,
    overrides: tuple[str, ...],
    user_id: str | None,
    history: int,
    seconds: float | None,
    as_json: bool,
) -> None:
    """Watch a running job: speed, freshness, hit rates, lag, rejections, clicks, and one user's list as it changes.

    It reads the job's topics and changes nothing. On a terminal the view is drawn in place; elsewhere there is a line
    every five seconds. Freshness is the time from an interaction in Kafka to its list here. Hit rates and clicks are
    those since the watch began. Ctrl-C ends it.

    \b
      livetower watch
      livetower watch --user ada
      livetower watch --bootstrap-servers kafka-1:9092 --settings job.toml
      livetower watch --for 60 --json > watched.jsonl
    """  # noqa: D301  # click wants the backspace: it keeps the lines of the examples
    # Kafka's client need not load for `livetower --help`.
    from flink_jobs.settings import InvalidSettings, load_settings
    from livetower.watch.errors import WatchError
    from livetower.watch.run import Watch, show_until_stopped
    from livetower.watch.screen import JsonLines, choose_renderer

    try:
        given = ["job.snapshot_root=/unused", *overrides]  # which a job must have, and a watch does not need
        if bootstrap_servers is not None or settings_file is None:
            given.append(f"kafka.bootstrap_servers={bootstrap_servers or Sandbox(run_dir).bootstrap_servers}")
        watched = Watch(load_settings(settings_file, given), user_id, history)
        renderer = JsonLines(click.echo) if as_json else choose_renderer(click.echo)
        stop = threading.Event()
        try:
            show_until_stopped(watched.read, watched.view, renderer, stop, seconds)
        except KeyboardInterrupt:
            stop.set()
    except (InvalidSettings, WatchError, SandboxError) as error:
        raise CannotWatch(str(error)) from error
