"""Reads user states out of a canonical savepoint, byte by byte, so that a test sees what Flink keeps.

A canonical savepoint holds one stream for each key group: the number of a state, then its entries sorted by key
(length, key, length, value), the last of them marked in the first bit of its key; after the last state comes 0xFFFF.
The JVM of PyFlink's gateway reads `_metadata`, which says where the streams are.
"""

import base64
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import local_flink  # noqa: F401  # finds a Java for the gateway
from pyflink.java_gateway import get_gateway

from models.records import user_key_of

END_OF_KEY_GROUP = 0xFFFF
LAST_OF_STATE = 0x80
TTL_BYTES = 8  # time of the last update, in front of a value with a time to live


def user_blobs(savepoint: str, uid: str = "learn-and-recommend", state: str = "user") -> dict[str, bytes]:
    """User id → the value of the state in bytes, as Flink keeps it, but for the time to live."""
    (operator,) = [each for each in java_list(operators(savepoint)) if each.getOperatorUid().orElse("") == uid]
    if operator.getMaxParallelism() > 128:
        raise NotImplementedError("key groups of two bytes")
    found = {}
    for subtask in java_list(operator.getStates()):
        for handle in java_list(subtask.getManagedKeyedState()):
            number = state_names(handle).index(state)
            data = content(handle.getDelegateStateHandle())
            groups = handle.getKeyGroupRange()
            for group in range(groups.getStartKeyGroup(), groups.getEndKeyGroup() + 1):
                for entry_number, key, value in entries(data, handle.getOffsetForKeyGroup(group)):
                    if entry_number == number:
                        found[user_id(key)] = value[TTL_BYTES:]
    return found


def unframed(value: bytes) -> bytes:
    """The bytes inside Flink's length and a pickle of `bytes`, found without running the pickle."""
    pickled = value[4:]
    assert len(pickled) == int.from_bytes(value[:4], "big")
    assert pickled[:2] in (b"\x80\x04", b"\x80\x05")  # the protocol
    at = 11 if pickled[2:3] == b"\x95" else 2  # a frame's length is 8 bytes
    if pickled[at : at + 1] == b"C":  # length in one byte
        size, at = pickled[at + 1], at + 2
    else:
        assert pickled[at : at + 1] == b"B"  # length in four bytes
        size, at = int.from_bytes(pickled[at + 1 : at + 5], "little"), at + 5
    return pickled[at : at + size]


def entries(data: bytes, at: int) -> Any:
    """State number, key and value of every entry of the key group whose stream begins at this place."""

    def number(size: int) -> int:
        nonlocal at
        at += size
        return int.from_bytes(data[at - size : at], "big")

    if at == 0:  # nothing in this key group
        return
    state = number(2)
    while state != END_OF_KEY_GROUP:
        key_size = number(4)
        key, at = bytearray(data[at : at + key_size]), at + key_size
        value_size = number(4)
        value, at = data[at : at + value_size], at + value_size
        last, key[0] = key[0] & LAST_OF_STATE, key[0] & ~LAST_OF_STATE
        yield state, bytes(key), value
        if last:
            state = number(2)


def user_id(key: bytes) -> str:
    """The user of a key: key group, mask of the row, length + 1, base64 of the user id, void namespace."""
    assert key[1] == 0
    assert len(key) == 3 + key[2] - 1 + 1
    return base64.b64decode(key[3:-1]).decode()


def subtask_of(user_id: str, parallelism: int, max_parallelism: int = 128) -> int:
    """Which subtask of learn-and-recommend has this user."""
    jvm = get_gateway().jvm
    key = jvm.org.apache.flink.types.Row(1)
    key.setField(0, user_key_of(user_id))
    assignment = jvm.org.apache.flink.runtime.state.KeyGroupRangeAssignment
    return int(assignment.assignKeyToParallelOperator(key, max_parallelism, parallelism))


# ---- through the JVM -----------------------------------------------------------------------------


def operators(savepoint: str) -> Any:
    jvm = get_gateway().jvm
    directory = Path(urlparse(savepoint).path)
    stream = jvm.java.io.DataInputStream(jvm.java.io.FileInputStream(str(directory / "_metadata")))
    try:
        loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
        checkpoints = jvm.org.apache.flink.runtime.checkpoint.Checkpoints
        return checkpoints.loadCheckpointMetadata(stream, loader, str(directory)).getOperatorStates()
    finally:
        stream.close()


def state_names(handle: Any) -> list[str]:
    """Names of the states in the order of their numbers."""
    jvm = get_gateway().jvm
    stream = handle.getDelegateStateHandle().openInputStream()
    try:
        loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
        proxy = jvm.org.apache.flink.runtime.state.KeyedBackendSerializationProxy(loader)
        proxy.read(jvm.org.apache.flink.core.memory.DataInputViewStreamWrapper(stream))
        assert not proxy.isUsingKeyGroupCompression()
        return [info.getName() for info in java_list(proxy.getStateMetaInfoSnapshots())]
    finally:
        stream.close()


def content(handle: Any) -> bytes:
    """The bytes of a state handle: those it carries, or its file's."""
    if handle.getClass().getSimpleName() == "ByteStreamStateHandle":
        return bytes(handle.getData())
    return Path(handle.getFilePath().toUri().getPath()).read_bytes()


def java_list(collection: Any) -> list[Any]:
    """py4j lets Python iterate over some of Java's collections only."""
    return list(collection.toArray())
