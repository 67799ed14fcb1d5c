"""From facts to findings. Pure: nothing is asked here. What each code means stands in checks.py."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from flink_jobs.delivery import timeout_trouble
from flink_jobs.topics import topics_needed
from livetower.cluster import off_heap_mib
from livetower.doctor.checks import CHECKS, Check, Severity
from livetower.doctor.facts import Facts, Flink, Place

CONNECTOR_JAR, PYTHON_JAR = "flink-sql-connector-kafka-5.0.0-2.2.jar", "flink-python-2.2.1.jar"
FLINK_VERSION = "2.2"
SANDBOX_JAVAS, FLINK_JAVAS = (17, 21), (11, 17, 21)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be: its code, and what was needed and what came here."""

    code: str
    cause: str

    @property
    def check(self) -> Check:
        return CHECKS[self.code]

    @property
    def severity(self) -> Severity:
        return self.check.severity

    @property
    def cure(self) -> str:
        return self.check.cure


def findings(facts: Facts) -> list[Finding]:
    """Everything that is not as it must be; what hangs on something that does not answer is left out."""
    found = [*of_machine(facts)]
    if facts.flink.trouble is not None:
        found.append(Finding("LT-DOC-201", f"Flink at {facts.flink.address} does not answer: {facts.flink.trouble}"))
    else:
        found += [*of_flink(facts.flink), *of_taskmanagers(facts), *of_memory(facts), *of_places(facts)]
    if facts.kafka.trouble is not None:
        found.append(Finding("LT-DOC-301", f"Kafka at {facts.kafka.address} does not answer: {facts.kafka.trouble}"))
    else:
        found += [*of_topics(facts), *of_transactions(facts)]
    return sorted(found, key=lambda finding: (finding.severity is not Severity.BROKEN, finding.code))


def of_machine(facts: Facts) -> Iterator[Finding]:
    """Java, Python, packages and jars of the machine the doctor runs on."""
    machine = facts.machine
    if machine.java_trouble is not None:
        yield Finding("LT-DOC-101", machine.java_trouble)
    elif machine.java is not None and feature_version(machine.java) not in SANDBOX_JAVAS:
        yield Finding("LT-DOC-101", f"Java 17 or 21 was needed; got {machine.java}")
    if machine.python_trouble is not None:
        yield Finding("LT-DOC-102", machine.python_trouble)
    if machine.other_packages:
        listed = ", ".join(f"{name} {needed} (got {came})" for name, needed, came in machine.other_packages)
        yield Finding("LT-DOC-103", f"needed {listed}")
    if machine.jar_troubles:
        yield Finding("LT-DOC-104", "; ".join(machine.jar_troubles))


def of_flink(flink: Flink) -> Iterator[Finding]:
    """Version, Java, jars and configuration of a cluster."""
    if not f"{flink.version}.".startswith(f"{FLINK_VERSION}."):
        yield Finding("LT-DOC-202", f"Flink {FLINK_VERSION} was needed; got {flink.version}")
    if flink.java and feature_version(flink.java) not in FLINK_JAVAS:
        yield Finding("LT-DOC-213", f"Java 11, 17 or 21 was needed; Flink runs on {flink.java}")
    mode = flink.options.get("python.execution-mode", "process")
    if mode != "thread":
        yield Finding("LT-DOC-203", f"python.execution-mode: needed 'thread'; got {mode!r}")
    missing = [jar for jar in (CONNECTOR_JAR, PYTHON_JAR) if jar not in flink.jars]
    if missing and flink.jars:
        names = tuple(re.sub(r"-\d.*", "", jar) for jar in missing)
        others = ", ".join(jar for jar in flink.jars if jar.startswith(names)) or "none of another version"
        yield Finding("LT-DOC-204", f"{', '.join(missing)}: not on Flink's class path; got {others}")
    backend = flink.options.get("state.backend.type", "hashmap")
    incremental = flink.options.get("execution.checkpointing.incremental", "false")
    if backend != "rocksdb" or incremental != "true":
        yield Finding(
            "LT-DOC-211", f"state.backend.type is {backend!r}, execution.checkpointing.incremental is {incremental!r}"
        )
    debloat = flink.options.get("taskmanager.network.memory.buffer-debloat.enabled", "false")
    if debloat != "true":
        yield Finding("LT-DOC-212", f"taskmanager.network.memory.buffer-debloat.enabled is {debloat!r}")


def of_taskmanagers(facts: Facts) -> Iterator[Finding]:
    """Slots, environments and code of the TaskManagers."""
    managers, needed = facts.flink.taskmanagers, facts.settings.job.parallelism + 1
    crowded = [f"{each.name} has {each.slots}" for each in managers if each.slots != 1]
    if crowded:
        yield Finding("LT-DOC-205", f"one slot in each TaskManager was needed; {', '.join(crowded)}")
    slots, free = sum(each.slots for each in managers), sum(each.free_slots for each in managers)
    if slots < needed:
        yield Finding("LT-DOC-206", f"{needed} slots were needed; {len(managers)} TaskManager(s) have {slots}")
    elif free < needed:
        yield Finding("LT-DOC-214", f"{needed} free slots were needed; {free} of {slots} are free")
    for each in managers:
        if each.environment is None:
            continue
        home = each.environment.get("PYTHONHOME", "")
        if home != facts.python_home:
            yield Finding("LT-DOC-207", f"{each.name}: PYTHONHOME={facts.python_home} was needed; got {home or 'none'}")
        if each.missing_packages:
            path = each.environment.get("PYTHONPATH") or "(none)"
            yield Finding("LT-DOC-208", f"{each.name}: no {', '.join(each.missing_packages)} on its PYTHONPATH {path}")
    other = [each.name for each in managers if each.code is not None and each.code != facts.code]
    if other:
        yield Finding("LT-DOC-209", f"code {facts.code[:12]} would be submitted; {', '.join(other)} started with other")


def of_memory(facts: Facts) -> Iterator[Finding]:
    """Whether Python's share of a TaskManager holds the item tables."""
    items = facts.items if facts.items is not None else facts.kafka.items
    if items is None or not facts.flink.taskmanagers:
        return
    model, tower = facts.settings.model, facts.settings.tower
    needed = off_heap_mib(items, model.dimension, tower.neighbours)
    least = min(each.off_heap_mib for each in facts.flink.taskmanagers)
    if least < needed:
        yield Finding(
            "LT-DOC-210",
            f"taskmanager.memory.task.off-heap.size: {needed}m were needed for {items:,} items of dimension "
            f"{model.dimension}; got {least}m",
        )


def of_topics(facts: Facts) -> Iterator[Finding]:
    """Partitions, cleanup policy and sizes of the topics there are; copies of those that will be made."""
    kafka, copies = facts.kafka, facts.settings.topics.replication_factor
    missing = []
    for topic in topics_needed(facts.settings):
        seen = kafka.topics.get(topic.name)
        if seen is None:
            missing.append(topic.name)
            continue
        if seen.partitions != topic.partitions:
            asked = f"topic {topic.name}: {topic.partitions} partition(s) were needed"
            yield Finding("LT-DOC-302", f"{asked}; it has {seen.partitions}")
        if policies(seen.cleanup_policy) != policies(topic.cleanup_policy):
            yield Finding(
                "LT-DOC-303",
                f"topic {topic.name}: cleanup.policy={topic.cleanup_policy} was needed; got {seen.cleanup_policy}",
            )
        if seen.max_message_bytes < topic.max_message_bytes:
            yield Finding(
                "LT-DOC-304",
                f"topic {topic.name}: max.message.bytes={topic.max_message_bytes} or more was needed; got "
                f"{seen.max_message_bytes}",
            )
    if missing and copies > kafka.brokers:
        yield Finding(
            "LT-DOC-305",
            f"{', '.join(missing)} would be made with {copies} copies; there are {kafka.brokers} broker(s)",
        )


def of_transactions(facts: Facts) -> Iterator[Finding]:
    """Whether the brokers allow the transactions that the settings ask for, if they do."""
    trouble = timeout_trouble(facts.settings, facts.kafka.transaction_max_ms)
    if trouble is not None:
        yield Finding("LT-DOC-306", trouble)


def of_places(facts: Facts) -> Iterator[Finding]:
    """Whether checkpoints, savepoints and snapshots can be written, and where every machine reaches them."""
    hosts = sorted({each.host for each in facts.flink.taskmanagers})
    for place in facts.places:
        if not place.uri:
            code = "LT-DOC-401" if place.what == "checkpoints" else "LT-DOC-404"
            yield Finding(code, f"{place.setting}: a directory for {place.what} was needed; got none")
        elif place.trouble is not None:
            yield Finding("LT-DOC-402", f"{place.setting}: {place.uri} must take {place.what}; {place.trouble}")
        elif is_local(place) and len(hosts) > 1 and not facts.shared_directories:
            asked = f"{place.setting}: {place.what} must be where every machine reaches them"
            yield Finding("LT-DOC-403", f"{asked}; {place.uri} is another directory on each of {', '.join(hosts)}")


def is_local(place: Place) -> bool:
    """Whether a place is a directory of the machine that looks there.

    >>> [is_local(Place("", "", uri)) for uri in ("/var/x", "file:///var/x", "s3://bucket/x")]
    [True, True, False]
    """
    return "://" not in place.uri or place.uri.startswith("file:")


def feature_version(java: str) -> int:
    """The version of Java by which releases are called.

    >>> [feature_version(java) for java in ("21.0.8", "17", "1.8.0_392", "OpenJDK 64-Bit VM - Azul - 11/11.0.2+9")]
    [21, 17, 8, 11]
    """
    word = java.split("/")[0].split()[-1] if java.split() else ""
    numbers = word.replace("_", ".").split(".")
    number = numbers[1] if numbers[0] == "1" and len(numbers) > 1 else numbers[0]
    return int("".join(c for c in number if c.isdecimal()) or 0)


def policies(cleanup_policy: str) -> set[str]:
    """The parts of a cleanup policy, whose order means nothing."""
    return {part.strip() for part in cleanup_policy.split(",")}
