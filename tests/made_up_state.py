"""Made-up checkpoints and savepoints: directories as Flink leaves them, with a `_metadata` written here by hand.

The layout is that of Flink 2.2.1, field by field; tests/test_job_operations.py compares the reader with Flink's own.
"""

import os
import pickle
import struct
from pathlib import Path

from models.snapshots import Announcement, encode_announcement

PROPERTIES = b"\xac\xed\x00\x05sr\x00\x01x"  # the beginning of a Java object
NOTHING = b"\0"


def text(value: str) -> bytes:
    return struct.pack(">H", len(value.encode())) + value.encode()


def int32(value: int) -> bytes:
    return struct.pack(">i", value)


def int64(value: int) -> bytes:
    return struct.pack(">q", value)


def in_bytes(content: bytes) -> bytes:
    """A state that lies in _metadata: its name is that of a file that does not exist."""
    return b"\1" + text("file:/nowhere/0-0-0") + int32(len(content)) + content


def in_file(file: Path, size: int | None = None) -> bytes:
    return b"\2" + int64(file.stat().st_size if size is None else size) + text(f"file:{file}")


def beside(name: str, size: int) -> bytes:
    return b"\6" + text(name) + int64(size)


def broadcast(stream: bytes, offset: int = 0) -> bytes:
    """Operator state: one broadcast state `item-snapshots`, which begins at this byte of the stream."""
    state = text("item-snapshots") + b"\2" + int32(1) + int64(offset)
    return b"\4" + int32(1) + state + stream


def incremental(meta: bytes, *shared: bytes) -> bytes:
    """Keyed state as RocksDB's incremental checkpoints leave it."""
    handles = b"".join(text(f"00000{n}.sst") + handle for n, handle in enumerate(shared))
    head = b"\x0b" + int64(3) + text("backend") + int32(0) + int32(128) + int64(1)
    return head + meta + int32(len(shared)) + handles + int32(0) + text("handle-id")


def canonical(stream: bytes) -> bytes:
    """Keyed state as a canonical savepoint leaves it: two key groups in one stream."""
    return b"\x07" + int32(0) + int32(2) + int64(0) + int64(7) + stream


def operator(uid: str, operator_state: bytes = b"", keyed: bytes = NOTHING) -> bytes:
    """One operator with one subtask."""
    head = text(f"name of {uid}") + text(uid) + bytes(16) + int32(1) + int32(128)
    managed = int32(1) + operator_state if operator_state else int32(0)
    subtask = int32(0) + managed + int32(0) + keyed + NOTHING + int32(0) + int32(0)
    return head + NOTHING + int32(1) + subtask


def metadata(*operators: bytes, checkpoint_id: int = 3, version: int = 6) -> bytes:
    head = bytes.fromhex("4960672d") + int32(version) + int64(checkpoint_id) + int32(0)
    return head + int32(len(operators)) + b"".join(operators) + PROPERTIES


def broadcast_bytes(*announcements: Announcement) -> bytes:
    """The entries of a broadcast state, as thread mode writes them."""
    content = int32(len(announcements))
    for number, announcement in enumerate(announcements):
        key = announcement.kind if announcement.kind != "delta" else f"delta-{number}"
        value = pickle.dumps(encode_announcement(announcement), protocol=4)
        content += bytes([len(key) + 1]) + key.encode() + int32(len(value)) + value
    return content


def checkpoint(root: Path, number: int, *, job: str = "a" * 32, written_s: int | None = None) -> Path:
    """A whole checkpoint of ours in root/<job>/chk-<number>, with a file of its own and a shared one."""
    directory = root / job / f"chk-{number}"
    shared = root / job / "shared" / f"sst-{number}"
    for folder in (directory, shared.parent):
        folder.mkdir(parents=True, exist_ok=True)
    shared.write_bytes(b"s" * 100)
    (directory / "own").write_bytes(b"o" * 50)
    learn = operator(
        "learn-and-recommend", broadcast(beside("own", 50)), incremental(in_bytes(b"meta"), in_file(shared))
    )
    write_metadata(directory, metadata(learn, operator("train-item-tower"), checkpoint_id=number), written_s or number)
    return directory


def write_metadata(directory: Path, blob: bytes, written_s: int) -> None:
    """Write it as of this second."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "_metadata"
    file.write_bytes(blob)
    os.utime(file, (written_s, written_s))
