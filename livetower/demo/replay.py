"""Sends a stream to Kafka: as fast as it goes, or at a fixed rate with probes in between.

It knows nothing of what comes back.

An event's time of sending is noted just before the producer takes it, on the monotonic clock of this process, which
listener.py reads too. The rate is an open loop: a late event is sent at once and the schedule stays, so a slow consumer
cannot slow the sender.
"""

import bisect
import struct
import threading
import time
from collections.abc import Callable
from typing import Protocol

from confluent_kafka import KafkaError, Message, Producer

from livetower.demo.errors import DemoError
from livetower.demo.stream import Stream

PROBE = struct.Struct("<q")  # time of sending in ns: what a probe carries

# librdkafka's own log would mix warnings into the demo's lines: of a broker that has just started and lets the first
# request for a producer id wait, or that Ctrl-C has stopped. What matters comes back as an error of a record anyway.
QUIET = {"log_level": 2}
# One partition per user, in the order sent, also across retries; the partitions that Java clients choose.
# A topic's max.message.bytes limits whole batches, and librdkafka's of up to 1 MB are more than the job's topics allow.
ORDERED = {"enable.idempotence": True, "partitioner": "murmur2_random", "batch.size": 65_536, **QUIET}
# At full speed records are batched all the same, since they wait for each other.
PROMPT = {"linger.ms": 0, "socket.nagle.disable": True}


class Sends(Protocol):
    """The part of confluent_kafka.Producer that is used."""

    def produce(self, topic: str, value: bytes, key: bytes | None = None) -> None: ...
    def poll(self, timeout: float) -> int: ...


class Sender:
    """Sends parts of one stream; `sent_ns[position]` is when, 0 if not yet."""

    def __init__(
        self, bootstrap_servers: str, stream: Stream, topic: str, probe_topic: str, stop: threading.Event
    ) -> None:
        self._stream = stream
        self._topic = topic
        self._probe_topic = probe_topic
        self._stop = stop
        self._lost: KafkaError | None = None
        # One for both parts: a new one would spend its first tenths of a second on connecting, and the paced part would
        # measure that.
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "on_delivery": self._note_lost,
                "delivery.report.only.error": True,
                **ORDERED,
                **PROMPT,
            }
        )
        self.sent_ns = [0] * len(stream)

    @property
    def sent(self) -> int:
        """How many events were handed to the producer: they are sent in the order of their positions."""
        return bisect.bisect_left(self.sent_ns, True, key=lambda ns: ns == 0)

    def send_at_full_speed(self, start: int, stop: int) -> None:
        """Send the events start, …, stop-1 and return when the broker has them; raises DemoError if it refuses one."""
        send_all(self._stream, range(start, stop), self._producer, self._topic, self.sent_ns, self._stop)
        self._flush()

    def send_paced(self, start: int, stop: int, events_per_s: float, events_per_probe: int) -> None:
        """Send the events start, …, stop-1 at `events_per_s`, with probes; else like send_at_full_speed."""
        send_paced(
            self._stream, range(start, stop), self._producer, self._topic, self.sent_ns, self._stop,
            events_per_s=events_per_s, events_per_probe=events_per_probe, probe_topic=self._probe_topic,
        )  # fmt: skip
        self._flush()

    def _note_lost(self, error: KafkaError | None, _: Message) -> None:
        self._lost = self._lost or error

    def _flush(self) -> None:
        left = self._producer.flush(0 if self._stop.is_set() else 60)
        if self._stop.is_set():
            return
        if self._lost is not None or left > 0:
            cause = self._lost.str() if self._lost is not None else f"{left} records were still unsent after 60 s"
            raise DemoError(f"topic {self._topic}: the broker must take every interaction; {cause}")


def send_all(
    stream: Stream, part: range, producer: Sends, topic: str, sent_ns: list[int], stop: threading.Event,
    clock_ns: Callable[[], int] = time.monotonic_ns,
) -> None:  # fmt: skip
    """Hand the events of `part` to the producer, waiting while its queue is full; ends early once `stop` is set."""
    for position in part:
        if stop.is_set():
            return
        while True:
            sent_ns[position] = clock_ns()
            try:
                producer.produce(topic, stream.values[position], stream.keys[position])
                break
            except BufferError:
                producer.poll(0.05)
    producer.poll(0)


def send_paced(
    stream: Stream, part: range, producer: Sends, topic: str, sent_ns: list[int], stop: threading.Event, *,
    events_per_s: float, events_per_probe: int, probe_topic: str,
    clock_ns: Callable[[], int] = time.monotonic_ns, sleep: Callable[[float], None] = time.sleep,
) -> None:  # fmt: skip
    """Send the n-th event of `part` n / events_per_s seconds after the first; ends early once `stop` is set.

    After every `events_per_probe` events a probe follows halfway to the next event, so that it shares no request with
    one.
    """
    interval_ns = 1e9 / events_per_s
    begin_ns = clock_ns()

    def wait_until(due_ns: float) -> None:
        if (early_ns := due_ns - clock_ns()) > 0:
            sleep(early_ns / 1e9)

    for n, position in enumerate(part):
        wait_until(begin_ns + n * interval_ns)
        if stop.is_set():
            return
        sent_ns[position] = clock_ns()
        producer.produce(topic, stream.values[position], stream.keys[position])
        producer.poll(0)
        if (n + 1) % events_per_probe == 0:
            wait_until(begin_ns + (n + 0.5) * interval_ns)
            producer.produce(probe_topic, PROBE.pack(clock_ns()))
