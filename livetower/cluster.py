"""What every Flink that runs the job must be told: the sandbox's, docker/compose.yaml's and docker/kubernetes.yaml's.

The sandbox takes it from here; the two files repeat it, since Docker and Kubernetes read no Python, and a test compares
them. It does not know addresses and directories. docs/deployment.md explains the memory, docs/architecture.md the rest.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

OPTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "taskmanager.numberOfTaskSlots": "1",  # all slots of a JVM share one GIL
        "taskmanager.network.memory.buffer-debloat.enabled": "true",  # aligned checkpoints stay short under backlog
        # While one is aligned, the priority lane waits for what is on its way in the other: not Flink's full second.
        "taskmanager.network.memory.buffer-debloat.target": "200 ms",
        "python.execution-mode": "thread",
        "state.backend.type": "rocksdb",
        "execution.checkpointing.incremental": "true",
        "execution.checkpointing.interval": "10 s",
        "execution.checkpointing.num-retained": "3",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.buffer-timeout.interval": "0 ms",
        "restart-strategy.type": "exponential-delay",
    }
)
"""Flink options that are equal on every cluster."""

ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "OPENBLAS_NUM_THREADS": "1",  # one slot is one thread: idle BLAS workers only take the other slots' cores
        "OMP_NUM_THREADS": "1",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # large pages where the kernel gives them to who asks (madvise)
    }
)
"""Variables that are equal in every process that runs Python."""

PLACES: Final = ("PYTHONHOME", "PYTHONPATH", "NUMBA_CACHE_DIR")
"""Variables that every such process needs, each cluster with its own directories."""

TASKMANAGER_MIB: Final[Mapping[str, int]] = MappingProxyType(
    {
        "framework.heap": 128,
        "task.heap": 256,
        "managed": 128,  # RocksDB: its block cache and write buffers
        "framework.off-heap": 128,
        "task.off-heap": 576,  # Python's share, which Flink does not measure: see off_heap_mib
        "network": 64,
        "jvm-metaspace": 256,
        "jvm-overhead": 192,
    }
)
"""Memory of a TaskManager for a catalogue of 10,000 items, 1728 MiB in all."""

PYTHON_MIB: Final = 512
"""What numpy, numba and torch fill before there is an item, with some to spare; numpy and numba alone 250."""

JOBMANAGER_MIB: Final[Mapping[str, int]] = MappingProxyType(
    {
        "heap": 512,
        "off-heap": 128,
        "jvm-metaspace": 256,
        "jvm-overhead": 704,  # the process that submits the job runs beside the JVM: 336 MiB with torch imported
    }
)
"""Memory of a JobManager in application mode, 1600 MiB in all."""


def jobmanager_memory() -> dict[str, str]:
    """Return every memory option of a JobManager in application mode."""
    return _memory_options("jobmanager", JOBMANAGER_MIB, {"jvm-overhead"})


def taskmanager_memory(sizes: Mapping[str, int] = TASKMANAGER_MIB) -> dict[str, str]:
    """Return every memory option of a TaskManager; one that is missing Flink would compute."""
    return _memory_options("taskmanager", sizes, {"network", "jvm-overhead"})


def _memory_options(process: str, sizes: Mapping[str, int], bounded: set[str]) -> dict[str, str]:
    """Return the options for these sizes in MiB; what is bounded has a least and a greatest size, here the same."""
    options = {}
    for name, mib in sizes.items():
        for end in ("min", "max") if name in bounded else ("size",):
            options[f"{process}.memory.{name}.{end}"] = f"{mib}m"
    return options


def off_heap_mib(items: int, dimension: int = 64, neighbours: int = 50) -> int:
    """Return `task.off-heap` for so many items: Python itself and three item tables, in steps of 64 MiB.

    While a full snapshot is read there are the old table, the new one and the file's bytes; the tower holds its rows
    twice while it publishes. At the defaults a table took 1,240 bytes an item and such a moment 3,070 (20,000 items,
    resident memory); the tower 2,600.

    >>> [off_heap_mib(items) for items in (10_000, 100_000, 1_000_000)]
    [576, 896, 4224]
    """
    needed = PYTHON_MIB + 3 * items * item_bytes(dimension, neighbours) / 2**20
    return 64 * math.ceil(needed / 64)


def item_bytes(dimension: int, neighbours: int) -> int:
    """Return the memory that one item takes in an item table: two vectors, its neighbours, its texts, its counts.

    >>> item_bytes(64, 50)
    1296
    """
    return 8 * dimension + 8 * neighbours + 384
