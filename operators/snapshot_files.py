"""Item snapshots on disk or in an object store: written whole or not at all, never overwritten, found again by name.

A name is <kind>-<epoch>-<trained events>-<first 16 digits of sha256>.safetensors; the same content has the same name.
Announcing a file is its commit: a file that nobody announced is harmless. What the bytes mean is
`models/snapshots.py`'s.
"""

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pyarrow import fs

SUFFIX = ".safetensors"
UNFINISHED = ".partial"
DIGITS = 16
"""Of the sha256 in a file's name."""


class SnapshotFiles:
    """The files below a snapshot root: a directory, or a URI that pyarrow reads (file://, s3://, gs://)."""

    def __init__(self, root: str) -> None:
        if "://" in root:
            self._fs, self._root = fs.FileSystem.from_uri(root)
        else:
            self._fs, self._root = fs.LocalFileSystem(), str(Path(root).absolute())
        self._fs.create_dir(self._root, recursive=True)

    def write(self, kind: str, epoch: int, trained_events: int, sha256: str, blob: bytes) -> str:
        """Store the bytes durably and return their name. Raises OSError; what is left behind then no reader takes for
        whole.
        """
        name = f"{kind}-{epoch}-{trained_events:012d}-{sha256[:DIGITS]}{SUFFIX}"
        if isinstance(self._fs, fs.LocalFileSystem):
            _write_durably(Path(self._root) / name, blob)
        else:  # object stores make an upload visible when it is complete
            with self._fs.open_output_stream(f"{self._root}/{name}") as file:
                file.write(blob)
        return name

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises OSError, FileNotFoundError among them."""
        with self._fs.open_input_stream(f"{self._root}/{name}") as file:
            blob: bytes = file.read()
        return blob

    def read_by_name(self, name: str) -> bytes:
        """The bytes of a file that no announcement vouches for. Raises OSError, also if they are not those of whose
        digest the name speaks.
        """
        blob = self.read(name)
        digest = hashlib.sha256(blob).hexdigest()
        if not name.endswith(f"-{digest[:DIGITS]}{SUFFIX}"):
            raise OSError(f"snapshot file {name}: its name must end in the first {DIGITS} digits of {digest}")
        return blob

    def newest_first(self, kind: str) -> list[str]:
        """Names of all files of a kind, the latest written first."""
        return [Path(info.path).name for info in self._files(kind)]

    def written_ms(self, name: str) -> int:
        """When a file was written, in milliseconds since 1970. Raises OSError if it is not there."""
        info = self._fs.get_file_info(f"{self._root}/{name}")
        if info.mtime_ns is None:
            raise FileNotFoundError(f"no snapshot file {name} below {self._root}")
        return int(info.mtime_ns) // 1_000_000

    def prune(self, kind: str, keep: int, keep_h: float) -> int:
        """Delete the files that are neither among the `keep` latest of their kind nor younger than `keep_h` hours.

        Returns how many.
        """
        limit = datetime.now(UTC) - timedelta(hours=keep_h)
        old = [info for info in self._files(kind)[keep:] if info.mtime is not None and info.mtime < limit]
        for info in old:
            self._fs.delete_file(info.path)
        return len(old)

    def prune_unfinished(self, keep_h: float) -> int:
        """Delete what a process that was killed in `write` has left behind, older than `keep_h` hours; returns how
        many. Object stores show no such files.
        """
        limit = datetime.now(UTC) - timedelta(hours=keep_h)
        found = self._fs.get_file_info(fs.FileSelector(self._root))
        old = [i for i in found if i.path.endswith(UNFINISHED) and i.mtime is not None and i.mtime < limit]
        for info in old:
            self._fs.delete_file(info.path)
        return len(old)

    def _files(self, kind: str) -> list[fs.FileInfo]:
        found = self._fs.get_file_info(fs.FileSelector(self._root))
        named = [info for info in found if Path(info.path).name.startswith(f"{kind}-") and info.path.endswith(SUFFIX)]
        return sorted(named, key=lambda info: (info.mtime_ns or 0, info.path), reverse=True)


def _write_durably(path: Path, blob: bytes) -> None:
    """Temporary name, fsync, rename, fsync of the directory."""
    partial = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    try:
        with partial.open("wb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
