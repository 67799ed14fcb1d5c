"""What Flink's REST API, Kafka's client and the directories answer, as facts; and the command that prints findings."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import orjson
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import KafkaError, KafkaException

from flink_jobs.settings import load_settings
from livetower.cli import main
from livetower.doctor import gather
from livetower.doctor.facts import Flink, Kafka, Place, TaskManager, TopicSeen
from livetower.sandbox import SandboxError
from livetower.sandbox.processes import ProcessRecord

MIB = 2**20
ANSWERS: dict[str, Any] = {
    "/config": {"refresh-interval": 3000, "flink-version": "2.2.1", "flink-revision": "DeadBeef"},
    "/jobmanager/config": [
        {"key": "python.execution-mode", "value": "thread"},
        {"key": "state.checkpoints.dir", "value": "s3://bucket/c"},
    ],
    "/jobmanager/environment": {
        "jvm": {"version": "OpenJDK 64-Bit Server VM - Azul - 21/21.0.8+9", "arch": "amd64", "options": ["-Xmx384m"]},
        "classpath": ["/opt/flink/lib/flink-dist-2.2.1.jar", "/opt/flink/lib/flink-python-2.2.1.jar", ""],
    },
    "/taskmanagers": {
        "taskmanagers": [
            {
                "id": "10.0.0.7:6122-ab",
                "path": "pekko.tcp://flink@10.0.0.7:6122/user/rpc/taskmanager_0",
                "slotsNumber": 1,
                "freeSlots": 0,
                "memoryConfiguration": {"taskHeap": 256 * MIB, "taskOffHeap": 576 * MIB},
            }
        ]
    },
}


def test_what_flink_answers_becomes_facts():
    assert gather.gather_flink("http://flink:8081", ANSWERS.__getitem__, {}) == Flink(
        "http://flink:8081",
        version="2.2.1",
        java="OpenJDK 64-Bit Server VM - Azul - 21/21.0.8+9",
        options={"python.execution-mode": "thread", "state.checkpoints.dir": "s3://bucket/c"},
        jars=("flink-dist-2.2.1.jar", "flink-python-2.2.1.jar"),
        taskmanagers=(TaskManager("10.0.0.7:6122-ab", "10.0.0.7", 1, 0, 576),),
    )


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (URLError("Connection refused"), "Connection refused"),
        (SandboxError("GET /config: 503 starting"), "GET /config: 503 starting"),
        (TimeoutError("timed out"), "timed out"),
    ],
)
def test_a_flink_that_does_not_answer_is_a_fact(error, trouble):
    def ask(_path: str) -> Any:
        raise error

    assert gather.gather_flink("http://flink:8081", ask, {}) == Flink("http://flink:8081", trouble)


def test_the_environment_of_a_sandboxs_taskmanager_is_read_from_the_kernel(tmp_path, monkeypatch):
    for name in ("models", "operators", "flink_jobs", "pyflink"):
        (tmp_path / "site" / name).mkdir(parents=True)
    (tmp_path / "proc" / "7").mkdir(parents=True)
    entries = f"PYTHONHOME=/usr\0PYTHONPATH=/none:{tmp_path}/site\0odd\0"
    (tmp_path / "proc" / "7" / "environ").write_text(entries)
    monkeypatch.setattr(gather, "PROC", tmp_path / "proc")
    (answer,) = ANSWERS["/taskmanagers"]["taskmanagers"]
    seen = gather.taskmanager(answer, ProcessRecord(7, 1, "c0de"))
    assert seen.environment == {"PYTHONHOME": "/usr", "PYTHONPATH": f"/none:{tmp_path}/site"}
    assert (seen.missing_packages, seen.code) == (("pemja",), "c0de")
    assert gather.taskmanager(answer, ProcessRecord(8, 1, "c0de")).environment is None


# ---- Kafka ---------------------------------------------------------------------------------------


class Future:
    def __init__(self, value: Any) -> None:
        self.value = value

    def result(self, _timeout: float) -> Any:
        return self.value


class Admin:
    """A broker with two of the job's topics and one of somebody else's."""

    configs = {  # noqa: RUF012
        "interactions": {"cleanup.policy": "delete", "max.message.bytes": "1048588"},
        "item-snapshots": {"cleanup.policy": "compact,delete", "max.message.bytes": "1048576"},
        "1": {"transaction.max.timeout.ms": "900000"},
    }

    def __init__(self, client: dict[str, Any]) -> None:
        assert client["ssl.ca.location"] == "/ca.pem"

    def list_topics(self, timeout: float) -> Any:
        partitions = {"interactions": 4, "item-snapshots": 1, "others": 9}
        topics = {name: SimpleNamespace(partitions=dict.fromkeys(range(n))) for name, n in partitions.items()}
        return SimpleNamespace(topics=topics, brokers={1: None, 2: None})

    def describe_configs(self, resources: list[Any], request_timeout: float) -> dict[Any, Future]:
        entries = {each: self.configs[each.name] for each in resources}
        return {
            each: Future({name: SimpleNamespace(value=value) for name, value in config.items()})
            for each, config in entries.items()
        }


class LastRecord:
    """A consumer of a topic whose last record is at offset 41."""

    value: bytes | None = orjson.dumps({"items": 1_683, "kind": "popularity"})
    end = 42

    def __init__(self, client: dict[str, Any]) -> None:
        assert client["enable.auto.commit"] is False

    def get_watermark_offsets(self, _partition: Any, timeout: float) -> tuple[int, int]:
        return 0, self.end

    def assign(self, partitions: list[Any]) -> None:
        (self.at,) = [partition.offset for partition in partitions]

    def poll(self, _timeout: float) -> Any:
        assert self.at == 41
        return SimpleNamespace(error=lambda: None, value=lambda: self.value)

    def close(self) -> None:
        pass


SETTINGS = load_settings(
    None,
    ["job.snapshot_root=/s", "kafka.bootstrap_servers=kafka-1:9092", "kafka.admin_properties.ssl.ca.location=/ca.pem"],
)


def test_what_kafka_answers_becomes_facts(monkeypatch):
    monkeypatch.setattr(gather, "AdminClient", Admin)
    monkeypatch.setattr(gather, "Consumer", LastRecord)
    assert gather.gather_kafka(SETTINGS) == Kafka(
        "kafka-1:9092",
        brokers=2,
        topics={
            "interactions": TopicSeen(4, "delete", 1_048_588),
            "item-snapshots": TopicSeen(1, "compact,delete", 1_048_576),
        },
        transaction_max_ms=900_000,
        items=1_683,
    )


@pytest.mark.parametrize(
    ("end", "value"), [(0, None), (42, None), (42, b"{"), (42, b"[1]"), (42, b'{"items": "many"}'), (42, b"{}")]
)
def test_without_a_sound_announcement_the_number_of_items_is_not_known(monkeypatch, end, value):
    monkeypatch.setattr(gather, "Consumer", LastRecord)
    monkeypatch.setattr(LastRecord, "end", end)
    monkeypatch.setattr(LastRecord, "value", value)
    assert gather.announced_items({}, "item-snapshots") is None


def test_a_kafka_that_does_not_answer_is_a_fact(monkeypatch):
    class Silent(Admin):
        def list_topics(self, timeout: float) -> Any:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT, "Failed to get metadata"))

    class Slow(Admin):
        def list_topics(self, timeout: float) -> Any:
            raise TimeoutError

    monkeypatch.setattr(gather, "AdminClient", Silent)
    assert gather.gather_kafka(SETTINGS) == Kafka("kafka-1:9092", "Failed to get metadata")
    monkeypatch.setattr(gather, "AdminClient", Slow)
    assert gather.gather_kafka(SETTINGS) == Kafka("kafka-1:9092", "not within 10 s")


# ---- directories ---------------------------------------------------------------------------------


def flink_on(host: str) -> Flink:
    return Flink("f", taskmanagers=(TaskManager("tm", host, 1, 1, 576),))


def test_the_places_are_named_by_flinks_options_old_and_new():
    options = {"state.checkpoints.dir": "s3://b/c", "execution.checkpointing.savepoint-dir": "s3://b/s"}
    assert gather.named_places(options, SETTINGS) == [
        ("checkpoints", "state.checkpoints.dir", "s3://b/c"),
        ("savepoints", "execution.checkpointing.savepoint-dir", "s3://b/s"),
        ("item snapshots", "job.snapshot_root", "/s"),
    ]


@pytest.mark.parametrize("form", ["{}", "file://{}", "file:{}"])
def test_a_directory_of_this_machine_is_tried(tmp_path, form):
    good, bad = form.format(tmp_path / "made when needed"), form.format(tmp_path / "file" / "below")
    (tmp_path / "file").touch()
    unseen: list[str] = []
    assert gather.gather_place("w", "s", good.replace(" ", "%20"), flink_on("localhost"), unseen).trouble is None
    trouble = gather.gather_place("w", "s", bad, flink_on("127.0.0.1"), unseen).trouble
    assert trouble == f"{tmp_path}/file: Not a directory"
    assert unseen == []


@pytest.mark.parametrize(
    ("uri", "host", "said"),
    [
        ("/c", "10.9.9.9", "whether /c (s) is writable: it is a directory of 10.9.9.9"),
        ("hdfs://n/c", "localhost", "whether hdfs://n/c (s) is writable: only directories, s3:// and gs:// are tried"),
    ],
)
def test_what_cannot_be_tried_from_here_is_listed(uri, host, said):
    unseen: list[str] = []
    assert gather.gather_place("w", "s", uri, flink_on(host), unseen) == Place("w", "s", uri)
    assert unseen[0].startswith(said)


def test_an_object_store_is_tried_with_an_object_that_is_removed(tmp_path):
    (tmp_path / "bucket").mkdir()
    assert gather.object_store_trouble((tmp_path / "bucket").as_uri()) is None
    assert list((tmp_path / "bucket").iterdir()) == []
    assert "nowhere" in (gather.object_store_trouble((tmp_path / "nowhere" / "x").as_uri()) or "")


# ---- the command ---------------------------------------------------------------------------------


def doctor(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["doctor", *map(str, arguments)])


@pytest.fixture
def no_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "ANSWER_S", 0.2)


@pytest.mark.usefixtures("no_answers")
def test_without_flink_and_kafka_both_are_broken_and_the_exit_code_is_1(tmp_path: Path):
    result = doctor("--json", "--run-dir", tmp_path / "none", "--bootstrap-servers", "127.0.0.1:9")
    assert result.exit_code == 1, result.output
    record = json.loads(result.stdout)
    assert {"LT-DOC-201", "LT-DOC-301"} <= {finding["code"] for finding in record["findings"]}
    assert record["broken"] == len(record["findings"])
    assert all(finding.keys() == {"code", "severity", "cause", "cure"} for finding in record["findings"])


@pytest.mark.usefixtures("no_answers")
def test_people_read_the_code_the_cause_and_the_cure():
    result = doctor("--rest-url", "http://127.0.0.1:9", "--bootstrap-servers", "127.0.0.1:9",
                    "--set", "job.snapshot_root=s3://b/s")  # fmt: skip
    assert result.exit_code == 1, result.output
    lines = result.stdout.splitlines()
    at = next(n for n, line in enumerate(lines) if "LT-DOC-201" in line)
    assert lines[at].startswith("broken   LT-DOC-201  Flink at http://127.0.0.1:9 does not answer: ")
    assert lines[at + 1].split()[:3] == ["cure", "start", "it"]
    assert any(line.startswith("unseen") and "PYTHONHOME" in line for line in lines)
    assert lines[-1].startswith("broken: ")


def test_a_setting_that_cannot_be_is_one_sentence_and_exit_code_2():
    result = doctor("--rest-url", "http://127.0.0.1:9")
    assert result.exit_code == 2
    assert "setting job.snapshot_root: needed an absolute directory or a URI" in result.stderr
    assert doctor("--set", "job.parallel=2").exit_code == 2


def test_help_shows_examples_line_by_line():
    lines = doctor("--help").output.splitlines()
    assert sum(line.strip().startswith("livetower doctor") for line in lines) >= 3
