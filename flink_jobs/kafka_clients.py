"""How [kafka] of the settings becomes the properties of the two Kafka clients: Java's in the job, librdkafka elsewhere.

[kafka.properties] are in Kafka's own names, and TLS and SASL need to be said once, there. `java_properties` gives them
to sources and sinks, `librdkafka_properties` translates them for the client that makes topics and for the command
line; what has no translation (a JKS store, Kerberos, OAuth) goes into [kafka.admin_properties], which win.

A secret is named, not written: `${env:NAME}`, `${file:PATH}` (the whole file), `${file:PATH:KEY}` (a line of a
properties file) or `${directory:DIR:FILE}`. Kafka's own config providers put the value in where a client is made, on
JobManager and TaskManagers: the job's plan, Flink's web UI and the logs hold the name. For librdkafka it is resolved
here, just before the client is made. No message of this module holds a value.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from flink_jobs.settings import InvalidSettings, KafkaSettings, build_dataclass, read_toml

SHADED = "org.apache.flink.kafka.shaded."
"""Where flink-sql-connector-kafka has Kafka's classes."""
_KAFKA_CLASS = re.compile(r"(?<![\w.])org\.apache\.kafka\.")
_PROVIDERS = {
    "env": "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
    "file": "org.apache.kafka.common.config.provider.FileConfigProvider",
    "directory": "org.apache.kafka.common.config.provider.DirectoryConfigProvider",
}
_REFERENCE = re.compile(r"\$\{(env|file|directory):([^}]*)\}")
_CREDENTIAL = re.compile(r'\b(username|password)\s*=\s*"((?:[^"\\]|\\.)*)"')
_WITH_PASSWORD = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_SAME = (
    "security.protocol",
    "sasl.mechanism",
    "client.id",
    "ssl.key.password",
    "ssl.cipher.suites",
    "sasl.kerberos.service.name",
)
"""Properties that both clients have under one name and with one meaning."""


def load_kafka(file: Path | None) -> KafkaSettings:
    """The section [kafka] of a settings file, whatever else that lacks; the defaults without one. Raises
    InvalidSettings.
    """
    tree = {} if file is None else read_toml(file).get("kafka", {})
    if not isinstance(tree, Mapping):
        raise InvalidSettings(f"settings file {file}: needed a section [kafka]; got {tree!r:.80}")
    settings: KafkaSettings = build_dataclass(KafkaSettings, tree, "kafka.")
    return settings


# ---- Java ----------------------------------------------------------------------------------------


def java_properties(kafka: KafkaSettings) -> dict[str, str]:
    """What sources and sinks are given: references stay references, classes of Kafka are named as the connector has
    them.
    """
    given = {name: _KAFKA_CLASS.sub(f"{SHADED}org.apache.kafka.", value) for name, value in kafka.properties.items()}
    given = {name: _REFERENCE.sub(_as_kafka_knows_it, value) for name, value in given.items()}
    used = {found[1] for value in given.values() for found in _REFERENCE.finditer(value)}
    if not used or "config.providers" in given:
        return given
    classes = {f"config.providers.{name}.class": SHADED + _PROVIDERS[name] for name in sorted(used)}
    return given | {"config.providers": ",".join(sorted(used))} | classes


def _as_kafka_knows_it(reference: re.Match[str]) -> str:
    """A reference to a whole file is one to a file of a directory for Kafka."""
    provider, place = reference[1], reference[2]
    if provider != "file" or ":" in place:
        return reference[0]
    return f"${{directory:{Path(place).parent}:{Path(place).name}}}"


# ---- librdkafka ----------------------------------------------------------------------------------


def librdkafka_properties(kafka: KafkaSettings, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The same for librdkafka, with every secret in its place: for a client, not for a log. Raises InvalidSettings when
    a reference leads nowhere or a store cannot be read by librdkafka.
    """
    admin = resolved("kafka.admin_properties", kafka.admin_properties, environment)
    java = resolved("kafka.properties", kafka.properties, environment)
    translated = {name: java[name] for name in _SAME if name in java}
    for translate in (_trust, _identity, _login):
        translated |= translate(java, admin)
    if "ssl.endpoint.identification.algorithm" in java:
        translated["ssl.endpoint.identification.algorithm"] = java["ssl.endpoint.identification.algorithm"] or "none"
    return translated | admin


def _trust(java: Mapping[str, str], admin: Mapping[str, str]) -> dict[str, str]:
    if "ssl.truststore.certificates" in java:
        return {"ssl.ca.pem": java["ssl.truststore.certificates"]}
    store = java.get("ssl.truststore.location")
    if store is None or admin.keys() & {"ssl.ca.location", "ssl.ca.pem"}:
        return {}
    kind = java.get("ssl.truststore.type", "JKS")
    if kind != "PEM":
        raise InvalidSettings(
            f"kafka.properties.ssl.truststore.location: needed ssl.truststore.type PEM, which both Kafka clients read; "
            f"got {kind!r}. Or set kafka.admin_properties.ssl.ca.location, a PEM file, beside it"
        )
    return {"ssl.ca.location": store}


def _identity(java: Mapping[str, str], admin: Mapping[str, str]) -> dict[str, str]:
    if "ssl.keystore.key" in java:
        return {
            "ssl.key.pem": java["ssl.keystore.key"],
            "ssl.certificate.pem": java.get("ssl.keystore.certificate.chain", ""),
        }
    store = java.get("ssl.keystore.location")
    if store is None or admin.keys() & {"ssl.certificate.location", "ssl.keystore.location", "ssl.certificate.pem"}:
        return {}
    kind = java.get("ssl.keystore.type", "JKS")
    if kind == "PEM":
        return {"ssl.certificate.location": store, "ssl.key.location": store}
    if kind == "PKCS12":
        return {"ssl.keystore.location": store, "ssl.keystore.password": java.get("ssl.keystore.password", "")}
    raise InvalidSettings(
        f"kafka.properties.ssl.keystore.location: needed ssl.keystore.type PEM or PKCS12, which both Kafka clients "
        f"read; got {kind!r}. Or set kafka.admin_properties.ssl.keystore.location, a PKCS12 file, beside it"
    )


def _login(java: Mapping[str, str], admin: Mapping[str, str]) -> dict[str, str]:
    said = java.get("sasl.jaas.config")
    if said is None or java.get("sasl.mechanism") not in _WITH_PASSWORD:
        return {}
    found = {name: re.sub(r"\\(.)", r"\1", value) for name, value in _CREDENTIAL.findall(said)}
    if missing := {"username", "password"} - found.keys() - {name.removeprefix("sasl.") for name in admin}:
        raise InvalidSettings(
            f'kafka.properties.sasl.jaas.config: needed username="…" and password="…"; there is no '
            f"{' and no '.join(sorted(missing))}"
        )
    return {f"sasl.{name}": value for name, value in found.items()}


# ---- secrets -------------------------------------------------------------------------------------


def resolved(
    section: str, properties: Mapping[str, str], environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The properties with the value of each reference in its place. Raises InvalidSettings, naming the reference."""

    def put_in(name: str) -> Callable[[re.Match[str]], str]:
        return lambda reference: _value_of(reference, f"{section}.{name}", environment)

    return {name: _REFERENCE.sub(put_in(name), value) for name, value in properties.items()}


def _value_of(reference: re.Match[str], setting: str, environment: Mapping[str, str]) -> str:
    provider, place = reference[1], reference[2]
    if provider == "env":
        if place not in environment:
            raise InvalidSettings(
                f"{setting}: needed the environment variable {place!r}, which {reference[0]} names; it is not set here"
            )
        return environment[place]
    path, _, key = place.partition(":")
    try:
        if provider == "file" and key:
            return _line_of(Path(path).read_text("utf-8"), key)
        text = (Path(path) / key if provider == "directory" else Path(path)).read_text("utf-8")
    except (OSError, UnicodeDecodeError, KeyError) as error:
        cause = type(error).__name__ if not isinstance(error, OSError) else error.strerror
        raise InvalidSettings(f"{setting}: needed what {reference[0]} names; got {cause}") from None
    if text != text.rstrip("\r\n"):
        raise InvalidSettings(
            f"{setting}: needed a file without a line end, which Kafka would take for a part of the secret; "
            f"{reference[0]} names one with it. Write it by `printf %s`"
        )
    return text


def _line_of(text: str, key: str) -> str:
    """The value of `key=value` in a properties file. Raises KeyError."""
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and name.strip() == key and not line.lstrip().startswith(("#", "!")):
            return value.strip()
    raise KeyError(key)
