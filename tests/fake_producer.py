"""Kafka's producer without a broker, on a clock of its own."""

from collections.abc import Callable
from typing import Any


class Refusal:
    """An error of a delivery."""

    def str(self) -> str:
        return "Broker: gone"


class Producer:
    """Takes records and acknowledges them when asked; time passes while it is polled."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.sent: list[tuple[float, bytes, bytes | None]] = []
        self.waiting: list[Callable[[Any, Any], None]] = []
        self.topics: set[str] = set()
        self.full_for = 0
        self.refuses: set[int] = set()  # numbers of records, from 0
        self.acknowledges = True
        self.before_poll: Callable[[], None] = lambda: None
        self.after: Callable[[int], None] = lambda _count: None

    def produce(self, topic: str, value: bytes, key: bytes | None = None, on_delivery: Any = None) -> None:
        if self.full_for > 0:
            raise BufferError
        self.sent.append((self.now_s, value, key))
        self.topics.add(topic)
        self.waiting.append(on_delivery)
        self.after(len(self.sent))

    def poll(self, timeout: float) -> int:
        self.before_poll()
        self.now_s += timeout
        self.full_for -= 1
        return self.flush(0) if self.acknowledges else 0

    def flush(self, timeout: float) -> int:
        done = len(self.sent) - len(self.waiting)
        for n, note in enumerate(self.waiting if self.acknowledges else [], done):
            note(Refusal() if n in self.refuses else None, None)
        if self.acknowledges:
            self.waiting = []
        return len(self.waiting)
