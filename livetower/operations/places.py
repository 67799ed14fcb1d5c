"""Directories by the names that Flink gives them: file:/…, file:///…, s3://…, or a plain path."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow import fs

COPIED_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in a directory."""

    uri: str
    name: str
    is_directory: bool
    written_ns: int


def parent_and_name(uri: str) -> tuple[str, str]:
    """The directory and the name of a file.

    >>> parent_and_name("file:/a/b/_metadata")
    ('file:/a/b', '_metadata')
    """
    parent, _, name = uri.rstrip("/").rpartition("/")
    return parent, name


def read_file(directory: str, name: str) -> bytes:
    """The bytes of a file. Raises OSError."""
    system, path = _opened(directory)
    with system.open_input_stream(f"{path}/{name}") as file:
        blob: bytes = file.read()
    return blob


def write_file(directory: str, name: str, blob: bytes) -> None:
    """Write a file so that it is there wholly or not at all. Raises OSError."""
    system, path = _opened(directory)
    system.create_dir(path, recursive=True)
    local = isinstance(system, fs.LocalFileSystem)
    target = f"{path}/.{name}.partial" if local else f"{path}/{name}"  # an upload is seen when it is complete
    with system.open_output_stream(target) as file:
        file.write(blob)
    if local:
        system.move(target, f"{path}/{name}")


def size_of(uri: str) -> int | None:
    """The size of a file in bytes; None if there is no such file. Raises OSError if that cannot be seen."""
    system, path = _opened(uri)
    info = system.get_file_info(path)
    return int(info.size) if info.type == fs.FileType.File else None


def local_path(uri: str) -> Path | None:
    """The path of a file on this machine; None for one that is elsewhere."""
    system, path = _opened(uri)
    return Path(path) if isinstance(system, fs.LocalFileSystem) else None


def copy_to(target: Path, uri: str) -> None:
    """Copy a file from anywhere to this machine, a piece at a time. Raises OSError."""
    system, path = _opened(uri)
    with system.open_input_stream(path) as source, target.open("wb") as file:
        while piece := source.read(COPIED_BYTES):
            file.write(piece)


def entries(directory: str) -> list[Entry]:
    """What is in a directory; nothing if it is not there. Raises OSError."""
    system, path = _opened(directory)
    base = directory.rstrip("/")
    found = system.get_file_info(fs.FileSelector(path, allow_not_found=True))
    return [
        Entry(f"{base}/{info.base_name}", info.base_name, info.type == fs.FileType.Directory, info.mtime_ns or 0)
        for info in found
    ]


def _opened(uri: str) -> tuple[Any, str]:
    """The file system of a name, and the name on it. Raises OSError for a scheme that pyarrow does not know."""
    if uri.startswith("file:"):
        uri = "/" + uri.removeprefix("file:").lstrip("/")
    if "://" not in uri:
        return fs.LocalFileSystem(), str(Path(uri).absolute())
    for flinks, ours in (("s3a://", "s3://"), ("s3p://", "s3://")):  # names of Flink's two plugins for S3
        uri = uri.replace(flinks, ours, 1)
    try:
        system, path = fs.FileSystem.from_uri(uri)
    except ValueError as error:  # pyarrow's ArrowInvalid
        raise OSError(f"{uri}: {error}") from error
    return system, path
