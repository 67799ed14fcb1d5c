"""From facts to findings: a sound set-up has none, and each that is broken in one thing has just that one."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from restricted import ROOT

from flink_jobs.settings import JobSettings, load_settings
from flink_jobs.topics import topics_needed
from livetower import cluster
from livetower.doctor.checks import CHECKS, doctor_page
from livetower.doctor.facts import Facts, Flink, Kafka, Machine, Place, TaskManager, TopicSeen
from livetower.doctor.findings import CONNECTOR_JAR, PYTHON_JAR, findings
from livetower.sandbox.jars import ROOTS
from models.item_table import Popularity, make_item_table
from models.settings import ModelSettings, TowerSettings

SETTINGS = load_settings(None, ["job.snapshot_root=s3://bucket/snapshots"])
OPTIONS = {
    "python.execution-mode": "thread",
    "state.backend.type": "rocksdb",
    "execution.checkpointing.incremental": "true",
    "taskmanager.network.memory.buffer-debloat.enabled": "true",
}
DIRECTORY, REACHED = "execution.checkpointing.dir", "checkpoints must be where every machine reaches them"
OFF_HEAP = "taskmanager.memory.task.off-heap.size"
HOME = {"PYTHONHOME": "/usr", "PYTHONPATH": "/venv/site-packages"}


def manager(name: str, host: str = "a", **changes: Any) -> TaskManager:
    return replace(TaskManager(name, host, 1, 1, 576, HOME, (), "c0de"), **changes)


def topics(settings: JobSettings = SETTINGS) -> dict[str, TopicSeen]:
    return {t.name: TopicSeen(t.partitions, t.cleanup_policy, t.max_message_bytes) for t in topics_needed(settings)}


FLINK = Flink(
    "http://flink:8081", None, "2.2.1", "OpenJDK 64-Bit Server VM - Eclipse Adoptium - 21/21.0.8+9", OPTIONS,
    ("flink-dist-2.2.1.jar", CONNECTOR_JAR, PYTHON_JAR), (manager("tm-1"), manager("tm-2", "b")),
)  # fmt: skip
KAFKA = Kafka("kafka-1:9092", None, 1, topics(), 900_000, 1_683)
PLACES = (
    Place("checkpoints", "execution.checkpointing.dir", "s3://bucket/checkpoints"),
    Place("savepoints", "execution.checkpointing.savepoint-dir", "s3://bucket/savepoints"),
    Place("item snapshots", "job.snapshot_root", "s3://bucket/snapshots"),
)
SOUND = Facts(SETTINGS, Machine(java="21.0.8"), FLINK, KAFKA, PLACES, "c0de", "/usr")


def with_settings(*overrides: str, **facts: Any) -> Facts:
    settings = load_settings(None, ["job.snapshot_root=s3://bucket/snapshots", *overrides])
    return replace(SOUND, settings=settings, **facts)


def with_machine(**changes: Any) -> Facts:
    return replace(SOUND, machine=replace(SOUND.machine, **changes))


def with_flink(**changes: Any) -> Facts:
    return replace(SOUND, flink=replace(FLINK, **changes))


def with_option(name: str, value: str) -> Facts:
    return with_flink(options=OPTIONS | {name: value})


def with_manager(**changes: Any) -> Facts:
    return with_flink(taskmanagers=(manager("tm-1"), manager("tm-2", "b", **changes)))


def with_topic(name: str, **changes: Any) -> Facts:
    return replace(SOUND, kafka=replace(KAFKA, topics=topics() | {name: replace(topics()[name], **changes)}))


def with_place(at: int, **changes: Any) -> Facts:
    return replace(SOUND, places=tuple(replace(p, **changes) if n == at else p for n, p in enumerate(PLACES)))


BROKEN: dict[str, tuple[Facts, str]] = {
    "no Java": (with_machine(java=None, java_trouble="no /x/bin/java"), "LT-DOC-101: no /x/bin/java"),
    "an old Java": (with_machine(java="1.8.0_392"), "LT-DOC-101: Java 17 or 21 was needed; got 1.8.0_392"),
    "a Python without its library": (with_machine(python_trouble="no libpython"), "LT-DOC-102: no libpython"),
    "another numpy": (
        with_machine(other_packages=(("numpy", "2.1.3", "1.26.4"), ("torch", "2.15.0", "none"))),
        "LT-DOC-103: needed numpy 2.1.3 (got 1.26.4), torch 2.15.0 (got none)",
    ),
    "a jar is missing": (with_machine(jar_troubles=("a:b:1 is missing",)), "LT-DOC-104: a:b:1 is missing"),
    "no Flink": (
        with_flink(trouble="Connection refused"),
        "LT-DOC-201: Flink at http://flink:8081 does not answer: Connection refused",
    ),
    "an older Flink": (with_flink(version="2.1.0"), "LT-DOC-202: Flink 2.2 was needed; got 2.1.0"),
    "a far newer Flink": (with_flink(version="2.20.0"), "LT-DOC-202: Flink 2.2 was needed; got 2.20.0"),
    "process mode": (
        with_option("python.execution-mode", "process"),
        "LT-DOC-203: python.execution-mode: needed 'thread'; got 'process'",
    ),
    "Flink's own default mode": (
        with_flink(options={k: v for k, v in OPTIONS.items() if k != "python.execution-mode"}),
        "LT-DOC-203: python.execution-mode: needed 'thread'; got 'process'",
    ),
    "no flink-python in lib": (
        with_flink(jars=(CONNECTOR_JAR,)),
        f"LT-DOC-204: {PYTHON_JAR}: not on Flink's class path; got none of another version",
    ),
    "an older connector": (
        with_flink(jars=("flink-sql-connector-kafka-4.0.0-2.0.jar", PYTHON_JAR)),
        f"LT-DOC-204: {CONNECTOR_JAR}: not on Flink's class path; got flink-sql-connector-kafka-4.0.0-2.0.jar",
    ),
    "two slots in one TaskManager": (
        with_manager(slots=2, free_slots=2),
        "LT-DOC-205: one slot in each TaskManager was needed; tm-2 has 2",
    ),
    "too few slots": (
        with_settings("job.parallelism=4"),
        "LT-DOC-206: 5 slots were needed; 2 TaskManager(s) have 2",
    ),
    "no TaskManager": (with_flink(taskmanagers=()), "LT-DOC-206: 2 slots were needed; 0 TaskManager(s) have 0"),
    "slots that another job holds": (
        with_manager(free_slots=0),
        "LT-DOC-214: 2 free slots were needed; 1 of 2 are free",
    ),
    "no PYTHONHOME": (
        with_manager(environment={"PYTHONPATH": "/venv/site-packages"}),
        "LT-DOC-207: tm-2: PYTHONHOME=/usr was needed; got none",
    ),
    "the PYTHONHOME of another Python": (
        with_manager(environment=HOME | {"PYTHONHOME": "/opt/python3.12"}),
        "LT-DOC-207: tm-2: PYTHONHOME=/usr was needed; got /opt/python3.12",
    ),
    "no packages on the PYTHONPATH": (
        with_manager(missing_packages=("models", "pemja")),
        "LT-DOC-208: tm-2: no models, pemja on its PYTHONPATH /venv/site-packages",
    ),
    "other code": (
        with_manager(code="01d"),
        "LT-DOC-209: code c0de would be submitted; tm-2 started with other",
    ),
    "a catalogue that does not fit": (
        replace(SOUND, items=1_000_000),
        f"LT-DOC-210: {OFF_HEAP}: 4224m were needed for 1,000,000 items of dimension 64; got 576m",
    ),
    "a TaskManager without memory for Python": (
        with_manager(off_heap_mib=0),
        f"LT-DOC-210: {OFF_HEAP}: 576m were needed for 1,683 items of dimension 64; got 0m",
    ),
    "state on the heap": (
        with_option("state.backend.type", "hashmap"),
        "LT-DOC-211: state.backend.type is 'hashmap', execution.checkpointing.incremental is 'true'",
    ),
    "no debloating": (
        with_option("taskmanager.network.memory.buffer-debloat.enabled", "false"),
        "LT-DOC-212: taskmanager.network.memory.buffer-debloat.enabled is 'false'",
    ),
    "a cluster on Java 8": (
        with_flink(java="OpenJDK 64-Bit Server VM - Temurin - 1.8/25.392-b08"),
        "LT-DOC-213: Java 11, 17 or 21 was needed; Flink runs on OpenJDK 64-Bit Server VM - Temurin - 1.8/25.392-b08",
    ),
    "no Kafka": (
        replace(SOUND, kafka=Kafka("kafka-1:9092", "timed out")),
        "LT-DOC-301: Kafka at kafka-1:9092 does not answer: timed out",
    ),
    "a topic of other partitions": (
        with_topic("interactions", partitions=12),
        "LT-DOC-302: topic interactions: 4 partition(s) were needed; it has 12",
    ),
    "announcements without order": (
        with_topic("item-snapshots", partitions=4),
        "LT-DOC-302: topic item-snapshots: 1 partition(s) were needed; it has 4",
    ),
    "lists that are deleted after a week": (
        with_topic("recommendations", cleanup_policy="delete"),
        "LT-DOC-303: topic recommendations: cleanup.policy=compact was needed; got delete",
    ),
    "interactions of which one a user remains": (
        with_topic("interactions", cleanup_policy="compact"),
        "LT-DOC-303: topic interactions: cleanup.policy=delete was needed; got compact",
    ),
    "a topic that takes short messages only": (
        with_topic("rejected", max_message_bytes=1_000_000),
        "LT-DOC-304: topic rejected: max.message.bytes=1179648 or more was needed; got 1000000",
    ),
    "more copies than brokers": (
        with_settings("topics.replication_factor=3", "topics.items=films"),
        "LT-DOC-305: films would be made with 3 copies; there are 1 broker(s)",
    ),
    "transactions longer than the brokers allow": (
        with_settings("kafka.delivery=exactly-once", "kafka.transaction_timeout_s=3600"),
        "LT-DOC-306: setting kafka.transaction_timeout_s: needed at most 900, the brokers' most; got 3600",
    ),
    "no directory for checkpoints": (
        with_place(0, uri=""),
        "LT-DOC-401: execution.checkpointing.dir: a directory for checkpoints was needed; got none",
    ),
    "no directory for savepoints": (
        with_place(1, uri=""),
        "LT-DOC-404: execution.checkpointing.savepoint-dir: a directory for savepoints was needed; got none",
    ),
    "a snapshot root that cannot be written": (
        with_place(2, trouble="Access Denied"),
        "LT-DOC-402: job.snapshot_root: s3://bucket/snapshots must take item snapshots; Access Denied",
    ),
    "checkpoints on each machine's own disk": (
        with_place(0, uri="file:///c"),
        f"LT-DOC-403: {DIRECTORY}: {REACHED}; file:///c is another directory on each of a, b",
    ),
}


def test_a_sound_set_up_has_no_finding():
    assert findings(SOUND) == []


@pytest.mark.parametrize("name", BROKEN)
def test_a_set_up_that_is_broken_in_one_thing_has_one_finding_with_its_cause_and_cure(name):
    facts, said = BROKEN[name]
    (finding,) = findings(facts)
    assert f"{finding.code}: {finding.cause}" == said
    assert finding.cure == CHECKS[finding.code].cure != ""


def test_every_code_is_found_in_some_broken_set_up():
    assert {said[:10] for _, said in BROKEN.values()} == CHECKS.keys()


def test_what_is_broken_comes_before_what_is_only_worse():
    facts = replace(with_manager(code="01d"), kafka=Kafka("k", "timed out"), machine=Machine(java="8"))
    assert [finding.code for finding in findings(facts)] == ["LT-DOC-101", "LT-DOC-301", "LT-DOC-209"]


def test_shared_mounts_and_one_machine_may_hold_directories():
    mounted = with_place(2, uri="/mnt/snapshots")
    assert [finding.code for finding in findings(mounted)] == ["LT-DOC-403"]
    assert findings(replace(mounted, shared_directories=True)) == []
    assert findings(replace(mounted, flink=replace(FLINK, taskmanagers=(manager("1"), manager("2"))))) == []


def test_topics_that_are_missing_are_made_by_the_job_and_no_finding():
    assert findings(replace(SOUND, kafka=replace(KAFKA, topics={}))) == []


def test_topics_that_are_there_need_no_brokers_for_new_copies():
    assert findings(with_settings("topics.replication_factor=3")) == []


def test_an_order_of_policies_means_nothing():
    assert findings(with_topic("item-snapshots", cleanup_policy="delete,compact")) == []


def test_the_jars_are_those_that_the_sandbox_and_the_requirements_name():
    _, artifact, version = ROOTS["flink"][0].split(":")
    assert f"{artifact}-{version}.jar" == CONNECTOR_JAR
    (flink,) = re.findall(r"^apache-flink==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert f"flink-python-{flink}.jar" == PYTHON_JAR


def test_the_page_is_what_the_code_says():
    page = (ROOT / "docs" / "doctor.md").read_text()
    assert page == doctor_page(), "python -m livetower.doctor.checks > docs/doctor.md"
    assert all(f"| `{code}` |" in page for code in CHECKS)


def test_the_estimate_of_a_table_covers_its_arrays_without_wasting_half():
    model, tower, n = ModelSettings(), TowerSettings(), 3_000
    f, k, beside = len(tower.half_lives), model.dimension, tower.neighbours
    popularity = Popularity(
        np.ones((n, f)), np.zeros(n, np.bool_), np.zeros(f, np.float32), np.ones((7, f), np.float32),
        np.ones(7, np.float32), 0.01,
    )  # fmt: skip
    names = tuple(f"item-{i}" for i in range(n))
    table = make_item_table(
        epoch=0, trained_events=0, created_ms=0, sha256="", hashes=np.arange(n) * 7_919_777,
        vectors=np.zeros((n, k), np.float32), biases=np.zeros(n, np.float32), available=np.ones(n, np.bool_), ids=names,
        titles=names, popularity=popularity, categories=names, content=np.zeros((n, k), np.float16),
        neighbour_rows=np.zeros((n, beside), np.int32), neighbour_weights=np.zeros((n, beside), np.float32),
    )  # fmt: skip
    arrays = sum(a.nbytes for a in (*table.arrays, table.log_popularity, popularity.counts, popularity.cold))
    texts = 3 * sum(len(name) + 49 + 8 for name in names)
    assert (arrays + texts) / n <= cluster.item_bytes(k, beside) <= 2 * (arrays + texts) / n


def test_memory_grows_with_items_and_dimension_from_what_python_needs():
    assert cluster.off_heap_mib(0) == cluster.PYTHON_MIB
    assert cluster.off_heap_mib(0) < cluster.off_heap_mib(100_000) < cluster.off_heap_mib(100_000, dimension=128)


def test_the_settings_decide_what_memory_a_catalogue_needs():
    settings = replace(SETTINGS, model=replace(SETTINGS.model, dimension=128), tower=TowerSettings(neighbours=0))
    (found,) = findings(replace(SOUND, items=1_000_000, settings=settings))
    assert "4544m were needed for 1,000,000 items of dimension 128" in found.cause  # 512 + 3 x 1,408 bytes an item
