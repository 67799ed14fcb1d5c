"""Everything that can be set about the job, read once in main: a TOML file, then `--set section.name=value`.

    [kafka]                      one section per dataclass below; [job] holds the rest
    bootstrap_servers = "localhost:9092"
    [kafka.properties]           of every Kafka client (TLS, SASL); a secret is named: "${env:NAME}", "${file:PATH}"
    "security.protocol" = "SSL"
    [job]
    snapshot_root = "/var/lib/livetower/snapshots"

The model's own settings are models/settings.py (sections [model] and [tower]). Where a value is used: topics.py,
tables.py, recommend_job.py, kafka_clients.py.
"""

import difflib
import json
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from models.settings import ModelSettings, TowerSettings

USER_KEYS = ("kafka-key", "payload")
IDEMPOTENT, EXACTLY_ONCE = "idempotent", "exactly-once"
RESTART_S = 60.0
"""A transaction must live so much longer than a checkpoint's interval, for the checkpoint itself and for a restart."""


class InvalidSettings(ValueError):
    """A setting is missing, unknown or out of its range; the message says which, what was needed and what came."""


def require(condition: bool, name: str, needed: str, came: object) -> None:
    """Raise InvalidSettings unless the condition holds."""
    if not condition:
        raise InvalidSettings(f"setting {name}: needed {needed}; got {came!r}")


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """How every Kafka client of the job reaches the brokers."""

    bootstrap_servers: str = "localhost:9092"
    """Brokers, host:port separated by commas."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Client properties in Kafka's own names, given to every source and sink; TLS and SASL are translated for the other
    clients (topics, command line). A secret is named: `${env:NAME}` or `${file:PATH}`, resolved where a client is
    made."""
    admin_properties: Mapping[str, str] = field(default_factory=dict)
    """Properties, in librdkafka's names, of the client that creates missing topics and of the command line's: what
    [kafka.properties] cannot say for them."""
    delivery: str = IDEMPOTENT
    """How lists and rejected records are delivered: 'idempotent' (at once, at least once: keep the newest of a user) or
    'exactly-once' (in Kafka's transactions: readers of committed records see each once, after its checkpoint)."""
    transaction_timeout_s: float = 900.0
    """With exactly-once: the broker aborts a transaction after so long. It is how long a job may be down without losing
    lists, less one checkpoint's interval; brokers allow 900 unless transaction.max.timeout.ms says otherwise."""

    def __post_init__(self) -> None:
        require(
            self.delivery in (IDEMPOTENT, EXACTLY_ONCE),
            "kafka.delivery",
            f"{IDEMPOTENT} or {EXACTLY_ONCE}",
            self.delivery,
        )
        require(
            1 <= self.transaction_timeout_s <= 2_000_000,
            "kafka.transaction_timeout_s",
            "in [1, 2000000]",
            self.transaction_timeout_s,
        )
        require(
            bool(self.bootstrap_servers.strip()),
            "kafka.bootstrap_servers",
            "host:port[,host:port…]",
            self.bootstrap_servers,
        )
        reserved = {
            "bootstrap.servers",
            "group.id",
            "auto.offset.reset",
            "linger.ms",
            "max.in.flight.requests.per.connection",
            "acks",
            "max.request.size",
            "transaction.timeout.ms",
            "transactional.id",
        } & self.properties.keys()
        require(not reserved, "kafka.properties", "none of the properties that the job sets itself", sorted(reserved))


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """The topics' names, and what they are created with when they are missing."""

    interactions: str = "interactions"
    """What users did; key: the user id."""
    interactions_priority: str = "interactions-priority"
    """The same, in a lane of its own that does not wait behind a backlog of `interactions`; '': none. Events of one
    user on both lanes have no order."""
    items: str = "items"
    """The catalogue; key: the item id; compacted."""
    item_snapshots: str = "item-snapshots"
    """Announcements of item snapshots; one partition, since their order matters."""
    commands: str = "commands"
    """Commands to the item tower (full_refresh, rollback); one partition."""
    recommendations: str = "recommendations"
    """Lists; key: the user id; compacted."""
    rejected: str = "rejected"
    """Records that were not accepted, with the reason in their headers."""
    partitions: int = 4
    """Partitions of every topic but item_snapshots and commands."""
    replication_factor: int = 1
    """Copies of every partition; 3 on a cluster that must survive a broker."""
    retention_h: float = 168.0
    """Hours that interactions, item_snapshots, commands and rejected keep a record; the others keep one of each key."""
    rejected_mib: int = 1_024
    """… and mebibytes that a partition of `rejected` keeps at most: a broken source must not fill the broker's disk."""
    segment_mib: int = 128
    """Size at which a file of a partition is closed; the open one is neither compacted nor deleted."""

    def __post_init__(self) -> None:
        names = (
            self.interactions,
            self.items,
            self.item_snapshots,
            self.commands,
            self.recommendations,
            self.rejected,
        )
        every = names if self.interactions_priority == "" else (*names, self.interactions_priority)
        require(all(names) and len(set(every)) == len(every), "topics", f"{len(every)} different names", every)
        require(1 <= self.partitions <= 10_000, "topics.partitions", "in [1, 10000]", self.partitions)
        require(
            1 <= self.replication_factor <= 100, "topics.replication_factor", "in [1, 100]", self.replication_factor
        )
        require(self.retention_h > 0, "topics.retention_h", "more than 0 hours", self.retention_h)
        require(self.rejected_mib >= 1, "topics.rejected_mib", "1 or more", self.rejected_mib)
        require(1 <= self.segment_mib <= 2_047, "topics.segment_mib", "in [1, 2047]", self.segment_mib)


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How the job runs in Flink."""

    snapshot_root: str = ""
    """Must be given: absolute directory or URI of item snapshots. The tower writes them, every TaskManager reads
    them."""
    pin_snapshot: str = ""
    """For proofs and debugging: the full snapshot file (path or URI) that ranks for ever; announcements are ignored."""
    start_tower: str = ""
    """The item tower, written by `livetower train` (path or URI), that a job without state begins with; a restored job
    leaves it aside."""
    group_id: str = "livetower"
    """Consumer group of the sources; it is where a first start without a savepoint begins."""
    user_key: str = "kafka-key"
    """Where an interaction's user comes from: 'kafka-key' (the record's key) or 'payload' ($.user_id of its value)."""
    parallelism: int = 1
    """Subtasks of learn-and-recommend; train-item-tower always has one."""
    max_parallelism: int = 128
    """Key groups, the most subtasks there can ever be; it cannot be changed without losing the state."""
    checkpoint_interval_s: float = 10.0
    """Seconds from the start of a checkpoint to the start of the next."""

    def __post_init__(self) -> None:
        place = self.snapshot_root  # a relative path would mean another directory in each process
        absolute = "://" in place or Path(place).is_absolute()
        require(absolute, "job.snapshot_root", "an absolute directory or a URI that every TaskManager reaches", place)
        for name, place in (("job.pin_snapshot", self.pin_snapshot), ("job.start_tower", self.start_tower)):
            absolute = not place or "://" in place or Path(place).is_absolute()
            require(absolute, name, "an absolute path or a URI that every TaskManager reaches", place)
        require(bool(self.group_id), "job.group_id", "a name", self.group_id)
        require(self.user_key in USER_KEYS, "job.user_key", f"one of {', '.join(USER_KEYS)}", self.user_key)
        require(1 <= self.max_parallelism <= 32_768, "job.max_parallelism", "in [1, 32768]", self.max_parallelism)
        require(
            1 <= self.parallelism <= self.max_parallelism,
            "job.parallelism",
            f"in [1, {self.max_parallelism}]",
            self.parallelism,
        )
        require(
            0.1 <= self.checkpoint_interval_s <= 86_400,
            "job.checkpoint_interval_s",
            "in [0.1, 86400]",
            self.checkpoint_interval_s,
        )


@dataclass(frozen=True, slots=True)
class JobSettings:
    """All settings of one job; every field is one section of the file."""

    kafka: KafkaSettings
    topics: TopicSettings
    job: RunSettings
    model: ModelSettings
    tower: TowerSettings

    def __post_init__(self) -> None:
        least_s = self.job.checkpoint_interval_s + RESTART_S
        require(
            self.kafka.delivery != EXACTLY_ONCE or self.kafka.transaction_timeout_s >= least_s,
            "kafka.transaction_timeout_s",
            f"{least_s:g} or more (job.checkpoint_interval_s and {RESTART_S:g} s for a restart)",
            self.kafka.transaction_timeout_s,
        )


def load_settings(file: Path | None, overrides: Iterable[str] = ()) -> JobSettings:
    """Settings from a TOML file (or the defaults), with each override 'section.name=value' on top.

    Raises InvalidSettings for an unknown name (naming the nearest known one), a value of another type, or one out of
    its range.
    """
    tree: dict[str, Any] = {} if file is None else read_toml(file)
    for override in overrides:
        put_override(tree, override)
    settings: JobSettings = build_dataclass(JobSettings, tree, "")
    return settings


def read_toml(file: Path) -> dict[str, Any]:
    """The file's contents; raises InvalidSettings when it cannot be read or is no TOML."""
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidSettings(f"settings file {file}: needed a readable TOML file; got {error}") from error


def put_override(tree: dict[str, Any], override: str) -> None:
    """Put 'section.name=value' into the tree; the value is read as TOML where it is TOML ('3', 'true', '[1, 2]'),
    else as text.

    >>> tree = {}
    >>> put_override(tree, "job.parallelism=2")
    >>> put_override(tree, "kafka.properties.security.protocol=SSL")
    >>> put_override(tree, "model.event_weights.skip=0")
    >>> tree["kafka"], tree["model"]
    ({'properties': {'security.protocol': 'SSL'}}, {'event_weights': {'skip': 0}})
    """
    path, equals, text = override.partition("=")
    section, dot, name = path.strip().partition(".")
    require(bool(equals and dot and name), "--set", "section.name=value", override)
    branch = tree.setdefault(section, {})
    table, _, property_name = name.partition(".")
    if property_name and table in ("properties", "admin_properties"):  # Kafka's own names hold dots
        branch.setdefault(table, {})[property_name] = text
    elif property_name:
        branch.setdefault(table, {})[property_name] = value_of_text(section, table, text)
    else:
        branch[name] = value_of_text(section, name, text)


def value_of_text(section: str, name: str, text: str) -> Any:
    """The value of an override: text as it stands for a setting that is text, TOML for every other."""
    section_type = typing.get_type_hints(JobSettings).get(section)
    if section_type is None or typing.get_type_hints(section_type).get(name) is str:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def build_dataclass(cls: type, tree: Mapping[str, Any], path: str) -> Any:
    """An instance of a settings dataclass from nested mappings; names and types are checked against its annotations."""
    hints = typing.get_type_hints(cls)
    for name in tree.keys() - hints.keys():
        near = difflib.get_close_matches(name, hints, n=1, cutoff=0.0)[0]
        raise InvalidSettings(f"setting {path}{name}: no such setting; the nearest is {path}{near}")
    values = {}
    for f in fields(cls):
        kind = hints[f.name]
        if is_dataclass(kind):
            branch = tree.get(f.name, {})
            require(isinstance(branch, Mapping), f"{path}{f.name}", "a section", branch)
            values[f.name] = build_dataclass(typing.cast(type, kind), branch, f"{path}{f.name}.")
        elif f.name in tree:
            values[f.name] = typed(kind, tree[f.name], f"{path}{f.name}")
    try:
        return cls(**values)
    except InvalidSettings:
        raise
    except ValueError as error:  # models/settings.py has no reason to know this module's exception
        raise InvalidSettings(str(error)) from error


def typed(kind: Any, value: Any, path: str) -> Any:
    """The value as the annotation wants it; an int may stand for a float, a list for a tuple, nothing else."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        require(isinstance(value, list | tuple), path, "a list", value)
        return tuple(typed(arguments[0], v, f"{path}[{i}]") for i, v in enumerate(value))
    if origin is not None and issubclass(origin, Mapping):
        require(isinstance(value, Mapping), path, f"a table of values of type {arguments[1].__name__}", value)
        return types.MappingProxyType({name: typed(arguments[1], v, f"{path}.{name}") for name, v in value.items()})
    if kind is float and type(value) is int:
        return float(value)
    require(type(value) is kind, path, f"a value of type {kind.__name__}", value)
    return value


def settings_json(settings: JobSettings) -> str:
    """The settings as JSON, for the log and for state: values of Kafka properties, the texts in a table, are left out,
    since they may be secrets.
    """

    def tree(value: Any) -> Any:
        if is_dataclass(value):
            return {f.name: tree(getattr(value, f.name)) for f in fields(value)}
        if isinstance(value, Mapping):
            return sorted(value) if any(isinstance(v, str) for v in value.values()) else dict(value)
        return value

    return json.dumps(tree(settings))
