"""Freshness at a fixed rate: from sending an event to reading its list, beside records that only Kafka touches."""

import gc
import threading
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor

import orjson

from flink_jobs.settings import TopicSettings
from livetower.bench.errors import BenchError
from livetower.bench.figures import PacedRun
from livetower.bench.offsets import end_offsets, read_between
from livetower.bench.stages import NS_PER_MS, Passage, spread_of
from livetower.demo.job_health import ENDED, JobHealth
from livetower.demo.listener import Listener, open_consumer
from livetower.demo.replay import Sender
from livetower.demo.stream import Stream

EVENTS_PER_PROBE = 10
LOOK_EVERY_S = 0.1
QUIET_S = 30.0  # after the last event was sent: what has no list by then gets none


class FirstAnswers:
    """Which events have been answered: Kafka delivers at least once, and the first answer counts."""

    def __init__(self, events: int) -> None:
        self._answered = [False] * events

    def accept_list(self, event: int, item_ids: Collection[str]) -> bool:
        """Take the list that answers the event at this position; False if it was answered before."""
        first = not self._answered[event]
        self._answered[event] = True
        return first


def measure_freshness(
    bootstrap_servers: str, topics: TopicSettings, stream: Stream, probe_topic: str, rate: int, health: JobHealth
) -> tuple[PacedRun, list[Passage]]:
    """Send the stream at `rate` events per second; the run, and the way of every event that was answered.

    Raises BenchError if the job ends or an event gets no list.
    """
    watched = (topics.recommendations, topics.rejected, probe_topic)
    consumer = open_consumer(bootstrap_servers, *watched)
    start = end_offsets(consumer, watched)
    stop = threading.Event()
    sender = Sender(bootstrap_servers, stream, topics.interactions, probe_topic, stop)
    listener = Listener(
        bootstrap_servers, stream, sender.sent_ns, FirstAnswers(len(stream)), *watched, start=start
    )  # fmt: skip
    gc.collect()
    gc.freeze()  # scanning the stream's objects again would be a pause in the measured freshness
    wall_ns = time.time_ns() - time.monotonic_ns()
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="bench") as pool:
        try:
            listening = pool.submit(listener.listen, stop)
            sending = pool.submit(sender.send_paced, 0, len(stream), rate, EVENTS_PER_PROBE)
            seen, newest_s = 0, time.monotonic()
            while len(listener.arrivals) < len(stream):
                if listening.done():
                    listening.result()
                if not sending.done() or len(listener.arrivals) > seen:
                    seen, newest_s = len(listener.arrivals), time.monotonic()
                if time.monotonic() - newest_s > QUIET_S or health.state() in ENDED:
                    raise BenchError(f"{len(stream):,} lists were needed; {seen:,} came. {health.trouble()}")
                time.sleep(LOOK_EVERY_S)
            sending.result()
            end = end_offsets(consumer, watched)
        finally:
            stop.set()
            consumer.close()
    waits = [listener.wait_ns[position] for position in listener.arrivals]
    run = PacedRun(
        events=len(stream),
        answered=len(listener.arrivals),
        freshness=spread_of(waits),
        kafka_alone=spread_of(listener.probe_wait_ns),
        probes=len(listener.probe_wait_ns),
    )
    clocks = clocks_of(record.value for record in read_between(bootstrap_servers, topics.recommendations, start, end))
    return run, passages(stream, clocks, sender.sent_ns, listener.wait_ns, wall_ns)


def clocks_of(values: Iterator[bytes]) -> Iterator[tuple[str, int, int, int]]:
    """trigger, kafka_ms, learned_ms, emitted_ms of each recommendation record."""
    for value in values:
        record = orjson.loads(value)
        clock = record["clock"]
        yield record["trigger"], clock["kafka_ms"], clock["learned_ms"], clock["emitted_ms"]


def passages(
    stream: Stream, clocks: Iterator[tuple[str, int, int, int]], sent_ns: list[int], wait_ns: list[int], wall_ns: int
) -> list[Passage]:
    """The way of every event that has a clock; `wall_ns` is how far the wall clock is ahead of the monotonic one."""
    found = {}
    for trigger, kafka_ms, learned_ms, emitted_ms in clocks:
        position = stream.positions.get(trigger)
        if position is not None and position not in found:
            sent = sent_ns[position] + wall_ns
            seen_ms = (sent + wait_ns[position]) // NS_PER_MS
            found[position] = Passage(sent // NS_PER_MS, kafka_ms, learned_ms, emitted_ms, seen_ms)
    return list(found.values())
