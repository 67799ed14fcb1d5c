"""Sends the records of a file to Kafka: at a pace, malformed ones by choice, and never past what is acknowledged.

An acknowledged position is a row up to which every record is with the broker; acknowledgements come in any order, since
each partition has its own. A record may be sent twice when a replay that was killed goes on; its event_id is the same.
Time passes only in `Producer.poll`, so a stop is noticed within WAIT_S. The clock is the caller's.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, Protocol

from confluent_kafka import KafkaException

from livetower.replay.errors import ReplayError
from livetower.replay.records import Make, Outgoing
from livetower.replay.state import ReplayState, fingerprint_of
from livetower.rows import Row

WAIT_S = 0.1
SAVE_EVERY_S = 1.0
FLUSH_S = 30.0
FIRST_SHOWN = 5


class Malformed(StrEnum):
    """What to do with a row that the job would reject."""

    STOP = "stop"
    SKIP = "skip"
    SEND = "send"


class Sends(Protocol):
    """The part of confluent_kafka.Producer that is used."""

    def produce(
        self, topic: str, value: bytes, key: bytes | None = None, on_delivery: Callable[[Any, Any], None] | None = None
    ) -> None: ...
    def poll(self, timeout: float) -> int: ...
    def flush(self, timeout: float) -> int: ...


class Outstanding:
    """Rows on their way, and the last one up to which all are acknowledged."""

    def __init__(self) -> None:
        self._rows: deque[tuple[int, str]] = deque()
        self._acknowledged: set[int] = set()
        self.last: tuple[int, str] | None = None  # its number and fingerprint

    def sent(self, row: Row) -> None:
        """Note a row before it is given to the producer; rows come in rising numbers."""
        self._rows.append((row.number, fingerprint_of(row)))

    def acknowledged(self, number: int) -> None:
        """Note that the broker has the row, or that it is passed over."""
        self._acknowledged.add(number)
        while self._rows and self._rows[0][0] in self._acknowledged:
            self.last = self._rows.popleft()
            self._acknowledged.remove(self.last[0])


@dataclass(frozen=True, slots=True)
class Pace:
    """When records leave: `speed` times as fast as they happened, `per_s` each second, or (neither) at once."""

    speed: float | None = None
    per_s: float | None = None

    def due_s(self, n: int, at_ms: int | None, first_ms: int | None) -> float:
        """Seconds after the first record at which the n-th leaves, which happened at `at_ms`.

        >>> Pace(speed=10.0).due_s(1, 61_000, 1_000), Pace(per_s=4.0).due_s(3, None, None), Pace().due_s(9, 1, 0)
        (6.0, 0.75, 0.0)
        """
        if self.per_s is not None:
            return n / self.per_s
        if self.speed is None or at_ms is None or first_ms is None:
            return 0.0
        return (at_ms - first_ms) / 1000 / self.speed


@dataclass(slots=True)
class Sending:
    """One run over rows. `stopped` may be set at any time, by a signal handler too: the run then ends in good order."""

    producer: Sends
    topic: str
    file: str
    make: Make
    malformed: Malformed
    state: ReplayState
    save: Callable[[ReplayState], None]
    show: Callable[[str], None]  # takes a line for the person who waits
    progress: Callable[[int], None]
    pace: Pace = field(default_factory=Pace)
    resumable: bool = True
    clock_s: Callable[[], float] = time.monotonic
    stopped: bool = False
    sent: int = 0  # by this run, and so the next two
    acknowledged: int = 0
    reasons: Counter[str] = field(default_factory=Counter)  # of malformed rows
    _lost: str = ""
    _outstanding: Outstanding = field(default_factory=Outstanding)
    _saved_s: float = 0.0

    def run(self, rows: Iterable[Row]) -> None:
        """Send the rows, wait for their acknowledgements and save the state, whatever ends it.

        Raises ReplayError at a malformed row (unless it is to be sent or passed over), and when the broker does not
        take a record.
        """
        self._saved_s = self.clock_s()
        try:
            self._send_all(rows)
        finally:
            left = self.producer.flush(FLUSH_S)
            self._save()
        if self._lost or left:
            cause = self._lost or f"{left} records were not acknowledged within {FLUSH_S:g} s"
            raise ReplayError(f"topic {self.topic}: the broker must take every record; {cause}. {self._where()}")

    def _send_all(self, rows: Iterable[Row]) -> None:
        begin_s, first_ms = self.clock_s(), None
        for row in rows:
            if self.stopped or self._lost:
                return
            record = self.make(row)
            if record.reason and not self._goes_on(row, record):
                continue
            first_ms = record.event_time_ms if first_ms is None else first_ms
            self._wait_until(begin_s + self.pace.due_s(self.sent, record.event_time_ms, first_ms))
            if self.stopped or not self._produce(row, record):
                return
            self.progress(row.number)
            if self.clock_s() - self._saved_s >= SAVE_EVERY_S:
                self._save()

    def _goes_on(self, row: Row, record: Outgoing) -> bool:
        """Count a malformed row and show the first ones; whether it is to be sent. Raises ReplayError if it may not."""
        what = f"{self.file}, {row.place}: {record.detail}"
        if self.malformed is Malformed.STOP:
            self.producer.flush(FLUSH_S)
            self._save()
            raise ReplayError(
                f"{what}. Mend it, or pass it over with --malformed skip, or let the job reject it with --malformed "
                f"send. {self._where()}"
            )
        self.reasons[record.reason] += 1
        if (count := self.reasons.total()) <= FIRST_SHOWN:
            self.show(f"{what}; {'sent all the same' if self.malformed is Malformed.SEND else 'passed over'}")
            if count == FIRST_SHOWN:
                self.show("malformed rows from here on are counted only")
        if self.malformed is Malformed.SEND:
            return True
        self._outstanding.sent(row)
        self._outstanding.acknowledged(row.number)
        return False

    def _wait_until(self, due_s: float) -> None:
        while not self.stopped and (early_s := due_s - self.clock_s()) > 0:
            self.producer.poll(min(early_s, WAIT_S))

    def _produce(self, row: Row, record: Outgoing) -> bool:
        """Hand a record over, waiting while the producer's queue is full; False when stopped or lost meanwhile."""
        self._outstanding.sent(row)
        note = partial(self._note, row.number)
        while not (self.stopped or self._lost):
            try:
                self.producer.produce(self.topic, record.value, record.key, on_delivery=note)
            except BufferError:
                self.producer.poll(WAIT_S)
            except KafkaException as error:
                self._lost = f"{row.place}: {error.args[0].str()}"
            else:
                self.sent += 1
                self.producer.poll(0)
                return True
        return False

    def _note(self, number: int, error: Any, _message: object) -> None:
        if error is None:
            self.acknowledged += 1
            self._outstanding.acknowledged(number)
        else:
            self._lost = self._lost or str(error.str())

    def _save(self) -> None:
        if self._outstanding.last is not None:
            self.state.number, self.state.fingerprint = self._outstanding.last
        self.save(self.state)
        self._saved_s = self.clock_s()

    def _where(self) -> str:
        way_on = "goes on behind it" if self.resumable else "sends all of them again, which does no harm"
        return f"Acknowledged up to row {self.state.number}; the same command {way_on}"
