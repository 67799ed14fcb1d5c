"""Sends a stream at a pace, from a thread of its own, whatever becomes of the broker meanwhile.

The producer is idempotent and waits for a broker that is away, so a record stands in its topic once and in order. When
the leg's events are sent it goes on with requests: lists stay fresh, and there is nothing more to learn.
"""

import threading
import time
from types import TracebackType

from confluent_kafka import KafkaException, Message, Producer

from livetower.chaos.errors import ChaosError
from livetower.chaos.stream import MadeUpStream, Sent
from operators.wall_clock import wall_clock_ms

PATIENCE_S = 300


class Sender:
    """Use it as a context manager: it sends from the beginning of the block until `finish`, or the block's end."""

    def __init__(self, bootstrap_servers: str, topic: str, stream: MadeUpStream, events: int, per_s: float) -> None:
        self.learned = 0
        """Events sent so far, repeated ones counted once, requests not at all."""
        self._topic, self._stream, self._events, self._per_s = topic, stream, events, per_s
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "enable.idempotence": True,
                "linger.ms": 5,
                "message.timeout.ms": 1_000 * PATIENCE_S,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,  # librdkafka would print each refused connection
                "error_cb": lambda _error: None,
            }
        )
        self._failed: list[str] = []
        self._hurry = self._ended = False
        self._thread = threading.Thread(target=self._send, name="sender", daemon=True)

    def __enter__(self) -> "Sender":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        self._thread.join()

    def check(self) -> None:
        """Raise ChaosError if a record did not reach the broker."""
        if self._failed:
            raise ChaosError(f"topic {self._topic}: every record must be accepted; {self._failed[0]}")

    def all_sent(self) -> bool:
        """Whether the leg's events are sent; what is left of them no longer keeps to the pace."""
        self._hurry = True
        return self.learned >= self._events

    def finish(self) -> None:
        """Stop sending, and wait until the broker has everything. Raises ChaosError."""
        self._ended = True
        self._thread.join()
        if left := self._producer.flush(PATIENCE_S):
            self._failed.append(f"{left} were not after {PATIENCE_S} s")
        self.check()

    def _send(self) -> None:
        began, sent = time.monotonic(), 0
        while not self._ended and not self._failed:
            early_s = began + sent / self._per_s - time.monotonic()
            if early_s > 0 and not (self._hurry and self.learned < self._events):
                self._producer.poll(min(early_s, 0.1))
                continue
            now_ms = wall_clock_ms()
            if self.learned < self._events:
                self._put(self._stream.event(now_ms))
                self.learned += 1
            else:
                self._put([self._stream.request(now_ms)])
            sent += 1

    def _put(self, records: list[Sent]) -> None:
        for record in records:
            while True:
                try:
                    self._producer.produce(self._topic, key=record.key, value=record.value, on_delivery=self._note)
                    self._producer.poll(0)
                    break
                except BufferError:  # the broker is away
                    self._producer.poll(0.1)
                except KafkaException as error:
                    self._failed.append(str(error))
                    return

    def _note(self, error: object, _message: Message) -> None:
        if error is not None:
            self._failed.append(str(error))
