"""compose.yaml's command line on loopback: start-job.sh, standalone-job.sh, PythonDriver, and TaskManagers."""

from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer
from container_files import ROOT, application_command, compose_options
from made_up import interaction, item
from running_job import Topic, now_ms, wait_for

from livetower import cluster
from livetower.sandbox import Sandbox, flink, kafka, launch, log_files
from livetower.sandbox.jars import kafka_jars
from livetower.sandbox.ports import Ports
from livetower.sandbox.startup import wait_until

pytestmark = pytest.mark.flink

TOLD = cluster.OPTIONS.keys() | cluster.jobmanager_memory().keys() | cluster.taskmanager_memory().keys()
"""Which options of compose.yaml are taken: all but places, the reporter, and a port."""


class ApplicationCluster(Sandbox):
    """A broker, TaskManagers, and a JobManager that is the job."""

    def start(self) -> None:
        """Start all of it."""
        self.run_dir.mkdir(exist_ok=True)
        told = {name: value for name, value in compose_options().items() if name in TOLD}
        java_options = " ".join(flink.module_options())  # in the image they are in Flink's own config.yaml
        launch.prepare(self.run_dir, Ports(), told | {"env.java.opts.all": java_options}, fresh=False)
        (self.run_dir / "conf" / "log4j-console.properties").write_text(log_files.printed(flink.LOG_LEVELS))
        if not kafka.storage_is_formatted(self.run_dir):
            kafka.format_storage(self.run_dir, kafka_jars(), self.output_path("kafka"))
        launch.start(self.run_dir, "kafka", kafka.broker_command(self.run_dir, kafka_jars()))
        probe = kafka.BrokerProbe(self.bootstrap_servers)
        wait_until("Kafka", probe.answers, lambda: launch.require_running(self.run_dir, {"kafka"}))
        launch.start(self.run_dir, "jobmanager", self._jobmanager_command())
        launch.wait_until_complete(self.run_dir, launch.start_missing(self.run_dir, 2))

    def _jobmanager_command(self) -> list[str]:
        """What the image's entry point makes of compose.yaml's command, with this sandbox's addresses."""
        here = {"kafka:19092": self.bootstrap_servers, "/var/lib/livetower/snapshots": str(self.snapshot_root)}
        script, *words = application_command()
        for written, place in here.items():
            assert any(written in word for word in words), words
            words = [word.replace(written, place) for word in words]
        own = {"FLINK_HOME": flink.flink_home(), "LIVETOWER_HOME": self.run_dir, "FLINK_PID_DIR": self.run_dir / "tmp"}
        variables = [f"{name}={place}" for name, place in (flink.client_environment(self.run_dir) | own).items()]
        return ["env", *variables, str(ROOT / "docker" / Path(script).name), *words]

    def the_job(self) -> dict:
        """The one job, once every task of it runs."""

        def running():
            if "jobmanager" not in self.running():
                raise AssertionError(self.output_path("jobmanager").read_text()[-4000:])
            jobs = [self.rest(f"/jobs/{job['id']}") for job in self.rest("/jobs")["jobs"]]
            return [
                job
                for job in jobs
                if job["state"] == "RUNNING"
                and all(vertex["tasks"]["RUNNING"] == vertex["parallelism"] for vertex in job["vertices"])
            ]

        (job,) = wait_for("the job", running, 120)
        return job


def newest_list(cluster: ApplicationCluster, request: str) -> dict:
    """The first list that answers a request of this name."""
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
    topic = Topic(cluster.bootstrap_servers, "recommendations")
    asked = iter(range(10_000))

    def answers(messages: list) -> list[dict]:
        value = interaction(f"{request}{next(asked)}", "u", None, event_type="request", event_time_ms=now_ms())
        producer.produce("interactions", key=b"u", value=value)
        producer.flush(10)
        lists = [orjson.loads(message.value()) for message in messages]
        return [each for each in lists if each["trigger"].startswith(request)]

    found = answers(topic.wait_until("a list", answers))[0]
    topic.close()
    return found


def test_the_containers_command_line_runs_the_job_and_goes_on_from_its_savepoint(run_dir):
    running = ApplicationCluster(run_dir)
    try:
        running.start()
        job = running.the_job()
        assert job["name"] == "livetower"
        producer = Producer({"bootstrap.servers": running.bootstrap_servers})
        for n in range(20):
            producer.produce("items", key=b"i%d" % n, value=item(f"i{n}"))
        for n in range(3):
            producer.produce("interactions", key=b"u", value=interaction(f"e{n}", "u", f"i{n}", event_time_ms=now_ms()))
        producer.flush(10)
        first = newest_list(running, "before")
        assert {"i0", "i1", "i2"}.isdisjoint(each["item_id"] for each in first["items"])

        asked = running.rest(f"/jobs/{job['jid']}/stop", "POST", {})["request-id"]
        status = (
            f"/jobs/{job['jid']}/savepoints/{asked}"  # a JobManager waits five minutes for somebody to ask how it went
        )
        wait_for("the savepoint", lambda: running.rest(status)["status"]["id"] == "COMPLETED")
        wait_for("the end of the JobManager", lambda: "jobmanager" not in running.running())
        (savepoint,) = (run_dir / "savepoints").glob("*/_metadata")
        running.down()
        running.start()
        restored = running.rest(f"/jobs/{running.the_job()['jid']}/checkpoints")["latest"]["restored"]
        assert Path(restored["external_path"]).name == savepoint.parent.name
        second = newest_list(running, "after")
        assert second["user_since_ms"] == first["user_since_ms"]  # the user's state is the same one
        assert second["user_seq"] > first["user_seq"]
        assert {"i0", "i1", "i2"}.isdisjoint(each["item_id"] for each in second["items"])
    finally:
        running.down()
