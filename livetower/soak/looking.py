"""One sample of everything that could grow: name of the series and its value. Knows no bounds."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from flink_jobs.settings import TopicSettings
from flink_jobs.topology import LEARN_AND_RECOMMEND, TRAIN_ITEM_TOWER
from livetower.sandbox import Sandbox, SandboxError
from livetower.sandbox.processes import resident_mib
from livetower.soak.traffic import Listener, Sender

JVM = {
    "heap": "Status.JVM.Memory.Heap.Used",
    "classes": "Status.JVM.Memory.Metaspace.Used",
    "threads": "Status.JVM.Threads.Count",
}
MIB = 2**20
Ask = Callable[[str], Any]


def look(sandbox: Sandbox, job_id: str, topics: TopicSettings, sender: Sender, listener: Listener) -> dict[str, float]:
    """All series that answer now; one that does not is missing in this sample."""
    values: dict[str, float] = {}
    processes = sandbox.running()
    for name, record in processes.items():
        values[f"memory: {name}"] = resident_mib(record.pid)
    values["memory: soak"] = resident_mib(os.getpid())
    with suppress(OSError, SandboxError):
        values |= dict(jvm_series(sandbox.rest, processes))
    with suppress(OSError, SandboxError):
        values |= dict(checkpoint_series(sandbox.rest, job_id))
    values |= dict(disk_series(sandbox.run_dir, topics))
    if listener.items:
        values["tower: items"] = listener.items
    values["events without a list"] = max(0, sender.sent - listener.lists)
    values["records rejected"] = listener.rejected
    if (p99 := listener.p99_ms()) is not None:
        values["freshness: p99"] = p99
    return values


def jvm_series(ask: Ask, processes: Iterable[str]) -> Iterator[tuple[str, float]]:
    """Heap, classes and threads of Flink's JVMs."""
    for name in processes:
        if name != "kafka":
            place = "/jobmanager" if name == "jobmanager" else f"/taskmanagers/{name}"
            for metric in ask(f"{place}/metrics?get={','.join(JVM.values())}"):
                (short,) = [short for short, long in JVM.items() if long == metric["id"]]
                value = float(metric["value"])
                yield f"{short}: {name}", value if short == "threads" else value / MIB


def checkpoint_series(ask: Ask, job_id: str) -> Iterator[tuple[str, float]]:
    """The newest completed checkpoint: how long it took, and how large the state of each operator is."""
    newest = ask(f"/jobs/{job_id}/checkpoints")["latest"]["completed"]
    if newest is None:
        return
    yield "checkpoints: duration", newest["end_to_end_duration"]
    names = {vertex["id"]: vertex["name"] for vertex in ask(f"/jobs/{job_id}")["vertices"]}
    tasks = ask(f"/jobs/{job_id}/checkpoints/details/{newest['id']}")["tasks"]
    for series, operator in (("state: users", LEARN_AND_RECOMMEND), ("state: tower", TRAIN_ITEM_TOWER)):
        sizes = [task["state_size"] for vertex, task in tasks.items() if operator in names.get(vertex, "")]
        if sizes:
            yield series, sum(sizes) / MIB


def disk_series(run_dir: Path, topics: TopicSettings) -> Iterator[tuple[str, float]]:
    """What lies in the run directory, as the disk counts it: Kafka makes its indexes larger than they are."""
    yield "checkpoints: size on disk", disk_mib(run_dir / "checkpoints")
    files = list(walk(run_dir / "snapshots"))
    yield "snapshots: files", len(files)
    yield "snapshots: size", sum(size_of(path) for path in files) / MIB
    yield "RocksDB: size on disk", disk_mib(run_dir / "tmp")
    yield "RocksDB: files", sum(path.suffix == ".sst" for path in walk(run_dir / "tmp"))
    yield "logs: size", disk_mib(run_dir / "log")
    for name in (topics.interactions, topics.items, topics.item_snapshots, topics.recommendations, topics.rejected):
        places = [
            path for path in (run_dir / "kafka").glob(f"{name}-*") if path.name.removeprefix(f"{name}-").isdigit()
        ]
        yield f"topic: {name}", sum(disk_mib(path) for path in places)


def disk_mib(directory: Path) -> float:
    """Disk space of all files below a directory."""
    return sum(size_of(path) for path in walk(directory)) / MIB


def size_of(path: Path) -> int:
    """Disk space of a file; 0 if it has gone meanwhile."""
    with suppress(FileNotFoundError):
        return 512 * path.lstat().st_blocks
    return 0


def walk(directory: Path) -> Iterator[Path]:
    """All files below a directory; those that go meanwhile may be among them."""
    for folder, _, names in os.walk(directory):
        for name in names:
            yield Path(folder) / name
