"""Flink from the apache-flink wheel: its directories, its configuration, and the commands of its JVMs.

The JVMs are started directly, not through Flink's shell scripts: each script starts two more JVMs to compute memory
options that we fix here in full. It knows nothing of what a job computes.
"""

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path

from livetower.cluster import OPTIONS, TASKMANAGER_MIB, taskmanager_memory
from livetower.sandbox import zookeeper
from livetower.sandbox.errors import SandboxError
from livetower.sandbox.java import COMPILE_LATER, java_executable, temporary_files
from livetower.sandbox.log_files import file_option, log_path, printed, rotating
from livetower.sandbox.ports import LOOPBACK, Ports

# What of TASKMANAGER_MIB is filled, while the others are bounds: 1152. In a demo (VmHWM in /proc/PID/status) the
# TaskManager with the tower came to 1184 MiB and the other to 710, the JobManager to 333 and the broker to 351: about
# their heaps.
FILLED = ("framework.heap", "task.heap", "managed", "task.off-heap", "network")
JOBMANAGER_HEAP_MIB = 384
METASPACE_MIB = 256
SERVER_LOG4J, CLIENT_LOG4J = "log4j2.properties", "log4j2-client.properties"
LOG_LEVELS = {"org.apache.kafka": "WARN", "org.apache.flink.api.java.typeutils.TypeExtractor": "WARN"}


def flink_home() -> Path:
    """Return the Flink distribution inside the pyflink package, without importing pyflink (it takes a second)."""
    found = importlib.util.find_spec("pyflink")
    if found is None or found.origin is None:
        raise SandboxError("no pyflink here: run `make setup`, and the livetower of its .venv")
    return Path(found.origin).parent


def write_flink_files(
    run_dir: Path, ports: Ports, jars: list[Path], options: Mapping[str, str], high_availability: bool = False
) -> None:
    """Write conf/ and lib/ of a run directory; `options` are added to the configuration and win over it.

    lib/ holds links to the wheel's jars, to the connector, and to flink-python: only when its classes come from the
    parent class loader can a second job run on the same TaskManager (pemja's native library loads once a JVM).
    """
    for name in ("conf", "lib", "tmp"):
        (run_dir / name).mkdir(parents=True, exist_ok=True)
    for link in (run_dir / "lib").iterdir():
        link.unlink()
    for jar in [*flink_home().glob("lib/*.jar"), *flink_home().glob("opt/flink-python-*.jar"), *jars]:
        (run_dir / "lib" / jar.name).symlink_to(jar)
    available = zookeeper.flink_options(run_dir, ports) if high_availability else {}
    settings = {**configuration(run_dir, ports), **available, **options}
    (run_dir / "conf" / "config.yaml").write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
    (run_dir / "conf" / SERVER_LOG4J).write_text(rotating(LOG_LEVELS))
    (run_dir / "conf" / CLIENT_LOG4J).write_text(printed(LOG_LEVELS))
    (run_dir / "conf" / "zoo.cfg").write_text(zookeeper.properties(run_dir, ports))


def configuration(run_dir: Path, ports: Ports) -> dict[str, str]:
    """Return Flink's configuration for this run directory (docs/architecture.md gives the reasons)."""
    return {
        **OPTIONS,
        "jobmanager.rpc.address": LOOPBACK,
        "jobmanager.rpc.port": str(ports.jobmanager),
        "jobmanager.bind-host": LOOPBACK,
        "rest.address": LOOPBACK,
        "rest.bind-address": LOOPBACK,
        "rest.port": str(ports.rest),
        "taskmanager.host": LOOPBACK,
        "taskmanager.bind-host": LOOPBACK,
        "taskmanager.cpu.cores": "1",
        **taskmanager_memory(),
        "io.tmp.dirs": str(run_dir / "tmp"),
        # A lost TaskManager is noticed within seconds; one that came up before the JobManager tries again at once.
        "heartbeat.interval": "2000",
        "heartbeat.timeout": "10000",
        "cluster.registration.error-delay": "300 ms",
        "cluster.registration.refused-registration-delay": "300 ms",
        "slot.request.timeout": "30000",
        "parallelism.default": "1",
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        "state.backend.rocksdb.checkpoint.transfer.thread.num": "1",  # four at once would take both cores
        "execution.checkpointing.dir": (run_dir / "checkpoints").as_uri(),
        "execution.checkpointing.savepoint-dir": (run_dir / "savepoints").as_uri(),
        "restart-strategy.exponential-delay.initial-backoff": "1 s",
        "restart-strategy.exponential-delay.max-backoff": "5 s",
    }


def taskmanager_filled_mib() -> int:
    """Return the memory that a TaskManager comes to hold.

    >>> taskmanager_filled_mib()
    1152
    """
    return sum(TASKMANAGER_MIB[name] for name in FILLED)


def jobmanager_command(run_dir: Path) -> list[str]:
    """Return the command that runs the JobManager in the foreground."""
    options = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *COMPILE_LATER, *heap(JOBMANAGER_HEAP_MIB)]
    main = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
    log = f"-Dweb.log.path={log_path(run_dir, 'jobmanager')}"
    java = java_command(run_dir, SERVER_LOG4J, file_option(run_dir, "jobmanager"), *options)
    return [*java, main, "--configDir", f"{run_dir}/conf", log]


def taskmanager_command(run_dir: Path, name: str) -> list[str]:
    """Return the command that runs one TaskManager in the foreground; the web UI shows it under `name`."""
    mib = TASKMANAGER_MIB
    direct = mib["framework.off-heap"] + mib["task.off-heap"] + mib["network"]
    options = [
        # Both compilers: under load the optimising one takes a third of a core for the first half minute, and the job
        # is a fifth faster from then on. A small heap needs no concurrent collector. Large pages: JVM, Python and
        # kernels take turns at every event, which is dear with small ones (with those of cluster.py, too, an event
        # costs a seventh less).
        "-XX:+UseSerialGC",
        "-XX:+UseTransparentHugePages",
        *COMPILE_LATER,
        *heap(mib["framework.heap"] + mib["task.heap"]),
        f"-XX:MaxDirectMemorySize={direct}m",
    ]
    main = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
    own = [f"-Dtaskmanager.resource-id={name}", f"-Dtaskmanager.log.path={log_path(run_dir, name)}"]
    java = java_command(run_dir, SERVER_LOG4J, file_option(run_dir, name), *options)
    return [*java, main, "--configDir", f"{run_dir}/conf", *own]


def zookeeper_command(run_dir: Path) -> list[str]:
    """Return the command that runs ZooKeeper in the foreground, from the classes in Flink's own jar."""
    options = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *heap(zookeeper.HEAP_MIB)]
    main = "org.apache.flink.runtime.zookeeper.FlinkZooKeeperQuorumPeer"
    java = java_command(run_dir, SERVER_LOG4J, file_option(run_dir, "zookeeper"), *options)
    return [*java, main, "--zkConfigFile", f"{run_dir}/conf/zoo.cfg", "--peerId", "1"]


def client_command(run_dir: Path, *arguments: str) -> list[str]:
    """Return a command of Flink's command line, such as `run`."""
    options = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m"]
    java = java_command(run_dir, CLIENT_LOG4J, *options)
    return [*java, "org.apache.flink.client.cli.CliFrontend", *arguments]


def client_environment(run_dir: Path) -> dict[str, str]:
    """Return the variables by which Flink's command line finds this run directory."""
    return {
        "FLINK_CONF_DIR": f"{run_dir}/conf",
        "FLINK_LIB_DIR": f"{run_dir}/lib",
        "FLINK_OPT_DIR": f"{flink_home()}/opt",
        "FLINK_LOG_DIR": f"{run_dir}/log",
    }


def heap(mib: int) -> list[str]:
    """Return the JVM options for a heap of fixed size and Flink's usual bound on classes."""
    return [f"-Xms{mib}m", f"-Xmx{mib}m", f"-XX:MaxMetaspaceSize={METASPACE_MIB}m"]


def java_command(run_dir: Path, log4j: str, *options: str) -> list[str]:
    """Return a `java` command with these options, this log4j file of conf/, and the run directory's lib/ as class
    path.

    Its temporary files lie in the run directory: one that is killed leaves them (50 MB of a JobManager).
    """
    own = [f"-Dlog4j.configurationFile={run_dir}/conf/{log4j}", temporary_files(run_dir)]
    return [str(java_executable()), *options, *module_options(), *own, "-cp", f"{run_dir}/lib/*"]


def module_options() -> list[str]:
    """Return the --add-opens and --add-exports that the wheel's own configuration asks for.

    Those for jdk.compiler are left out: they serve Flink's own build, and a runtime without a compiler warns of them.
    """
    for line in (flink_home() / "conf" / "config.yaml").read_text().splitlines():
        key, _, value = line.strip().partition(":")
        if key == "all":
            return [option for option in value.split() if "jdk.compiler/" not in option]
    raise LookupError(f"{flink_home()}/conf/config.yaml: no line env.java.opts.all; got another Flink than 2.2?")
