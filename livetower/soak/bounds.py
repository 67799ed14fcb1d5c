"""Everything of a running Livetower that grows: what bounds it, by which setting, and what a soak sees of it.

docs/bounds.md is written from it (livetower/reference/bounds.py), and a test looks each setting up.
"""

from typing import NamedTuple


class Bound(NamedTuple):
    """One thing that grows."""

    what: str
    bound: str
    settings: tuple[str, ...]
    """Names of docs/settings.md, of Flink, or files of the sandbox."""
    seen_as: str = ""
    """The series of `livetower soak`; empty: a test holds it."""


GROWS: dict[str, tuple[Bound, ...]] = {
    "State": (
        Bound(
            "a user",
            "The newest consumed items, event ids and recents: 13 KiB at the defaults.",
            ("model.consumed_max", "model.dedup_max", "model.recent_items", "model.top_k", "model.dimension"),
        ),
        Bound(
            "users",
            "A user dies a time to live after the last accepted event, and who is read after that is a new one. RocksDB"
            " drops the entry when it merges the file that holds it (the compaction filter): disk is freed by merging, "
            "not at the moment of death.",
            ("model.user_ttl_days",),
            "state: users",
        ),
        Bound(
            "the tower's ring of inputs",
            "The latest 32,000, one place each.",
            ("model.max_record_bytes", "model.consumed_max"),
            "state: tower",
        ),
        Bound("the replay window", "So many examples, in arrays of that length.", ("tower.replay_window",)),
        Bound(
            "items with a row",
            "The hundredth whose last event is longest ago gives way.",
            ("tower.max_items",),
            "tower: items",
        ),
        Bound(
            "catalogue entries of items without a row",
            "As many again; then a hundredth gives way, and is unknown until the catalogue names it again.",
            ("tower.max_items",),
        ),
        Bound(
            "ids that wait for a row",
            "The one without an event for longest gives way.",
            ("tower.admission_waiting_max",),
        ),
        Bound(
            "categories and tags, numbers, named vectors",
            "So many names; 16 numbers; 4 vectors.",
            ("tower.content_columns",),
        ),
        Bound(
            "announcements in broadcast state",
            "The latest full, the latest popularity, the deltas since the full.",
            ("tower.deltas_per_full",),
        ),
    ),
    "Memory": (
        Bound(
            "a TaskManager",
            "The sum of its parts; Python's part follows the item table (`livetower doctor`).",
            (
                "taskmanager.memory.task.off-heap.size",
                "taskmanager.memory.managed.size",
                "taskmanager.memory.task.heap.size",
            ),
            "memory: taskmanager-N",
        ),
        Bound(
            "the JobManager",
            "Its heap and what is beside it.",
            ("jobmanager.memory.heap.size",),
            "memory: jobmanager",
        ),
        Bound("classes of a JVM", "Metaspace.", ("taskmanager.memory.jvm-metaspace.size",), "classes: NAME"),
    ),
    "Disk": (
        Bound(
            "item snapshots",
            "So many files of each kind, and those younger than so many hours.",
            ("tower.snapshot_keep", "tower.snapshot_keep_h"),
            "snapshots: files",
        ),
        Bound(
            "what a killed process left of a snapshot",
            "Deleted when it is as old as files that are kept, a quarter of an hour at least.",
            ("tower.snapshot_keep_h",),
        ),
        Bound(
            "checkpoints of a running job",
            "The newest three; files that none of them needs are deleted.",
            ("execution.checkpointing.num-retained", "job.checkpoint_interval_s"),
            "checkpoints: size on disk",
        ),
        Bound(
            "RocksDB's files on a TaskManager",
            "As the state, with older versions of a user until files are merged.",
            ("model.user_ttl_days",),
            "RocksDB: size on disk",
        ),
        Bound(
            "logs of the sandbox",
            "40 MiB for a process: the file that is written, and three that were.",
            ("conf/log4j2.properties",),
            "logs: size",
        ),
    ),
    "Topics": (
        Bound(
            "`interactions`, `commands`",
            "Records older than so many hours go, file by file.",
            ("topics.retention_h", "topics.segment_mib"),
            "topic: interactions",
        ),
        Bound(
            "`items`, `recommendations`",
            "One record of each key, and what has not been compacted yet. The last list of a user who has died stays: "
            "Kafka knows no time to live of a key.",
            ("topics.segment_mib",),
            "topic: recommendations",
        ),
        Bound(
            "`item-snapshots`",
            "One record of each kind, and deltas for so many hours.",
            ("topics.retention_h", "topics.segment_mib"),
            "topic: item-snapshots",
        ),
        Bound(
            "`rejected`",
            "So many hours, and so many mebibytes a partition, whichever is less.",
            ("topics.retention_h", "topics.rejected_mib"),
            "topic: rejected",
        ),
    ),
}

UNBOUNDED = (
    "Checkpoints of a job that has ended: three stay, for `livetower resume`. Delete those of a job that is over.",
    "Savepoints: each stays until you delete it. Kubernetes keeps seven (`docker/kubernetes.yaml`).",
    "Topics that existed before the job keep the configuration that they were made with.",
)
"""What nothing bounds, and what to do."""
