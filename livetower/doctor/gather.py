"""Asks this machine, Flink's REST API, Kafka and the directories. It judges nothing: findings.py does.

What does not answer is a fact (`trouble`); what cannot be seen from here is listed as unseen, with the reason.
"""

import importlib.metadata
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import unquote, urlsplit

import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from pyarrow import fs

from flink_jobs.kafka_clients import librdkafka_properties
from flink_jobs.settings import JobSettings
from flink_jobs.topics import topics_needed
from livetower.doctor.facts import Facts, Flink, Kafka, Machine, Place, TaskManager, TopicSeen
from livetower.doctor.findings import is_local
from livetower.preflight import Unmet, check_python, write_trouble
from livetower.sandbox import Sandbox, SandboxError
from livetower.sandbox.home import source_root
from livetower.sandbox.jars import RUN, jar_path, read_manifest, sha256_of
from livetower.sandbox.java import java_executable
from livetower.sandbox.processes import PROC, ProcessRecord
from livetower.sandbox.rest import request_json
from operators.code_digest import code_digest

ANSWER_S = 10.0
RUN_TIME = (
    "apache-flink", "confluent-kafka", "pemja", "py4j", "torch", "numpy", "numba", "orjson", "safetensors", "pyarrow",
)  # fmt: skip
"""The packages of requirements.txt that run the job."""
OUR_PACKAGES = ("models", "operators", "flink_jobs", "pyflink", "pemja")
PLACES = (
    ("checkpoints", ("execution.checkpointing.dir", "state.checkpoints.dir")),
    ("savepoints", ("execution.checkpointing.savepoint-dir", "state.savepoints.dir")),
)
OBJECT_STORES = ("s3", "gs", "gcs")
Ask = Callable[[str], Any]


def gather(
    settings: JobSettings, sandbox: Sandbox | None, rest_url: str | None, items: int | None, shared_directories: bool
) -> Facts:
    """All facts about the sandbox, or about the cluster at `rest_url` when there is none."""
    unseen: list[str] = []
    machine = gather_machine(unseen, for_sandbox=sandbox is not None)
    if sandbox is not None:
        try:
            flink = gather_flink(sandbox.rest_url, asking(sandbox.rest_url), sandbox.processes())
        except SandboxError as error:
            flink = Flink(str(sandbox.run_dir), str(error))
    else:
        flink = gather_flink(rest_url or "", asking(rest_url or ""), {})
        unseen.append(
            "PYTHONHOME, PYTHONPATH and code of the TaskManagers: their processes are seen in the sandbox only"
        )
    kafka = gather_kafka(settings)
    if kafka.trouble is None and kafka.items is None and items is None:
        unseen.append("memory for the item table: no snapshot is announced yet; say how many items come with --items N")
    places = tuple(gather_place(*each, flink, unseen) for each in named_places(flink.options, settings))
    return Facts(
        settings=settings,
        machine=machine,
        flink=flink,
        kafka=kafka,
        places=places,
        code=code_digest(),
        python_home=sys.base_prefix,
        items=items,
        shared_directories=shared_directories,
        unseen=tuple(unseen),
    )


# ---- this machine --------------------------------------------------------------------------------


def gather_machine(unseen: list[str], *, for_sandbox: bool) -> Machine:
    """Python and packages; of a machine that runs a sandbox also Java and the jars."""
    python_trouble = None
    try:
        check_python()
    except Unmet as unmet:
        python_trouble = str(unmet)
    requirements = source_root() / "requirements.txt"
    others: tuple[tuple[str, str, str], ...] = ()
    if requirements.exists():
        others = tuple(other_packages(requirements.read_text("utf-8"), installed_version))
    else:
        unseen.append("versions of the packages: requirements.txt is not part of the wheel")
    java, java_trouble = java_version() if for_sandbox else (None, None)
    jars = tuple(jar_troubles()) if for_sandbox else ()
    return Machine(python_trouble, java, java_trouble, others, jars)


def other_packages(requirements: str, installed: Callable[[str], str | None]) -> Iterable[tuple[str, str, str]]:
    """The packages at run time whose version is not the pinned one; 2.1+cpu is 2.1.

    >>> list(other_packages("numpy==2.1.3  # why", {"numpy": "2.0.0"}.get))
    [('numpy', '2.1.3', '2.0.0')]
    """
    for name, needed in re.findall(r"^([a-z0-9-]+)==(\S+)", requirements, re.MULTILINE):
        if name in RUN_TIME and (came := installed(name) or "none").split("+")[0] != needed:
            yield name, needed, came


def installed_version(name: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def java_version() -> tuple[str | None, str | None]:
    """The version of the Java that the sandbox uses, or why there is none."""
    try:
        java = java_executable()
        run = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    except (SandboxError, OSError) as error:
        return None, str(error)
    found = re.search(r'version "([^"]+)"', run.stderr + run.stdout)
    return (found[1], None) if found else (None, f"{java} -version says no version: {(run.stderr or run.stdout)[:200]}")


def jar_troubles() -> Iterable[str]:
    """What is wrong with the sandbox's jars."""
    manifest = read_manifest()
    for coordinates, digest in (each for group in RUN for each in manifest[group].items()):
        path = jar_path(coordinates)
        if not path.exists():
            yield f"{coordinates} is missing"
        elif sha256_of(path) != digest:
            yield f"{coordinates} has another digest than jars.toml names"


# ---- Flink ---------------------------------------------------------------------------------------


def asking(rest_url: str) -> Ask:
    """Asks Flink's REST API for a path."""
    return lambda path: request_json(rest_url.rstrip("/"), path, timeout_s=ANSWER_S)


def gather_flink(address: str, ask: Ask, processes: Mapping[str, ProcessRecord]) -> Flink:
    """What the REST API says, and of the sandbox's `processes` what the kernel says of their environments."""
    try:
        config, options = ask("/config"), ask("/jobmanager/config")
        environment, managers = ask("/jobmanager/environment"), ask("/taskmanagers")["taskmanagers"]
    except (OSError, SandboxError, ValueError, KeyError) as error:
        cause = error.reason if isinstance(error, URLError) else error
        return Flink(address, str(cause))
    return Flink(
        address,
        version=config["flink-version"],
        java=environment["jvm"]["version"],
        options={each["key"]: each["value"] for each in options},
        jars=tuple(Path(entry).name for entry in environment["classpath"] if entry.endswith(".jar")),
        taskmanagers=tuple(taskmanager(each, processes.get(each["id"])) for each in managers),
    )


def taskmanager(answer: Mapping[str, Any], process: ProcessRecord | None) -> TaskManager:
    """One TaskManager of the REST API's answer."""
    environment = None if process is None else process_environment(process.pid)
    return TaskManager(
        name=answer["id"],
        host=host_of(answer["path"]),
        slots=answer["slotsNumber"],
        free_slots=answer["freeSlots"],
        off_heap_mib=answer["memoryConfiguration"]["taskOffHeap"] // 2**20,
        environment=environment,
        missing_packages=() if environment is None else missing_packages(environment.get("PYTHONPATH", "")),
        code=None if process is None else process.code,
    )


def host_of(path: str) -> str:
    """The host in a TaskManager's RPC address.

    >>> host_of("pekko.tcp://flink@10.0.0.7:6122/user/rpc/taskmanager_0")
    '10.0.0.7'
    """
    return urlsplit(path).hostname or path


def process_environment(pid: int) -> dict[str, str] | None:
    """The environment a process was started with; None when it is gone or another user's."""
    with suppress(OSError):
        entries = (PROC / str(pid) / "environ").read_bytes().decode(errors="replace").split("\0")
        return dict(entry.split("=", 1) for entry in entries if "=" in entry)
    return None


def missing_packages(python_path: str) -> tuple[str, ...]:
    """Those of OUR_PACKAGES that no directory of this PYTHONPATH holds."""
    folders = [Path(folder) for folder in python_path.split(":") if folder]
    return tuple(name for name in OUR_PACKAGES if not any((folder / name).is_dir() for folder in folders))


# ---- Kafka ---------------------------------------------------------------------------------------


def gather_kafka(settings: JobSettings) -> Kafka:
    """What the brokers say of themselves and of the job's topics."""
    address = settings.kafka.bootstrap_servers
    client = {**librdkafka_properties(settings.kafka), "bootstrap.servers": address, "log_level": 2}
    try:
        admin = AdminClient(client)
        listed = admin.list_topics(timeout=ANSWER_S)
        names = [topic.name for topic in topics_needed(settings) if topic.name in listed.topics]
        asked = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        asked.append(ConfigResource(ResourceType.BROKER, str(next(iter(listed.brokers)))))
        answers = {
            each.name: f.result(2 * ANSWER_S)
            for each, f in admin.describe_configs(asked, request_timeout=ANSWER_S).items()
        }
        broker = answers.pop(asked[-1].name)
        announced = settings.topics.item_snapshots
        items = announced_items(client, announced) if announced in names else None
    except (KafkaException, TimeoutError) as error:
        return Kafka(
            address, error.args[0].str() if isinstance(error, KafkaException) else f"not within {ANSWER_S:g} s"
        )
    topics = {
        name: TopicSeen(
            len(listed.topics[name].partitions),
            config["cleanup.policy"].value,
            int(config["max.message.bytes"].value),
        )
        for name, config in answers.items()
    }
    longest = broker.get("transaction.max.timeout.ms")
    return Kafka(address, None, len(listed.brokers), topics, None if longest is None else int(longest.value), items)


def announced_items(client: Mapping[str, Any], topic: str) -> int | None:
    """How many items the latest announced snapshot holds; None when none is announced."""
    consumer = Consumer({**client, "group.id": "livetower-doctor", "enable.auto.commit": False})
    try:
        first, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=ANSWER_S)
        if end == first:
            return None
        consumer.assign([TopicPartition(topic, 0, end - 1)])
        message = consumer.poll(ANSWER_S)
        if message is None or message.error() is not None or message.value() is None:
            return None
        items = orjson.loads(message.value()).get("items")
        return items if isinstance(items, int) else None
    except (ValueError, AttributeError):
        return None
    finally:
        consumer.close()


# ---- directories ---------------------------------------------------------------------------------


def named_places(options: Mapping[str, str], settings: JobSettings) -> list[tuple[str, str, str]]:
    """What, setting and URI of all that is kept outside Kafka."""
    found = []
    for what, names in PLACES:
        setting = next((name for name in names if options.get(name)), names[0])
        found.append((what, setting, options.get(setting, "")))
    return [*found, ("item snapshots", "job.snapshot_root", settings.job.snapshot_root)]


def gather_place(what: str, setting: str, uri: str, flink: Flink, unseen: list[str]) -> Place:
    """A place, and why nothing can be written there, as far as it can be tried from here."""
    place = Place(what, setting, uri)
    if not uri or flink.trouble is not None:
        return place
    scheme = urlsplit(uri).scheme
    if is_local(place):
        elsewhere = sorted({each.host for each in flink.taskmanagers} - own_names())
        if elsewhere:
            unseen.append(f"whether {uri} ({setting}) is writable: it is a directory of {', '.join(elsewhere)}")
            return place
        folder = unquote(urlsplit(uri).path) if "://" in uri or uri.startswith("file:") else uri
        return Place(what, setting, uri, write_trouble(folder))
    if scheme in OBJECT_STORES:
        return Place(what, setting, uri, object_store_trouble(uri))
    unseen.append(f"whether {uri} ({setting}) is writable: only directories, s3:// and gs:// are tried from here")
    return place


def own_names() -> set[str]:
    """The names and addresses of this machine."""
    names = {"localhost", "127.0.0.1", "::1", socket.gethostname(), socket.getfqdn()}
    with suppress(OSError):
        names |= {str(each[4][0]) for each in socket.getaddrinfo(socket.gethostname(), None)}
    return names


def object_store_trouble(uri: str) -> str | None:
    """Why no object can be written below this URI; the one that is tried is removed again."""
    try:
        store, root = fs.FileSystem.from_uri(uri)
        probe = f"{root}/livetower-doctor"
        with store.open_output_stream(probe) as file:
            file.write(b"")
        store.delete_file(probe)
    except (OSError, ValueError) as error:
        return str(error).splitlines()[0]
    return None
