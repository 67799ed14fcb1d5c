"""Throughput: a backlog is appended as fast as the broker takes it, then nobody but the job works on it.

The speed is that of the lists: how many the topic of recommendations got, over the time from the first to the last one
appended, by Kafka's timestamps. Nobody reads them meanwhile; how far the job is, the topic's end offsets say.
"""

import threading
import time

from confluent_kafka import Consumer

from flink_jobs.settings import TopicSettings
from livetower.bench.errors import BenchError
from livetower.bench.figures import Throughput, lists_by_second
from livetower.bench.offsets import Offsets, added, end_offsets, read_between
from livetower.demo.catalogue import describe_first_rejection
from livetower.demo.job_health import ENDED, JobHealth
from livetower.demo.listener import open_consumer
from livetower.demo.replay import Sender
from livetower.demo.report import appended_per_s
from livetower.demo.stream import Stream

LOOK_EVERY_S = 1.0  # each look takes a millisecond or two of a core that the job needs
PATIENCE_S = 90.0  # without a single new list; a restart of the job takes less


def measure_backlog(
    bootstrap_servers: str, topics: TopicSettings, stream: Stream, probe_topic: str, health: JobHealth
) -> Throughput:
    """Send the whole stream and wait until every event has its list. Raises BenchError if one gets none."""
    sender = Sender(bootstrap_servers, stream, topics.interactions, probe_topic, threading.Event())
    watched = (topics.recommendations, topics.rejected)
    consumer = open_consumer(bootstrap_servers, *watched)
    try:
        start = end_offsets(consumer, watched)
        began_s = time.monotonic()
        sender.send_at_full_speed(0, len(stream))
        append_s = time.monotonic() - began_s
        needed = len(stream)
        while True:
            end = wait_for_lists(consumer, topics, start, needed, health, bootstrap_servers)
            read = read_between(bootstrap_servers, topics.recommendations, start, end)
            appended_ms = [record.appended_ms for record in read]
            if len(appended_ms) >= len(stream):
                break
            needed += len(stream) - len(appended_ms)  # the ends of transactions have offsets, too
    finally:
        consumer.close()
    events_per_s = appended_per_s(appended_ms)
    if events_per_s is None:
        raise BenchError(f"--events: enough for two lists in two milliseconds were needed; got {len(stream)}")
    return Throughput(len(stream), len(appended_ms), events_per_s, append_s, lists_by_second(appended_ms))


def wait_for_lists(
    consumer: Consumer, topics: TopicSettings, start: Offsets, needed: int, health: JobHealth, bootstrap_servers: str
) -> Offsets:
    """Where the topics end once `needed` lists have come. Raises BenchError when no more come, or the job ends."""
    most, newest_s = 0, time.monotonic()
    while True:
        end = end_offsets(consumer, (topics.recommendations, topics.rejected))
        lists = added(start, end, topics.recommendations)
        if lists >= needed:
            return end
        if lists > most:
            most, newest_s = lists, time.monotonic()
        if (refused := added(start, end, topics.rejected)) > 0:
            reason = describe_first_rejection(bootstrap_servers, topics.rejected)
            raise BenchError(f"the job must accept every event; it rejected {refused:,}. {reason}")
        quiet_s = time.monotonic() - newest_s
        if health.state() in ENDED or quiet_s > PATIENCE_S:
            raise BenchError(
                f"{needed:,} lists were needed; {lists:,} came, none for {quiet_s:.0f} s. {health.trouble()}"
            )
        time.sleep(LOOK_EVERY_S)
