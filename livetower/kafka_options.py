"""How a command reaches Kafka: the sandbox's broker or another, with TLS and SASL as the job's settings say."""

from collections.abc import Iterable
from pathlib import Path

import click

settings_option = click.option(
    "--settings",
    "settings_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The job's settings, of which [kafka] is read: brokers, TLS and SASL.",
)


def kafka_client(
    run_dir: Path | None, bootstrap_servers: str | None, settings_file: Path | None, given: Iterable[str] = ()
) -> tuple[str, dict[str, str]]:
    """Brokers and librdkafka's properties; `given` are NAME=VALUE of the command line, which win.

    Without brokers in option or file they are the sandbox's. Raises ClickException.
    """
    from flink_jobs.kafka_clients import librdkafka_properties, load_kafka, resolved
    from flink_jobs.settings import InvalidSettings, read_toml
    from livetower.sandbox import Sandbox

    named: dict[str, str] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"a property of the Kafka client is NAME=VALUE; got {pair!r}")
        named[name] = value
    try:
        kafka = load_kafka(settings_file)
        properties = librdkafka_properties(kafka) | resolved("the option", named)
        in_file = settings_file is not None and "bootstrap_servers" in read_toml(settings_file).get("kafka", {})
    except InvalidSettings as error:
        raise click.ClickException(str(error)) from error
    brokers = kafka.bootstrap_servers if in_file else None
    return bootstrap_servers or brokers or Sandbox(run_dir).bootstrap_servers, properties
