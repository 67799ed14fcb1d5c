"""What was seen of this machine, of Flink, of Kafka and of the directories. `None` means that it was not seen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from flink_jobs.settings import JobSettings


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine the doctor runs on."""

    python_trouble: str | None = None
    java: str | None = None  # its version; None where no Java is needed: for a cluster elsewhere
    java_trouble: str | None = None
    other_packages: tuple[tuple[str, str, str], ...] = ()  # name, version needed, version that came ('none')
    jar_troubles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskManager:
    """One registered TaskManager. The environment of its process is seen in the sandbox only."""

    name: str
    host: str
    slots: int
    free_slots: int
    off_heap_mib: int
    environment: Mapping[str, str] | None = None
    missing_packages: tuple[str, ...] = ()  # of those the job imports, by the PYTHONPATH of its environment
    code: str | None = None  # digest of the code on disk when it started


@dataclass(frozen=True, slots=True)
class Flink:
    """A Flink cluster, or why it cannot be asked."""

    address: str
    trouble: str | None = None
    version: str = ""
    java: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    jars: tuple[str, ...] = ()  # names, on the JobManager's class path
    taskmanagers: tuple[TaskManager, ...] = ()


@dataclass(frozen=True, slots=True)
class TopicSeen:
    """One topic that exists."""

    partitions: int
    cleanup_policy: str
    max_message_bytes: int


@dataclass(frozen=True, slots=True)
class Kafka:
    """The brokers, or why they cannot be asked."""

    address: str
    trouble: str | None = None
    brokers: int = 0
    topics: Mapping[str, TopicSeen] = field(default_factory=dict)  # those of the job that exist
    transaction_max_ms: int | None = None
    items: int | None = None  # in the latest announced item snapshot


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is kept: 'checkpoints', 'savepoints' or 'item snapshots'."""

    what: str
    setting: str
    uri: str  # '' when none is named
    trouble: str | None = None  # why nothing can be written there


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the findings are made of."""

    settings: JobSettings
    machine: Machine
    flink: Flink
    kafka: Kafka
    places: tuple[Place, ...]
    code: str  # digest of the code that would be submitted
    python_home: str  # base prefix of this Python
    items: int | None = None  # given by the person; else Kafka's
    shared_directories: bool = False  # local directories are mounts that all machines share
    unseen: tuple[str, ...] = ()  # what could not be looked at, and why
