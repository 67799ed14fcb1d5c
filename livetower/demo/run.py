"""The order of the demo: data, cluster, job, catalogue, replay at full speed, at a fixed rate, summary, your films.

Nothing here computes a figure; the modules named in livetower/demo/__init__.py do. Three threads: one sends, one
listens, and this one wakes up a few times a second to see how far they are and to show it. Whatever ends the demo
early, its cluster is stopped.
"""

import gc
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic

from flink_jobs.settings import TopicSettings
from livetower.demo.catalogue import describe_first_rejection, load_catalogue, wait_for_snapshot
from livetower.demo.errors import DemoError
from livetower.demo.job_health import ENDED, JobHealth
from livetower.demo.listener import Listener
from livetower.demo.live_quality import LiveQuality
from livetower.demo.movielens import fetch_movielens, load_interactions, load_items
from livetower.demo.name_films import name_films
from livetower.demo.own_list import OwnList
from livetower.demo.replay import QUIET, Sender
from livetower.demo.report import Part, Summary, appended_per_s, summary_lines
from livetower.demo.stream import Stream, encode_stream
from livetower.preflight import disk_used
from livetower.sandbox import Sandbox
from livetower.watch.freshness import percentile_ms
from livetower.watch.recent import Recent
from livetower.watch.screen import Renderer, choose_renderer
from livetower.watch.view import View, snapshot_of

TOPICS = TopicSettings()
PROBE_TOPIC = "demo-probe"
JOB_ARGUMENTS = ("--set", "job.checkpoint_interval_s=5")
TASKMANAGERS = 2
FAST_SHARE = 0.8
PACED_EVENTS_PER_S = 500
EVENTS_PER_PROBE = 10  # 50 probes a second
CHECK_EVERY_S = 5
LOOK_EVERY_S = 0.1
QUIET_S = 30  # longer than a restart of the job takes: after that the lists still missing are taken as lost
PATIENCE_S = 90  # without a single list: compiling the kernels and loading the first snapshot take part of it

Say = Callable[[str], None]


def run_demo(folder: Path, events: int | None, say: Say) -> None:
    """Run everything below `folder` and leave the cluster running; `events` shortens the stream. Raises DemoError."""
    began = time.monotonic()
    run_dir = folder / "sandbox"
    downloaded = fetch_movielens(folder / "movielens")
    say(f"MovieLens-100k (GroupLens; research use, no redistribution): {'downloaded' if downloaded else 'found'}")
    items = load_items(folder / "movielens")
    stream = encode_stream(load_interactions(folder / "movielens")[:events])
    quality = LiveQuality(stream.users, stream.items)
    titles = {item["item_id"]: item["title"] for item in items}

    sandbox = Sandbox(run_dir)
    with ExitStack() as unless_finished:  # Ctrl-C too: an interrupted demo must not leave three JVMs behind
        unless_finished.callback(stop_cluster, sandbox, run_dir, say)
        health = start_job(sandbox, run_dir, say)
        bootstrap = sandbox.bootstrap_servers
        create_probe_topic(bootstrap)
        load_catalogue(bootstrap, TOPICS.items, items)
        say(f"catalogue: {len(items):,} items sent; waiting for a snapshot that holds them")
        wait_for_snapshot(bootstrap, TOPICS.item_snapshots, len(items), health)
        with choose_renderer(say) as renderer:
            replay = Replay(bootstrap, stream, quality, health, titles, renderer)
            summary = replay.run(lambda: disk_used(str(run_dir)), began)
        unless_finished.pop_all()
    say("")
    for line in summary_lines(summary):
        say(line)
    say(f"{'web UI':<20}{sandbox.rest_url}")
    say(f"{'stop the cluster':<20}livetower down --run-dir {run_dir}")
    say(f"{'watch it':<20}livetower watch --run-dir {run_dir}")
    if sys.stdin.isatty() and sys.stdout.isatty():
        with OwnList(bootstrap, TOPICS.interactions, TOPICS.recommendations) as own:
            say("")
            name_films(titles, input, say, own.answer)


def start_job(sandbox: Sandbox, run_dir: Path, say: Say, job_arguments: Sequence[str] = JOB_ARGUMENTS) -> JobHealth:
    """Stop the cluster of an earlier run, start one without its files, and submit the job."""
    sandbox.down()
    say(f"starting Kafka and Flink ({TASKMANAGERS} TaskManagers) in {run_dir}")
    sandbox.up(taskmanagers=TASKMANAGERS, fresh=True)
    job_id = sandbox.submit(*job_arguments)
    say(f"job {job_id} submitted; web UI {sandbox.rest_url}")
    return JobHealth(sandbox.rest, job_id)


def stop_cluster(sandbox: Sandbox, run_dir: Path, say: Say) -> None:
    """Stop the processes that were started; their files stay for a look."""
    say(f"stopping the cluster; its logs stay in {run_dir}")
    sandbox.down()


def create_probe_topic(bootstrap_servers: str, topic: str = PROBE_TOPIC) -> None:
    """Make the topic through which Kafka alone is measured. Raises KafkaException if the broker refuses."""
    admin = AdminClient(
        {"bootstrap.servers": bootstrap_servers, **QUIET}
    )  # kept: once collected, it cancels its request
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)


class Replay:
    """Sends the stream in two parts and watches the lists come back."""

    def __init__(
        self,
        bootstrap: str,
        stream: Stream,
        quality: LiveQuality,
        health: JobHealth,
        titles: Mapping[str, str],
        renderer: Renderer,
    ) -> None:
        self._bootstrap = bootstrap
        self._size = len(stream)
        self._split = int(len(stream) * FAST_SHARE)
        self._quality = quality
        self._health = health
        self._titles = titles
        self._renderer = renderer
        self._stop = threading.Event()
        self._sender = Sender(bootstrap, stream, TOPICS.interactions, PROBE_TOPIC, self._stop)
        self._listener = Listener(
            bootstrap,
            stream,
            self._sender.sent_ns,
            quality,
            TOPICS.recommendations,
            TOPICS.rejected,
            PROBE_TOPIC,
        )

    def run(self, disk_used: Callable[[], int], began: float) -> Summary:
        """Both parts, then the summary; `began` is the monotonic time at which the demo started."""
        gc.collect()
        gc.freeze()  # the stream's 500,000 objects stay; scanning them again would be a pause in the measured freshness
        self._started = time.monotonic()
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="demo") as pool:
            try:
                listening = pool.submit(self._listener.listen, self._stop)
                sending = pool.submit(self._sender.send_at_full_speed, 0, self._split)
                self._watch("full speed", 0, self._split, sending, listening)
                sending = pool.submit(
                    self._sender.send_paced, self._split, self._size, PACED_EVENTS_PER_S, EVENTS_PER_PROBE
                )
                self._watch(f"{PACED_EVENTS_PER_S}/s", self._split, self._size, sending, listening)
            finally:
                self._stop.set()
        return self._summary(disk_used(), began)

    def _watch(self, name: str, start: int, stop: int, sending: Future[None], listening: Future[None]) -> None:
        """Show what happens until all events of the part are answered, or no more answers come."""
        seen = len(self._listener.arrivals)
        newest_s = shown_s = checked_s = time.monotonic()
        recent = Recent(newest_s, seen)
        while not (sending.done() and self._quality.answered(start, stop) == stop - start):
            for thread in (sending, listening):
                if thread.done():
                    thread.result()
            time.sleep(LOOK_EVERY_S)
            now_s = time.monotonic()
            if len(self._listener.arrivals) > seen:
                seen, newest_s = len(self._listener.arrivals), now_s
            if now_s - shown_s >= self._renderer.every_s:
                shown_s = now_s
                self._renderer.show(self._view(name, start, stop, recent, now_s))
            if now_s - checked_s >= CHECK_EVERY_S:
                checked_s = now_s
                self._require_life(now_s - newest_s)
                if sending.done() and now_s - newest_s > QUIET_S and self._quality.answered(start, stop) > 0:
                    break
        sending.result()
        if (missing := stop - start - self._quality.answered(start, stop)) > 0:
            reason = describe_first_rejection(self._bootstrap, TOPICS.rejected)
            self._renderer.say(f"{missing:,} events got no list within {QUIET_S} s and count as missed. {reason}")

    def _view(self, name: str, start: int, stop: int, recent: Recent, now_s: float) -> View:
        """What is known now; hit rates are those of the part."""
        listener = self._listener
        count = len(listener.arrivals)
        mark, seconds = recent.since(now_s, count)
        waits = sorted(listener.wait_ns[position] for position in listener.arrivals[mark:count])
        latest = listener.latest
        return View(
            elapsed_s=now_s - self._started,
            part=name,
            events_per_s=(count - mark) / seconds,
            freshness_p50_ms=percentile_ms(waits, 50),
            freshness_p99_ms=percentile_ms(waits, 99),
            snapshot=None if latest is None else snapshot_of(latest),
            rates=self._quality.rates_so_far(start, stop),
            lag=self._sender.sent - count,
            rejected=dict(listener.rejected),
            shown=listener.followed.shown(self._titles),
        )

    def _require_life(self, quiet_s: float) -> None:
        """Raise DemoError if the job has ended, or if it has sent nothing for too long."""
        if (state := self._health.state()) in ENDED:
            raise DemoError(self._health.trouble())
        if state != "RUNNING":
            self._renderer.say(self._health.trouble())
        if quiet_s > PATIENCE_S:
            reason = describe_first_rejection(self._bootstrap, TOPICS.rejected)
            raise DemoError(f"no list arrived for {quiet_s:.0f} s; {self._health.trouble()}. {reason}")

    def _summary(self, disk_bytes: int, began: float) -> Summary:
        listener, quality, split, size = self._listener, self._quality, self._split, self._size
        answered = [p for p in listener.arrivals if p < split]
        waits = [listener.wait_ns[p] for p in listener.arrivals if p >= split]
        sent = self._sender.sent_ns
        paced_s = (sent[size - 1] - sent[split]) / 1e9
        return Summary(
            fast=Part(
                split,
                len(answered),
                appended_per_s([listener.appended_ms[p] for p in answered]),
                quality.rates(0, split),
            ),
            paced=Part(
                size - split,
                len(waits),
                (size - split - 1) / paced_s if paced_s > 0 else None,
                quality.rates(split, size),
            ),
            overall=quality.rates(0, size),
            repeated=quality.repeated,
            freshness_p50_ms=percentile_ms(waits, 50),
            freshness_p99_ms=percentile_ms(waits, 99),
            kafka_p50_ms=percentile_ms(listener.probe_wait_ns, 50),
            kafka_p99_ms=percentile_ms(listener.probe_wait_ns, 99),
            probes=len(listener.probe_wait_ns),
            wall_s=time.monotonic() - began,
            disk_bytes=disk_bytes,
        )
