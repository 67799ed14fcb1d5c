"""Keyed state as RocksDB files: checkpoints and native savepoints. One object is one subtask.

The files are linked under the names they had, and opened read-only. They may hold entries of key groups that are
another subtask's since the parallelism changed, so every read is bounded by this one's key groups.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rocksdict

from livetower.inspect.described_states import read_description
from livetower.inspect.errors import InspectError
from livetower.inspect.serialized import group_bytes
from livetower.inspect.state_files import StateFiles
from livetower.operations.metadata import RocksFiles, StateFile

READAHEAD_BYTES = 2 << 20


class RocksState:
    """The keyed state of one subtask."""

    def __init__(self, files: StateFiles, state: RocksFiles, max_parallelism: int, what: str) -> None:
        self.groups = state.groups
        self.description = read_description(files.read(state.description), what)
        self._what = what
        self._max_parallelism = max_parallelism
        self._directory = tempfile.TemporaryDirectory(prefix="livetower-inspect-")
        try:
            for name, file in state.files:
                self._link(files, name, file)
            with self._damage_named():
                self._database = self._opened()
        except BaseException:
            self._directory.cleanup()
            raise
        self._families = {
            each.name: self._database.get_column_family(each.name)
            for each in self.description.states
            if each.name in self._names
        }

    def close(self) -> None:
        """Close the database and remove the links."""
        self._families.clear()
        self._database.close()
        self._directory.cleanup()

    def entries(self, name: str) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of every entry of a state, in the order of the keys. Raises InspectError."""
        family = self._families.get(name)
        if family is None:
            return
        options = rocksdict.ReadOptions()
        if self.groups.stop < self._max_parallelism:
            options.set_iterate_upper_bound(group_bytes(self.groups.stop, self._max_parallelism))
        options.fill_cache(False)  # type: ignore[call-arg]
        options.set_readahead_size(READAHEAD_BYTES)
        with self._damage_named():
            # rocksdict 0.3.29 takes set_iterate_lower_bound for the upper one, so the first key is named here.
            yield from family.items(from_key=group_bytes(self.groups.start, self._max_parallelism), read_opt=options)

    def get(self, name: str, key: bytes) -> bytes | None:
        """The value of a key; None if there is none. Raises InspectError."""
        family = self._families.get(name)
        if family is None:
            return None
        with self._damage_named():
            found: bytes | None = family.get(key)
        return found

    def size_of(self, name: str) -> tuple[int, int | None]:
        """Bytes of a state's files, and about how many keys they hold, by RocksDB's own statistics."""
        family = self._families.get(name)
        if family is None:
            return 0, 0
        bytes_ = family.property_int_value("rocksdb.live-sst-files-size")
        return bytes_ or 0, family.property_int_value("rocksdb.estimate-num-keys")

    def _link(self, files: StateFiles, name: str, file: StateFile) -> None:
        target = Path(self._directory.name) / Path(name).name
        if file.content is not None:
            target.write_bytes(file.content)
        else:
            target.symlink_to(files.on_this_machine(file))

    def _opened(self) -> rocksdict.Rdict:
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(False)
        self._names = set(rocksdict.Rdict.list_cf(self._directory.name, options))
        families = {name: rocksdict.Options(raw_mode=True) for name in self._names}
        return rocksdict.Rdict(self._directory.name, options, families, rocksdict.AccessType.read_only())

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # rocksdict has no class of its own for what RocksDB reports
            if type(error) is not Exception:
                raise
            raise InspectError(
                "LT-INS-107",
                f"{self._what}: RocksDB cannot read its files: {error}",
                "A file was changed or swapped: take another checkpoint or savepoint",
            ) from error
