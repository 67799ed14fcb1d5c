"""Makes a checkpoint and two savepoints of many users, through Flink, to measure `livetower inspect` on.

    python -m livetower.bench.make_state --users 1000000 --dimension 64 --out DIR

Starts a sandbox in DIR, submits fill_job.py with two subtasks, sends items, real events and a record for each user, and
stops everything when a checkpoint holds all of it. DIR then has checkpoints/<job>/chk-<n> (incremental) and
savepoints/<id>, one canonical and one native. A million users take a few minutes and 10 GB of disk.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
import orjson
from confluent_kafka import Producer

from flink_jobs.settings import load_settings
from flink_jobs.topics import create_missing_topics
from livetower.bench import fill_job
from livetower.bench.errors import BenchError
from livetower.bench.made_up_users import item_name, user_name
from livetower.bench.offsets import end_offsets
from livetower.demo.job_health import ENDED, JobHealth
from livetower.demo.listener import open_consumer
from livetower.inspect.reading import open_state
from livetower.operations.flink_job import FlinkJob
from livetower.sandbox import Sandbox

PARALLELISM = 2
CATEGORIES = 20
PATIENCE_S = 1_800.0
POLL_S = 0.5
STOPPED = ENDED | {"FAILING", "RESTARTING"}
BUSY_MACHINE = {"heartbeat.timeout": "300000", "pekko.ask.timeout": "120 s"}
"""A TaskManager that a busy machine holds up for minutes is not dead."""


@click.command()
@click.option("--users", type=click.IntRange(min=1), default=1_000_000, show_default=True)
@click.option("--items", type=click.IntRange(min=1), default=10_000, show_default=True)
@click.option("--events", type=click.IntRange(min=0), default=10_000, show_default=True, help="Learned as they are.")
@click.option("--dimension", type=click.IntRange(min=4), default=64, show_default=True)
@click.option("--max-parallelism", type=click.IntRange(min=PARALLELISM), default=128, show_default=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
def make_state(users: int, items: int, events: int, dimension: int, max_parallelism: int, out: Path) -> None:
    """Write a checkpoint and two savepoints of made-up users into a directory; prints where, as JSON."""
    sandbox = Sandbox(out)
    sandbox.up(taskmanagers=PARALLELISM + 1, fresh=True, flink_options=BUSY_MACHINE)
    try:
        states = write_states(sandbox, users, items, events, dimension, max_parallelism)
    finally:
        sandbox.down()
    click.echo(json.dumps(states, indent=1))


def write_states(
    sandbox: Sandbox, users: int, items: int, events: int, dimension: int, max_parallelism: int
) -> dict[str, str]:
    """Run the job until a checkpoint holds everything; kind → place of each state. Raises BenchError."""
    chosen = [
        f"kafka.bootstrap_servers={sandbox.bootstrap_servers}",
        f"job.snapshot_root={sandbox.snapshot_root}",
        f"job.parallelism={PARALLELISM}",
        f"job.max_parallelism={max_parallelism}",
        f"model.dimension={dimension}",
    ]
    settings = load_settings(None, chosen)
    create_missing_topics(settings)
    told = [word for setting in chosen for word in ("--set", setting)]
    job_id = sandbox.submit(*told, "--items", str(items), file=fill_job.__file__)
    job = FlinkJob(sandbox.rest_url, job_id)
    # Idempotent: a request sent again would give records twice, and the count of those read would be reached too early.
    producer = Producer(
        {
            "bootstrap.servers": sandbox.bootstrap_servers,
            "linger.ms": 20,
            "compression.type": "lz4",
            "enable.idempotence": True,
        }
    )
    send(producer, settings.topics.items, item_records(items))
    say(f"{items:,} items sent")
    send(producer, settings.topics.interactions, fill_records(users))
    send(producer, settings.topics.interactions, event_records(events, min(users, 2_000), items))
    say(f"{users:,} users and {events:,} events sent")
    sent = users + events

    def all_in(place: str) -> bool:
        with open_state(place) as state:
            read = sum(
                offset for (topic, _), offset in state.offsets().items() if topic == settings.topics.interactions
            )
        say(f"{max(0, read):,} of {sent:,} records are in {place.rsplit('/', 1)[1]}")
        return read >= sent

    rejected = rejected_counter(sandbox.bootstrap_servers, settings.topics.rejected)

    def require_health() -> None:
        require_no_trouble(JobHealth(sandbox.rest, job_id), rejected())

    wait_for_checkpoint(sandbox, job_id, all_in, require_health)
    places = {}
    for written_as in ("canonical", "native"):
        began = time.monotonic()
        places[written_as] = job.savepoint(None, PATIENCE_S, written_as=written_as.upper())
        say(f"{written_as} savepoint after {time.monotonic() - began:.0f} s")
    places["incremental"] = wait_for_checkpoint(sandbox, job_id, all_in, require_health)
    sandbox.cancel(job_id)
    return places


def item_records(items: int) -> Iterable[tuple[bytes, bytes]]:
    """Key and value of every item."""
    for n in range(items):
        record = {"item_id": item_name(n), "title": f"Title of {n}", "category": f"category-{n % CATEGORIES}"}
        yield record["item_id"].encode(), orjson.dumps(record)


def fill_records(users: int) -> Iterable[tuple[bytes, bytes]]:
    """Key and value of a record that makes up a user."""
    for n in range(users):
        yield user_name(n).encode(), fill_job.FILL + str(n).encode()


def event_records(events: int, users: int, items: int) -> Iterable[tuple[bytes, bytes]]:
    """Key and value of events of the first users; a user keeps to one category."""
    now_ms = time.time_ns() // 1_000_000
    for n in range(events):
        user = n % users
        item = (user % CATEGORIES + CATEGORIES * (n * 7_919 % max(1, items // CATEGORIES))) % items
        record = {
            "event_id": f"event-{n}",
            "user_id": user_name(user),
            "item_id": item_name(item),
            "event_type": "click",
            "event_time_ms": now_ms,
        }
        yield user_name(user).encode(), orjson.dumps(record)


def send(producer: Producer, topic: str, records: Iterable[tuple[bytes, bytes]]) -> None:
    """Send all of it. Raises BenchError if the broker did not take it."""
    for key, value in records:
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    if left := producer.flush(60):
        raise BenchError(f"{left} records were not taken by the broker")


def rejected_counter(bootstrap_servers: str, topic: str) -> Callable[[], int]:
    """What tells how many records the job has rejected so far."""
    consumer = open_consumer(bootstrap_servers, topic)
    return lambda: sum(end_offsets(consumer, (topic,)).values())


def require_no_trouble(health: JobHealth, rejected: int) -> None:
    """Raise BenchError if the job does not run, has failed once, or has rejected a record: all that was sent is right.

    A job that Flink starts again and again would be waited for to no end.
    """
    if health.state() in STOPPED or health.has_failed():
        raise BenchError(f"a job that runs without a failure was needed; {health.trouble()}")
    if rejected:
        raise BenchError(f"no record was to be rejected; {rejected} are on the topic `rejected`, which says why")


def wait_for_checkpoint(
    sandbox: Sandbox, job_id: str, enough: Callable[[str], bool], require_health: Callable[[], None]
) -> str:
    """The place of the first newer checkpoint that is enough. Raises BenchError, also if the job is in trouble."""
    deadline = time.monotonic() + PATIENCE_S
    seen = latest_checkpoint(sandbox, job_id)
    while time.monotonic() < deadline:
        require_health()
        place = latest_checkpoint(sandbox, job_id)
        if place != seen and place:
            seen = place
            if enough(place):
                return place
        time.sleep(POLL_S)
    raise BenchError(f"no checkpoint held everything after {PATIENCE_S:.0f} s; the newest is {seen or 'none'}")


def latest_checkpoint(sandbox: Sandbox, job_id: str) -> str:
    """The place of the newest completed checkpoint; '' before the first."""
    completed: dict[str, Any] | None = sandbox.rest(f"/jobs/{job_id}/checkpoints")["latest"]["completed"]
    return str(completed["external_path"]) if completed else ""


def say(line: str) -> None:
    """Tell how far it is."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    make_state()
