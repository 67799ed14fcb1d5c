"""The command `livetower command`: one record for the topic `commands` of a running job.

It sends and prints the record's command_id; what comes of it the item tower says in its log and its counters
(refreshes, rollbacks, command_failed), and every announcement names its epoch.
"""

import uuid
from pathlib import Path

import click

from livetower.kafka_options import kafka_client, settings_option
from models.commands import Command, CommandKind, encode_command, parse_to

WAIT_S = 10.0


@click.group()
def command() -> None:
    """Tell the item tower of a running job to learn anew or to go back."""


run_dir_option = click.option(
    "--run-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="The sandbox's directory. Default: LIVETOWER_HOME/sandbox.",
)
bootstrap_option = click.option(
    "--bootstrap-servers", metavar="HOST:PORT", help="Brokers of another Kafka than the sandbox's."
)
topic_option = click.option("--topic", default="commands", show_default=True, help="The job's topics.commands.")


@command.command("full_refresh")
@run_dir_option
@bootstrap_option
@settings_option
@topic_option
def full_refresh(run_dir: Path | None, bootstrap_servers: str | None, settings_file: Path | None, topic: str) -> None:
    """Learn all vectors anew from the replay window and publish them at once, in a new epoch."""
    send(Command(CommandKind.FULL_REFRESH, new_id()), run_dir, bootstrap_servers, settings_file, topic)


@command.command("rollback")
@run_dir_option
@bootstrap_option
@settings_option
@topic_option
@click.option(
    "--to", metavar="EPOCH-EVENTS", help="The full snapshot to go back to. Default: the one before that in use."
)
def rollback(
    run_dir: Path | None, bootstrap_servers: str | None, settings_file: Path | None, topic: str, to: str | None
) -> None:
    """Go back to the vectors of an earlier full snapshot, in a new epoch."""
    try:
        named = None if to is None else parse_to(to)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--to") from error
    send(Command(CommandKind.ROLLBACK, new_id(), named), run_dir, bootstrap_servers, settings_file, topic)


def new_id() -> str:
    """A command_id that no other command has."""
    return uuid.uuid4().hex[:12]


def send(
    asked: Command, run_dir: Path | None, bootstrap_servers: str | None, settings_file: Path | None, topic: str
) -> None:
    """Put a command on the topic and print its command_id. Raises ClickException if the broker does not take it."""
    # Kafka's client need not load for `livetower --help`.
    from confluent_kafka import KafkaException, Message, Producer

    failed: list[str] = []

    def note(error: object, _message: Message) -> None:
        if error is not None:
            failed.append(str(error))

    brokers, properties = kafka_client(run_dir, bootstrap_servers, settings_file)
    ours = {"bootstrap.servers": brokers, "message.timeout.ms": round(1_000 * WAIT_S), "log_level": 0}
    producer = Producer({**properties, **ours})
    try:
        producer.produce(topic, value=encode_command(asked), on_delivery=note)
        producer.flush(WAIT_S + 1)
    except KafkaException as error:
        failed.append(str(error))
    if failed:
        raise click.ClickException(
            f"the command did not reach topic {topic!r} on {brokers}: {failed[0]}. Does the broker run "
            "(`livetower ps`), and has a job made the topic?"
        )
    click.echo(asked.command_id)
