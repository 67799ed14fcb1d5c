"""How busy an operator is: the share of wall time that it spends in its own calls.

An example that arrives late may come from a backlog in Kafka that is not the tower's fault; only a tower that has no
time left should learn less because of it.
"""

OVER_NS = 1_000_000_000
"""The share is measured over a second at least."""


class BusyShare:
    """The share of wall time between the beginnings of calls a second or more apart, as of the last such second."""

    def __init__(self) -> None:
        self.share = 0.0
        self._since_ns = 0
        self._busy_ns = 0

    def add(self, began_ns: int, ended_ns: int) -> None:
        """Note a call that is over, in the time of one monotonic clock."""
        if self._since_ns == 0:
            self._since_ns = began_ns
        self._busy_ns += ended_ns - began_ns
        elapsed = ended_ns - self._since_ns
        if elapsed >= OVER_NS:
            self.share = self._busy_ns / elapsed
            self._since_ns, self._busy_ns = ended_ns, 0
