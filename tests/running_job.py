"""The recommender on the sandbox's real Kafka and Flink, with topics, group and snapshots of a test's own."""

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from made_up import interaction, item

from livetower.sandbox import Sandbox
from models.snapshots import Announcement, decode_announcement

TOPICS = (
    "interactions", "interactions_priority", "items", "item_snapshots", "commands", "recommendations", "rejected"
)  # fmt: skip
PATIENCE_S = 60.0


def wait_for(what: str, condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """The condition's value once it is true; AssertionError when it is not after `patience_s`."""
    end = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {patience_s:g} s: {what}"
        time.sleep(0.02)
    return value


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Topic:
    """All messages of a topic so far."""

    def __init__(self, bootstrap_servers: str, name: str, isolation: str = "read_committed") -> None:
        self.name = name
        self.messages: list[Message] = []
        options = {"bootstrap.servers": bootstrap_servers, "group.id": "unused", "enable.auto.commit": False}
        self._consumer = Consumer(options | {"fetch.wait.max.ms": 50, "isolation.level": isolation})
        partitions = self._consumer.list_topics(name, timeout=10).topics[name].partitions
        self._consumer.assign([TopicPartition(name, number, 0) for number in partitions])

    def poll(self) -> list[Message]:
        while batch := self._consumer.consume(1_000, timeout=0.05):
            for message in batch:
                assert message.error() is None, message.error()
            self.messages += batch
        return self.messages

    def wait_until(
        self, what: str, condition: Callable[[list[Message]], Any], patience_s: float = PATIENCE_S
    ) -> list[Message]:
        """The messages once the condition holds for them."""
        wait_for(f"{what} on {self.name}", lambda: condition(self.poll()), patience_s)
        return self.messages

    def close(self) -> None:
        self._consumer.close()


class RunningJob:
    """One submitted job; leave it as a context manager, which cancels it."""

    def __init__(self, sandbox: Sandbox, snapshot_root: Path, *settings: str) -> None:
        self.sandbox = sandbox
        prefix = f"test-{uuid.uuid4().hex[:8]}"
        self.topics = {name: f"{prefix}-{name}" for name in TOPICS}
        own = [f"topics.{name}={topic}" for name, topic in self.topics.items()]
        own += [f"job.group_id={prefix}", f"job.snapshot_root={snapshot_root}"]
        own.append(f"kafka.bootstrap_servers={sandbox.bootstrap_servers}")
        self._settings = [*own, *settings]
        self.start()
        self._producer = Producer({"bootstrap.servers": sandbox.bootstrap_servers, "linger.ms": 5})
        self._topics: dict[str, Topic] = {}
        self.delivered: list[Message] = []
        """Every interaction and item that was produced, with its place and time, in the order of the broker's acks."""

    def start(self, *settings: str, from_savepoint: str | None = None, file: Path | None = None) -> None:
        """Submit the job, or another main with the same arguments, with these settings on top of its own."""
        chosen = [word for setting in [*self._settings, *settings] for word in ("--set", setting)]
        self.job_id = self.sandbox.submit(*chosen, from_savepoint=from_savepoint, file=file)

    def __enter__(self) -> "RunningJob":
        return self

    def __exit__(self, *_: object) -> None:
        for topic in self._topics.values():
            topic.close()
        del self._producer  # it would go on looking for the broker
        if self.job_id in self.sandbox.unfinished_jobs():
            self.sandbox.cancel(self.job_id)

    # ---- records ---------------------------------------------------------------------------------

    def topic(self, name: str) -> Topic:
        if name not in self._topics:
            self._topics[name] = Topic(self.sandbox.bootstrap_servers, self.topics[name])
        return self._topics[name]

    def send(self, name: str, key: bytes | None, value: bytes | None, kafka_ms: int = 0) -> None:
        """Send one record, with a Kafka timestamp of its own if there is one."""

        def note(error: object, message: Message) -> None:
            assert error is None, error
            self.delivered.append(message)

        self._producer.produce(self.topics[name], key=key, value=value, on_delivery=note, timestamp=kafka_ms)
        self._producer.poll(0)

    def flush(self) -> None:
        assert self._producer.flush(30) == 0

    def event(self, event_id: str, user_id: str, item_id: str | None, **fields: Any) -> None:
        """Send one interaction that happens now."""
        value = interaction(event_id, user_id, item_id, **({"event_time_ms": now_ms()} | fields))
        self.send("interactions", user_id.encode(), value)

    def request(self, event_id: str, user_id: str) -> None:
        self.event(event_id, user_id, None, event_type="request")

    def lists(self) -> list[dict[str, Any]]:
        """Every recommendation so far."""
        return [orjson.loads(message.value()) for message in self.topic("recommendations").poll()]

    def announcements(self) -> list[Announcement]:
        return [decode_announcement(message.value()) for message in self.topic("item_snapshots").poll()]

    def load_items(self, *item_ids: str) -> None:
        """Send these items, and wait until there are lists."""
        for item_id in item_ids:
            self.send("items", item_id.encode(), item(item_id))
        self.wait_for_first_list()

    def wait_for_first_list(self, user_id: str = "probe") -> None:
        """Ask for a list until one comes: every subtask that gets a request then has an item table."""
        asked = 0

        def came() -> bool:
            nonlocal asked
            self.request(f"probe{asked}", user_id)
            asked += 1
            self.flush()
            return any(each["user_id"] == user_id for each in self.lists())

        wait_for(f"a list for {user_id}", came)

    # ---- what Flink says -------------------------------------------------------------------------

    def vertex(self, operator: str) -> dict[str, Any]:
        """The job's vertex that runs the operator."""
        vertices = self.sandbox.rest(f"/jobs/{self.job_id}")["vertices"]
        (found,) = [vertex for vertex in vertices if operator in vertex["name"]]
        return found

    def counter(self, operator: str, name: str) -> int:
        """The sum of a counter over the operator's subtasks; 0 until Flink shows it."""
        path = f"/jobs/{self.job_id}/vertices/{self.vertex(operator)['id']}/subtasks/metrics"
        names = [metric["id"] for metric in self.sandbox.rest(path) if metric["id"].endswith(f".{name}")]
        if not names:
            return 0
        (metric,) = self.sandbox.rest(f"{path}?get={names[0]}")
        return round(metric["sum"])

    def taskmanagers(self, operator: str) -> list[str]:
        """Names of the TaskManagers that run the operator, by subtask."""
        path = f"/jobs/{self.job_id}/vertices/{self.vertex(operator)['id']}"
        return [subtask["taskmanager-id"] for subtask in self.sandbox.rest(path)["subtasks"]]

    def checkpoints(self) -> dict[str, int]:
        """How many checkpoints are completed, and from how many the job was restored."""
        return self.sandbox.rest(f"/jobs/{self.job_id}/checkpoints")["counts"]

    def state_bytes(self) -> int:
        """Size of the state of learn-and-recommend in the newest completed checkpoint; 0 before the first."""
        newest = self.sandbox.rest(f"/jobs/{self.job_id}/checkpoints")["latest"]["completed"]
        if newest is None:
            return 0
        vertex = self.vertex("learn-and-recommend")["id"]
        details = self.sandbox.rest(f"/jobs/{self.job_id}/checkpoints/details/{newest['id']}")
        return int(details["tasks"][vertex]["state_size"])

    def wait_for_checkpoint(self) -> None:
        """Wait for a checkpoint of everything so far: the second to be completed, since the first may have begun."""
        before = self.checkpoints()["completed"]
        wait_for("a checkpoint of all so far", lambda: self.checkpoints()["completed"] >= before + 2)

    def lose_taskmanager(self, name: str) -> None:
        """Kill a TaskManager, start another, and wait until the job was restored and every task runs again.

        Meanwhile every other that is missing is started, as whoever runs a cluster does: Flink 2.2 ends one, too, when
        closing the input that came from the dead one fails.
        """
        before, needed = self.checkpoints()["restored"], self._n_taskmanagers()
        self.sandbox.kill(name)

        def restored() -> bool:
            for _ in range(self._n_taskmanagers(), needed):
                self.sandbox.start_taskmanager()
            return self._all_run() and self.checkpoints()["restored"] > before

        wait_for("a restart", restored)

    def _n_taskmanagers(self) -> int:
        return sum(name.startswith("taskmanager-") for name in self.sandbox.running())

    def _all_run(self) -> bool:
        tasks = self.sandbox.rest(f"/jobs/{self.job_id}")["vertices"]
        return all(vertex["tasks"]["RUNNING"] == vertex["parallelism"] for vertex in tasks)

    def stop_with_savepoint(self, directory: Path) -> str:
        """Take a canonical savepoint, after which the job ends; returns where it is."""
        body = {"targetDirectory": directory.as_uri(), "formatType": "CANONICAL", "drain": False}
        path = f"/jobs/{self.job_id}/stop"
        trigger = self.sandbox.rest(path, "POST", body)["request-id"]

        def completed() -> Any:
            status = self.sandbox.rest(f"/jobs/{self.job_id}/savepoints/{trigger}")
            return status["status"]["id"] == "COMPLETED" and status["operation"]

        operation = wait_for("a savepoint", completed)
        assert "location" in operation, operation["failure-cause"]["stack-trace"][:500]
        return str(operation["location"])
