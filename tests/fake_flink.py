"""What a PyFlink operator sees of Flink, in dictionaries: keyed and broadcast state, timers, counters.

As strict as Flink where a mistake would show on a cluster only: state answers nothing outside of `process_*` and
`on_timer` (in thread mode it answers wrongly in `open`), broadcast state is read-only beside keyed elements, and values
of PICKLED_BYTE_ARRAY must be bytes.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from pyflink.common import Row
from pyflink.datastream.state import MapStateDescriptor, StateDescriptor, ValueStateDescriptor


class FakeFlink:
    """One subtask: runtime context, metrics group, timer service and every context of a process function at once."""

    def __init__(self, keyed: dict[str, dict[str, Any]] | None = None) -> None:
        self.keyed = keyed if keyed is not None else {}
        """name of the state → key → value; a MapState's value is a dict. Hand it to another FakeFlink to restore."""
        self.broadcast: dict[str, dict[str, bytes]] = {}
        self.descriptors: dict[str, StateDescriptor] = {}
        self.timers: list[int] = []
        self.counters: Counter[str] = Counter()
        self.key: str | None = None
        self.read_only = True

    # ---- what a test does ------------------------------------------------------------------------

    def element(self, operator: Any, value: tuple, key: str) -> list[Row]:
        """Everything the operator emits for one keyed element."""
        self.key = key
        try:
            return list(operator.process_element(value, self))
        finally:
            self.key = None

    def announce(self, operator: Any, value: tuple) -> None:
        """One broadcast element."""
        self.key, self.read_only = "broadcast", False
        try:
            assert operator.process_broadcast_element(value, self) is None
        finally:
            self.key, self.read_only = None, True

    def fire_timers(self, operator: Any, until_ms: int, key: str) -> list[Row]:
        """Everything the operator emits when the processing-time timers up to `until_ms` fire, once each."""
        due = sorted(timer for timer in self.timers if timer <= until_ms)
        self.timers = [timer for timer in self.timers if timer > until_ms]
        self.key = key
        try:
            return [row for timer in due for row in operator.on_timer(timer, self)]
        finally:
            self.key = None

    # ---- what an operator calls ------------------------------------------------------------------

    def get_state(self, descriptor: ValueStateDescriptor) -> "FakeValueState":
        self.descriptors[descriptor.name] = descriptor
        if descriptor._ttl_config is not None:  # thread mode asks for it too, and PyFlink's default starts a JVM
            descriptor._ttl_config.get_cleanup_strategies().get_rocksdb_compact_filter_cleanup_strategy()
        return FakeValueState(self, descriptor.name)

    def get_map_state(self, descriptor: MapStateDescriptor) -> "FakeMapState":
        self.descriptors[descriptor.name] = descriptor
        return FakeMapState(self, descriptor.name)

    def get_broadcast_state(self, descriptor: MapStateDescriptor) -> "FakeBroadcastState":
        return FakeBroadcastState(self, self.broadcast.setdefault(descriptor.name, {}))

    def get_metrics_group(self) -> "FakeFlink":
        return self

    def counter(self, name: str) -> "FakeCounter":
        return FakeCounter(self, name)

    def timer_service(self) -> "FakeFlink":
        return self

    def register_processing_time_timer(self, timestamp: int) -> None:
        if timestamp not in self.timers:
            self.timers.append(timestamp)

    def require_key(self, name: str) -> str:
        if self.key is None:
            raise RuntimeError(f"state {name!r} was touched outside of an element or timer, where no key is set")
        return self.key


class FakeCounter:
    def __init__(self, flink: FakeFlink, name: str) -> None:
        self._flink, self._name = flink, name

    def inc(self, n: int = 1) -> None:
        self._flink.counters[self._name] += n


class FakeValueState:
    def __init__(self, flink: FakeFlink, name: str) -> None:
        self._flink, self._name = flink, name

    def value(self) -> bytes | None:
        return self._flink.keyed.setdefault(self._name, {}).get(self._flink.require_key(self._name))

    def update(self, value: bytes) -> None:
        assert type(value) is bytes
        self._flink.keyed.setdefault(self._name, {})[self._flink.require_key(self._name)] = value

    def clear(self) -> None:
        self._flink.keyed.setdefault(self._name, {}).pop(self._flink.require_key(self._name), None)


class FakeMapState:
    def __init__(self, flink: FakeFlink, name: str) -> None:
        self._flink, self._name = flink, name

    def _entries(self) -> dict[int, bytes]:
        return self._flink.keyed.setdefault(self._name, {}).setdefault(self._flink.require_key(self._name), {})

    def get(self, key: int) -> bytes | None:
        return self._entries().get(key)

    def put(self, key: int, value: bytes) -> None:
        assert type(key) is int
        assert type(value) is bytes
        self._entries()[key] = value

    def contains(self, key: int) -> bool:
        return key in self._entries()

    def remove(self, key: int) -> None:
        self._entries().pop(key, None)

    def items(self) -> Iterator[tuple[int, bytes]]:
        yield from sorted(self._entries().items())  # as RocksDB does: by key, not as they were put


class FakeBroadcastState:
    def __init__(self, flink: FakeFlink, entries: dict[str, bytes]) -> None:
        self._flink, self._entries = flink, entries

    def get(self, key: str) -> bytes | None:
        self._flink.require_key("broadcast")
        return self._entries.get(key)

    def put(self, key: str, value: bytes) -> None:
        assert type(value) is bytes
        self._require_writable()
        self._entries[key] = value

    def remove(self, key: str) -> None:
        self._require_writable()
        self._entries.pop(key, None)

    def _require_writable(self) -> None:
        if self._flink.read_only:
            raise RuntimeError("broadcast state is read-only beside keyed elements")
