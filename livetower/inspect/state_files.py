"""Where the files of a checkpoint are, also of one that was moved: from its metadata to bytes or a file at hand.

A file that is not at its recorded place is looked for beside `_metadata` and in the directories that stand beside the
checkpoint's own, `shared` and `taskowned`. Flink would not look there: it starts from recorded places only. What
is on this machine is never copied; what is elsewhere (s3, gs) is, into a temporary directory.
"""

import tempfile
from pathlib import Path

from livetower.inspect.errors import InspectError
from livetower.operations.metadata import StateFile
from livetower.operations.places import copy_to, local_path, parent_and_name, read_file, size_of

BESIDE = ("shared", "taskowned")


class StateFiles:
    """The files of one checkpoint. Close it: it may have copied some."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        self._places: dict[str, str] = {}
        self._copies: tempfile.TemporaryDirectory[str] | None = None

    def close(self) -> None:
        """Remove the copies."""
        if self._copies is not None:
            self._copies.cleanup()
            self._copies = None

    def place_of(self, file: StateFile) -> str:
        """The URI at which a file is. Raises InspectError if it is nowhere, or is not as long as it was written."""
        if file.path not in self._places:
            self._places[file.path] = self._find(file)
        return self._places[file.path]

    def read(self, file: StateFile) -> bytes:
        """The bytes of a file, or those that the metadata holds itself. Raises InspectError."""
        if file.content is not None:
            return file.content
        place = self.place_of(file)
        try:
            return read_file(*parent_and_name(place))
        except OSError as error:
            raise _unreadable(place, error) from error

    def on_this_machine(self, file: StateFile) -> Path:
        """A path under which the bytes can be opened; of a local file its own. Raises InspectError."""
        if file.content is None:
            place = self.place_of(file)
            if (path := local_path(place)) is not None:
                return path
        if self._copies is None:
            self._copies = tempfile.TemporaryDirectory(prefix="livetower-inspect-")
        copy = Path(self._copies.name) / parent_and_name(file.path)[1]
        if not copy.exists():
            if file.content is not None:
                copy.write_bytes(file.content)
            else:
                try:
                    copy_to(copy, place)
                except OSError as error:
                    raise _unreadable(place, error) from error
        return copy

    def _find(self, file: StateFile) -> str:
        name = parent_and_name(file.path)[1]
        root = parent_and_name(self.uri)[0] or "."
        places = [f"{self.uri}/{file.path}"] if file.relative else [file.path, f"{self.uri}/{name}"]
        places += [f"{root}/{directory}/{name}" for directory in BESIDE]
        others: list[str] = []
        for place in places:
            try:
                size = size_of(place)
            except OSError as error:
                raise _unreadable(place, error) from error
            if size == file.size:
                return place
            if size is not None:
                others.append(f"{place} has {size} bytes of {file.size}")
        if others:
            raise InspectError(
                "LT-INS-104", others[0], "The file was cut off or changed: take another checkpoint or savepoint"
            )
        raise InspectError(
            "LT-INS-103",
            f"{places[0]} is missing",
            "An incremental checkpoint needs the directory `shared` beside its own: copy both, or take a savepoint",
        )


def _unreadable(place: str, error: OSError) -> InspectError:
    return InspectError("LT-INS-105", f"{place} cannot be read: {error}", "Check the path, the network and your rights")
