"""The description of a keyed state: which states there are, of what kind, and whether they have a time to live.

Flink's KeyedBackendSerializationProxy writes it at the head of a stream, or as a file of its own beside the files of a
RocksDB directory. Serializers are described in layouts of their own, without a length, so a state is found by how its
entry begins: name, kind, options, the first of its serializers. The number in front of all must equal what was found.
"""

import re
from dataclasses import dataclass
from typing import Final

from livetower.inspect.errors import InspectError

VERSIONS: Final = (4, 5, 6)
KEYED, _, _, TIMERS = range(4)
KIND: Final = rb"\x00\x00\x00([\x00-\x03])"
OPTION: Final = rb"\x00(?:\x10KEYED_STATE_TYPE|\x20OPERATOR_STATE_DISTRIBUTION_MODE)\x00[\x01-\x40][A-Z_]+"
SERIALIZER: Final = rb"\x00(?:\x0eKEY_SERIALIZER|\x10VALUE_SERIALIZER|\x14NAMESPACE_SERIALIZER)"
BEGINNING: Final = re.compile(
    KIND + rb"\x00\x00\x00[\x00-\x02]((?:" + OPTION + rb")*)\x00\x00\x00[\x01-\x03]" + SERIALIZER
)
TYPE: Final = re.compile(rb"KEYED_STATE_TYPE\x00.([A-Z_]+?)(?=\x00|$)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class DescribedState:
    """One state of an operator."""

    name: str
    kind: str  # 'value', 'map', 'list' or 'timers'
    has_time_to_live: bool


@dataclass(frozen=True, slots=True)
class Description:
    """All states of one backend, in the order of their numbers."""

    states: tuple[DescribedState, ...]
    compressed: bool
    """Whether the key groups of a stream are compressed (execution.checkpointing.snapshot-compression)."""

    def number_of(self, name: str) -> int | None:
        """The number of a state; None if there is no such state."""
        return next((n for n, state in enumerate(self.states) if state.name == name), None)


def read_description(data: bytes, what: str) -> Description:
    """The description that data begin with. Raises InspectError, naming `what`."""
    if (version := int.from_bytes(data[:4], "big")) not in VERSIONS:
        raise _unknown(f"{what}: a description of states in version 4 to 6 was needed; got {version}")
    found, first, last = [], None, len(data)
    beginnings = [(match, name) for match in BEGINNING.finditer(data) if (name := _name_before(data, match.start()))]
    for n, (match, name) in enumerate(beginnings):
        start = match.start() - len(name) - 2
        first = start if first is None else first
        end = beginnings[n + 1][0].start() if n + 1 < len(beginnings) else last
        kind = "timers" if match[1][0] == TIMERS else _kind(match[2])
        ttl = b"TtlSerializer" in data[match.end() : end]
        found.append(DescribedState(name.decode(), kind, ttl))
    if first is None:
        return Description((), False)
    if (states := int.from_bytes(data[first - 2 : first], "big")) != len(found):
        raise _unknown(f"{what}: {states} states are announced; found {[state.name for state in found]}")
    return Description(tuple(found), data[4] == 1)


def _kind(options: bytes) -> str:
    match = TYPE.search(options)
    return match[1].decode().lower() if match else "value"


def _name_before(data: bytes, end: int) -> bytes:
    """The text, behind its length in two bytes, that ends there; nothing if there is none."""
    for size in range(1, min(256, end - 1)):
        if data[end - size - 2 : end - size] == size.to_bytes(2, "big"):
            return data[end - size : end]
    return b""


def _unknown(cause: str) -> InspectError:
    return InspectError("LT-INS-106", cause, "Another version of Flink wrote this: it must be 2.0 to 2.2")
