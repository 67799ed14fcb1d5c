"""The command `livetower demo`. What it does stands in run.py; livetower/cli.py adds it to the other commands."""

import click

from livetower.demo.errors import DemoError


@click.command()
@click.option("--events", type=click.IntRange(min=10), help="Replay only the first N events, for a quick look.")
def demo(events: int | None) -> None:
    """Replay MovieLens-100k through a real Kafka and Flink and print what the recommender does with it.

    Takes a few minutes. The cluster keeps running afterwards; Ctrl-C during the demo stops everything it started.
    """
    # numpy, pyarrow and Kafka's client need not load for `livetower --help`.
    from confluent_kafka import KafkaException

    from livetower.demo.run import run_demo
    from livetower.sandbox.home import livetower_home

    try:
        run_demo(livetower_home() / "demo", events, click.echo)
    except (DemoError, KafkaException) as error:
        raise click.ClickException(str(error)) from error
