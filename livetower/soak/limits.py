"""What each series of one soak must stay below, from its settings and its traffic. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from flink_jobs.settings import JobSettings
from livetower.cluster import OPTIONS, TASKMANAGER_MIB
from livetower.sandbox.flink import JOBMANAGER_HEAP_MIB, METASPACE_MIB
from livetower.sandbox.kafka import HEAP_MIB
from livetower.sandbox.log_files import LOG_MIB, LOGS_KEPT
from models.settings import ModelSettings
from models.tower_state import LOG_INPUTS
from operators.publisher import PRUNE_EVERY

JVM_MIB: Final = 350
"""Of a small JVM beside heap and classes: compiled code, threads, buffers, the jars that it has mapped."""
RSS_MIB_PER_HOUR: Final = 64
"""The heaps are touched in full at the start, so what still grows is Python's or a leak."""
THREADS_PER_HOUR: Final = 12
CLASSES_MIB_PER_HOUR: Final = 16
WAIT_MS_PER_HOUR: Final = 50
VERSIONS: Final = 6
"""Of a user in RocksDB's files: the newest, and those in the four files of level 0 and one that is being merged."""
RETENTION_LOOK_S: Final = 300
"""Kafka looks so often for what is old (log.retention.check.interval.ms), and waits a minute to delete it."""
CLEANER_BEHIND_S: Final = 180
"""Kafka's cleaner compacts one partition after the other; meanwhile so many seconds of lists come."""
OPEN_FILES: Final = 2
"""Of a partition: the one that is written, and one that waits to be deleted or that the cleaner writes."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What flows: `rate` events/s by `users` at a time, of whom `users_per_s` leave for good; items likewise."""

    rate: int
    users: int
    users_per_s: float
    items: int
    items_per_s: float


@dataclass(frozen=True, slots=True)
class Limit:
    """What a series must stay below; None: it is only shown."""

    unit: str
    at_most: float | None
    per_hour: float | None
    setting: str
    """The settings that the bound comes from."""


def user_bytes_max(model: ModelSettings) -> int:
    """Length of the longest blob of a user (models/user_state.py).

    >>> user_bytes_max(ModelSettings())
    13272
    """
    header, moments = 80, 2 * model.dimension if model.optimizer == "adam" else 0
    ids = 16 * model.recent_items + 12 * model.consumed_max + 8 * (model.dedup_max + model.top_k)
    return header + ids + 4 * (model.dimension + moments)


def limits_of(
    settings: JobSettings,
    traffic: Traffic,
    processes: Iterable[str],
    event_bytes: float,
    list_bytes: float,
    hours: float,
) -> dict[str, Limit]:
    """Limit of each series by its name; `event_bytes` and `list_bytes` are what records take in Kafka's files."""
    topics, job, model, tower = settings.topics, settings.job, settings.model, settings.tower
    names = [*processes]
    limits = dict(_process_limits(names))
    ttl_s = 86_400 * model.user_ttl_days if model.user_ttl_days else 3_600 * hours
    alive = traffic.users + traffic.users_per_s * (ttl_s + 2 * job.checkpoint_interval_s)
    user_mib = alive * user_bytes_max(model) * VERSIONS / 2**20
    limits["state: users"] = Limit("MiB", user_mib, None, "model.user_ttl_days, model.consumed_max")
    tower_mib = tower_state_mib(settings)
    limits["state: tower"] = Limit("MiB", tower_mib, None, "tower.max_items, model.consumed_max")
    limits["tower: items"] = Limit("", float(tower.max_items), None, "tower.max_items")
    disk_mib = int(OPTIONS["execution.checkpointing.num-retained"]) * (user_mib + tower_mib)
    limits["checkpoints: size on disk"] = Limit("MiB", disk_mib, None, "execution.checkpointing.num-retained")
    limits["checkpoints: duration"] = Limit("ms", 1_000 * job.checkpoint_interval_s, None, "job.checkpoint_interval_s")
    limits["RocksDB: size on disk"] = Limit("MiB", 2 * (user_mib + tower_mib), None, "model.user_ttl_days")
    apart_s = max(tower.snapshot_apart_s, min(tower.snapshot_interval_s, tower.snapshot_examples / traffic.rate))
    kept = max(tower.snapshot_keep, 3_600 * tower.snapshot_keep_h / apart_s) + PRUNE_EVERY
    limits["snapshots: files"] = Limit("", 3 * kept, None, "tower.snapshot_keep, tower.snapshot_keep_h")
    logs_mib = len(names) * (LOGS_KEPT + 1) * LOG_MIB
    limits["logs: size"] = Limit("MiB", float(logs_mib), None, "conf/log4j2.properties")
    old_s = 3_600 * topics.retention_h + RETENTION_LOOK_S + 60
    open_mib = OPEN_FILES * topics.partitions * topics.segment_mib
    events_mib = traffic.rate * event_bytes * min(old_s, 3_600 * hours + 600) / 2**20 + open_mib
    limits["topic: interactions"] = Limit("MiB", events_mib, None, "topics.retention_h, topics.segment_mib")
    known = traffic.users + traffic.users_per_s * 3_600 * hours
    lists_mib = list_bytes * (2 * known + traffic.rate * CLEANER_BEHIND_S) / 2**20 + open_mib
    limits["topic: recommendations"] = Limit("MiB", lists_mib, None, "topics.segment_mib")
    limits["topic: rejected"] = Limit(
        "MiB", float(topics.partitions * (topics.rejected_mib + topics.segment_mib)), None, "topics.rejected_mib"
    )
    limits["freshness: p99"] = Limit("ms", None, WAIT_MS_PER_HOUR, "job.parallelism")
    limits["events without a list"] = Limit("", 10.0 * traffic.rate, None, "job.parallelism")
    return limits


def tower_state_mib(settings: JobSettings) -> float:
    """Most that the tower's state takes: its ring, its rows and its catalogue, twice for what is not merged yet."""
    model, tower = settings.model, settings.tower
    example = 500 + 4 * model.dimension + 12 * model.recent_items + 2 * min(2_048, model.consumed_max)
    row = 8 * model.dimension + 8 * len(tower.half_lives) + 64
    entry = 512
    entries = 2 * tower.max_items + min(tower.admission_waiting_max, 10_000)
    return 2 * (LOG_INPUTS * example + tower.max_items * row + entries * entry) / 2**20 + 64


def _process_limits(processes: Iterable[str]) -> Iterable[tuple[str, Limit]]:
    for name in processes:
        at_most, setting = _memory_of(name)
        yield f"memory: {name}", Limit("MiB", at_most, RSS_MIB_PER_HOUR, setting)
        if name.startswith(("taskmanager", "jobmanager")):
            yield f"classes: {name}", Limit("MiB", float(METASPACE_MIB), CLASSES_MIB_PER_HOUR, "jvm-metaspace")
            yield f"threads: {name}", Limit("", None, THREADS_PER_HOUR, "job.parallelism")
            yield f"heap: {name}", Limit("MiB", _heap_mib(name), None, "taskmanager.memory.task.heap.size")


def _heap_mib(name: str) -> float:
    if name.startswith("jobmanager"):
        return JOBMANAGER_HEAP_MIB
    return TASKMANAGER_MIB["framework.heap"] + TASKMANAGER_MIB["task.heap"]


def _memory_of(name: str) -> tuple[float, str]:
    if name.startswith("taskmanager"):
        return float(sum(TASKMANAGER_MIB.values())), "taskmanager.memory.*"
    if name == "jobmanager":
        return float(JOBMANAGER_HEAP_MIB + METASPACE_MIB + JVM_MIB), "jobmanager.memory.*"
    return float(HEAP_MIB + METASPACE_MIB + JVM_MIB), "the broker's -Xmx"
