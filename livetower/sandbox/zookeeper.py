"""One ZooKeeper, from the classes in Flink's wheel: it keeps what a restarted JobManager must know of its jobs.

It knows nothing of the jobs. The JVM's command stands in flink.py.
"""

from pathlib import Path

from livetower.sandbox.ports import LOOPBACK, Ports

HEAP_MIB = 96
TICK_MS = 1_000
SESSION_MS = 6_000
"""So long a killed JobManager is still taken for the leader; ZooKeeper allows 2 to 20 ticks."""


def properties(run_dir: Path, ports: Ports) -> str:
    """Return zoo.cfg: one server on loopback, without the web server that Flink's jar leaves out."""
    return f"""\
tickTime={TICK_MS}
initLimit=10
syncLimit=5
dataDir={run_dir}/zookeeper
clientPort={ports.zookeeper}
clientPortAddress={LOOPBACK}
maxClientCnxns=0
admin.enableServer=false
"""


def flink_options(run_dir: Path, ports: Ports) -> dict[str, str]:
    """Return Flink's options by which a restarted JobManager goes on with its jobs from their last checkpoint."""
    return {
        "high-availability.type": "zookeeper",
        "high-availability.zookeeper.quorum": f"{LOOPBACK}:{ports.zookeeper}",
        "high-availability.zookeeper.path.root": "/livetower",
        "high-availability.zookeeper.client.session-timeout": str(SESSION_MS),
        "high-availability.storageDir": (run_dir / "high-availability").as_uri(),
    }
