"""Starting and stopping the processes of one run directory. The caller holds the run directory's lock (state.py)."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from livetower.sandbox import flink, jars, kafka, rest
from livetower.sandbox.errors import SandboxError
from livetower.sandbox.java import embedding_environment
from livetower.sandbox.log_files import log_path, output_path
from livetower.sandbox.ports import LOOPBACK, Ports
from livetower.sandbox.processes import ProcessRecord, is_running, marked_processes, start_process, stop_processes
from livetower.sandbox.startup import died_message, wait_until
from livetower.sandbox.state import SandboxState, read_state, state_path, write_state
from operators.code_digest import code_digest

TASKMANAGER = "taskmanager-"
JOBMANAGER_NICE = 5
LAST = ("kafka", "zookeeper")


def running(run_dir: Path) -> dict[str, ProcessRecord]:
    """Return the processes of a run directory that run now, by name."""
    return {name: record for name, record in read_state(run_dir).processes.items() if is_running(record, run_dir)}


def running_taskmanagers(run_dir: Path) -> dict[str, ProcessRecord]:
    """Return the TaskManagers that run now, by name."""
    return {name: record for name, record in running(run_dir).items() if name.startswith(TASKMANAGER)}


def prepare(
    run_dir: Path,
    ports: Ports,
    flink_options: Mapping[str, str],
    fresh: bool,
    kafka_options: Mapping[str, str] = MappingProxyType({}),
    high_availability: bool = False,
) -> None:
    """Write the configuration of a sandbox of which nothing runs; `fresh` removes first what an earlier one left."""
    chosen = ports.chosen()  # before anything is removed: a port may be taken
    if fresh:
        remove_remains(run_dir)
    shutil.rmtree(run_dir / "tmp", ignore_errors=True)  # of processes that were killed
    shutil.rmtree(run_dir / "log.previous", ignore_errors=True)
    if (run_dir / "log").exists():
        (run_dir / "log").rename(run_dir / "log.previous")
    (run_dir / "log").mkdir()
    flink.write_flink_files(run_dir, chosen, jars.flink_jars(), flink_options, high_availability)
    (run_dir / "server.properties").write_text(kafka.server_properties(run_dir, chosen, kafka_options))
    kafka.write_log4j(run_dir)
    write_state(run_dir, SandboxState(chosen, high_availability=high_availability))


def remove_remains(run_dir: Path) -> None:
    """Remove everything in a sandbox's run directory but its lock; refuse a directory that is not a sandbox's."""
    remains = [path for path in run_dir.iterdir() if path.name != "lock"]
    if remains and not state_path(run_dir).exists():
        raise SandboxError(f"{run_dir} is not empty and not a sandbox's: name another; nothing was removed")
    for path in remains:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def missing_mib(there: Iterable[str], taskmanagers: int) -> int:
    """Return the memory that what start_missing starts beside these processes comes to hold.

    >>> missing_mib([], 2), missing_mib(["kafka", "jobmanager", "taskmanager-4"], 2), missing_mib(["kafka"], 0)
    (3072, 1152, 384)
    """
    names = set(there)
    more = max(0, taskmanagers - sum(name.startswith(TASKMANAGER) for name in names))
    heaps = {"jobmanager": flink.JOBMANAGER_HEAP_MIB, "kafka": kafka.HEAP_MIB}
    return more * flink.taskmanager_filled_mib() + sum(mib for name, mib in heaps.items() if name not in names)


def start_missing(run_dir: Path, taskmanagers: int) -> set[str]:
    """Start what does not run of a broker, a JobManager and so many TaskManagers; return the names that must run now.

    One with high availability has a ZooKeeper too. All start at once; the broker's directory is formatted meanwhile.
    """
    there = running(run_dir)
    expected = {"jobmanager", "kafka", *there}
    if read_state(run_dir).high_availability:
        expected.add("zookeeper")
        if "zookeeper" not in there:
            start(run_dir, "zookeeper", flink.zookeeper_command(run_dir))
    if "jobmanager" not in there:
        # Nobody waits for it, and at a checkpoint it wants as much as a TaskManager.
        start(run_dir, "jobmanager", flink.jobmanager_command(run_dir), nice=JOBMANAGER_NICE)
    for _ in range(taskmanagers - len(running_taskmanagers(run_dir))):
        expected.add(start_taskmanager(run_dir))
    if "kafka" not in there:
        broker_jars = jars.kafka_jars()
        if not kafka.storage_is_formatted(run_dir):
            kafka.format_storage(run_dir, broker_jars, output_path(run_dir, "kafka"))
        start(run_dir, "kafka", kafka.broker_command(run_dir, broker_jars))
    return expected


def start_taskmanager(run_dir: Path) -> str:
    """Start one more TaskManager and return its name; no number is used twice, since Flink knows it by its name."""
    names = [name for name in read_state(run_dir).processes if name.startswith(TASKMANAGER)]
    name = f"{TASKMANAGER}{max((int(each.removeprefix(TASKMANAGER)) for each in names), default=0) + 1}"
    start(run_dir, name, flink.taskmanager_command(run_dir, name), code_digest())
    return name


def start(run_dir: Path, name: str, command: list[str], code: str = "", nice: int = 0) -> None:
    """Start one process and note it in the state file."""
    output, environment = output_path(run_dir, name), embedding_environment()
    record = start_process(command, run_dir=run_dir, log=output, environment=environment, code=code, nice=nice)
    state = read_state(run_dir)
    state.processes[name] = record
    write_state(run_dir, state)


def wait_until_complete(run_dir: Path, expected: set[str]) -> None:
    """Wait until the broker answers and Flink has exactly the expected TaskManagers.

    One that was killed is in Flink's list until its heartbeat times out, and would be given tasks.
    """
    ports = read_state(run_dir).ports
    taskmanagers = {name for name in expected if name.startswith(TASKMANAGER)}
    rest_url = f"http://{LOOPBACK}:{ports.rest}"
    probe = kafka.BrokerProbe(f"{LOOPBACK}:{ports.kafka}")
    wait_until("Kafka", probe.answers, lambda: require_running(run_dir, expected))
    wait_until(
        "Flink",
        lambda: rest.registered_taskmanagers(rest_url) == taskmanagers,
        lambda: require_running(run_dir, expected),
    )


def require_running(run_dir: Path, expected: set[str]) -> None:
    """Raise SandboxError with the end of its log when one of these processes has ended."""
    for name in expected - running(run_dir).keys():
        raise SandboxError(died_message(name, log_path(run_dir, name), output_path(run_dir, name)))


def stop_everything(run_dir: Path) -> None:
    """Stop every process that carries this run directory, recorded or not (a client that somebody left behind, say)."""
    stop(run_dir, running(run_dir))
    stop_processes(marked_processes(run_dir), run_dir)


def stop(run_dir: Path, names: Iterable[str]) -> None:
    """Stop these processes, broker and ZooKeeper last so that a job's last commit still finds them."""
    there = running(run_dir)
    chosen = [name for name in names if name in there]
    stop_processes([there[name] for name in chosen if name not in LAST], run_dir)
    stop_processes([there[name] for name in chosen if name in LAST], run_dir)


def replace_outdated_taskmanagers(run_dir: Path) -> bool:
    """Replace the TaskManagers that started with other code than lies on disk now; return whether there were any."""
    code = code_digest()
    outdated = [name for name, record in running_taskmanagers(run_dir).items() if record.code != code]
    if outdated:
        stop(run_dir, outdated)
        replacements = {start_taskmanager(run_dir) for _ in outdated}
        wait_until_complete(run_dir, {*running(run_dir), *replacements})
    return bool(outdated)
