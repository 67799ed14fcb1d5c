"""One Kafka broker that is its own controller (KRaft): configuration, commands, and whether it answers.

It knows nothing of topics; the job creates them (flink_jobs/topics.py), since automatic creation is off.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from livetower.sandbox.errors import SandboxError
from livetower.sandbox.flink import flink_home
from livetower.sandbox.java import COMPILE_LATER, java_executable, temporary_files
from livetower.sandbox.log_files import file_option, rotating
from livetower.sandbox.ports import LOOPBACK, Ports

CLUSTER_ID = "4L6g3nShT-eMCtK--X86sw"  # any 16 bytes in base64; one broker never meets another cluster's
HEAP_MIB = 384
LOG4J = "log4j2-kafka.properties"
LOG_LEVELS = {  # 700 lines that repeat every setting
    "org.apache.kafka.common.config": "WARN",
    "kafka.server.KafkaConfig": "WARN",
}


def server_properties(run_dir: Path, ports: Ports, options: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the broker's configuration, in which `options` win; log retention is left at Kafka's defaults."""
    return f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{LOOPBACK}:{ports.controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{LOOPBACK}:{ports.kafka},CONTROLLER://{LOOPBACK}:{ports.controller}
advertised.listeners=PLAINTEXT://{LOOPBACK}:{ports.kafka}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={run_dir}/kafka
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
# One broker: internal topics have one copy, and few partitions so that the first commit does not wait for 50 logs.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
# Eleven threads, the default, hand each other the requests of two cores.
num.network.threads=1
num.io.threads=2
# 32 MiB instead of 128 of the heap: enough to compact a million keys in one pass.
log.cleaner.dedupe.buffer.size=33554432
""" + "".join(f"{name}={value}\n" for name, value in options.items())


def storage_is_formatted(run_dir: Path) -> bool:
    """Tell whether the broker's directory has been formatted by an earlier start."""
    return (run_dir / "kafka" / "meta.properties").exists()


def format_storage(run_dir: Path, jars: list[Path], log: Path) -> None:
    """Format the broker's directory; a JVM of its own for about a second, once per run directory."""
    command = java_command(jars, "-XX:TieredStopAtLevel=1", *logging(run_dir))
    command += ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(run_dir / "server.properties")]
    with log.open("ab") as output:
        if subprocess.run(command, stdout=output, stderr=output, check=False, cwd=run_dir).returncode != 0:
            raise SandboxError(f"Kafka could not format {run_dir}/kafka: see {log}")


def broker_command(run_dir: Path, jars: list[Path]) -> list[str]:
    """Return the command that runs the broker in the foreground."""
    options = [
        f"-Xms{HEAP_MIB}m",
        f"-Xmx{HEAP_MIB}m",
        temporary_files(run_dir),
        *COMPILE_LATER,
        "-XX:+UseSerialGC",  # with a small heap it halves what a request costs
        "-XX:+ExitOnOutOfMemoryError",
        *logging(run_dir),
    ]
    return [*java_command(jars, *options), "kafka.Kafka", str(run_dir / "server.properties")]


def write_log4j(run_dir: Path) -> None:
    """Write the configuration of the broker's log."""
    (run_dir / LOG4J).write_text(rotating(LOG_LEVELS))


def logging(run_dir: Path) -> list[str]:
    """Return the JVM's options for the broker's log."""
    return [f"-Dlog4j.configurationFile={run_dir}/{LOG4J}", file_option(run_dir, "kafka")]


def java_command(jars: list[Path], *options: str) -> list[str]:
    """Return a `java` command with these options and Kafka's jars on its class path.

    Kafka logs through slf4j and brings log4j without what binds the two; Flink's wheel has it, of the same version.
    """
    binding = flink_home().glob("lib/log4j-slf4j-impl-*.jar")
    return [str(java_executable()), *options, "-cp", ":".join(map(str, [*jars, *binding]))]


class BrokerProbe:
    """Asks a broker that may still be starting for its metadata."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._admin = AdminClient(
            {
                "bootstrap.servers": bootstrap_servers,
                "reconnect.backoff.ms": 50,
                "reconnect.backoff.max.ms": 200,
                "log_level": 0,  # librdkafka would print each refused connection
                "error_cb": lambda _error: None,
            }
        )

    def answers(self) -> bool:
        """Tell whether the broker answers with its metadata within half a second."""
        try:
            return bool(self._admin.list_topics(timeout=0.5).brokers)
        except KafkaException:
            return False
