"""Item snapshot files below a root: which there are, what stands in one, and what is wrong with them.

The bytes are models/snapshots.py's, the names operators/snapshot_files.py's. A root is a directory or URI; that of a
savepoint means the copies beside it. Small deltas and popularity updates travel inside their announcements and are no
files, so a chain of files alone may have gaps; the announcements of a checkpoint name the whole chain
(`chain_findings`).
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import orjson

from livetower.inspect.codes import inspect_error
from livetower.inspect.findings import StateFinding
from livetower.operations.places import Entry, entries, parent_and_name, read_beginning, read_file, size_of
from livetower.operations.snapshot_copies import FOLDER
from models.hashing import hash_id
from models.snapshots import (
    FULL,
    Announcement,
    InvalidSnapshot,
    SnapshotRows,
    decode_snapshot,
    digest,
    require_digest,
    table_of,
)

HEADER_AT: Final = 8
HEADER_MAX: Final = 1 << 20
"""A safetensors header of ours has about 2 KiB."""
NAME: Final = re.compile(r"(full|delta|popularity)-(\d+)-(\d+)-([0-9a-f]{16})\.safetensors")


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A file that is named as an item snapshot."""

    uri: str
    name: str
    kind: str
    epoch: int
    trained_events: int
    digest_start: str
    """The first 16 digits of the sha256 that its bytes must have."""
    written_ms: int


def snapshot_files(root: str) -> list[SnapshotFile]:
    """The item snapshots below a root, or the one that it names, by epoch and trained events. Raises InspectError."""
    try:
        if size_of(root) is not None:
            parent, name = _directory_and_name(root)
            if named := [each for each in entries(parent) if each.name == name and NAME.fullmatch(name)]:
                return [_named(named[0])]
            raise inspect_error(
                "LT-INS-401",
                f"{root}: a name like full-0-000000002000-0123456789abcdef.safetensors was needed; got {name}",
            )
        here = entries(root)
        if any(each.name == "_metadata" for each in here):  # a savepoint, with copies beside it
            here = entries(f"{root.rstrip('/')}/{FOLDER}")
    except OSError as error:
        raise inspect_error("LT-INS-104", f"{root}: {error}") from error
    found = [_named(each) for each in here if not each.is_directory and NAME.fullmatch(each.name)]
    if not found:
        raise inspect_error("LT-INS-401", f"{root}: no file of an item snapshot is there")
    return sorted(found, key=lambda file: (file.epoch, file.trained_events, file.kind != FULL, file.name))


def _named(entry: Entry) -> SnapshotFile:
    match = NAME.fullmatch(entry.name)
    if match is None:
        raise ValueError(entry.name)
    kind, epoch, trained, start = match.groups()
    return SnapshotFile(entry.uri, entry.name, kind, int(epoch), int(trained), start, entry.written_ns // 1_000_000)


def read_snapshot(uri: str) -> SnapshotRows:
    """The content of one file of any name. Raises InspectError, also when its name has another digest."""
    blob = snapshot_bytes(uri)
    match = NAME.fullmatch(parent_and_name(uri)[1])
    if match and not digest(blob).startswith(match[4]):
        raise inspect_error("LT-INS-403", f"{uri}: sha256 {match[4]}… was needed; got {digest(blob)[:16]}…")
    try:
        return decode_snapshot(blob)
    except InvalidSnapshot as error:
        raise inspect_error("LT-INS-402", f"{uri}: {error}") from error


def snapshot_bytes(uri: str) -> bytes:
    """The bytes of a file. Raises InspectError."""
    try:
        if size_of(uri) is None:
            raise inspect_error("LT-INS-401", f"{uri}: there is no such file")
        return read_file(*_directory_and_name(uri))
    except OSError as error:
        raise inspect_error("LT-INS-104", f"{uri}: {error}") from error


def rows_in_header(uri: str) -> int | None:
    """How many rows a file has, read from its first bytes alone; None if they cannot be read."""
    try:
        length = int.from_bytes(read_beginning(uri, HEADER_AT), "little")
        if length > HEADER_MAX:
            return None
        shapes = orjson.loads(read_beginning(uri, HEADER_AT + length)[HEADER_AT:])
        return int(shapes["available"]["shape"][0])
    except (OSError, KeyError, IndexError, TypeError, ValueError):
        return None


def _directory_and_name(uri: str) -> tuple[str, str]:
    parent, name = parent_and_name(uri)
    return parent or ("/" if uri.startswith("/") else "."), name


def row_of_item(rows: SnapshotRows, item_id: str, uri: str) -> int:
    """The row of an item among the whole ones, by its id. Raises InspectError."""
    found = np.flatnonzero(rows.hashes == hash_id(item_id))
    if not len(found):
        what = "a full snapshot has every item" if rows.kind == FULL else f"it is a {rows.kind} and has what changed"
        raise inspect_error("LT-INS-302", f"{uri}: no item {item_id!r} among its {len(rows.hashes):,} ({what})")
    return int(found[0])


# ---- what is wrong -------------------------------------------------------------------------------


def file_findings(
    files: Iterable[SnapshotFile], done: Callable[[int], None] = lambda _: None
) -> Iterator[StateFinding]:
    """What is wrong with files, each by itself and as the base of others; `done` hears how many were read."""
    wholes: list[tuple[int, int]] = []  # epoch and trained events of the full snapshots that can be used
    for number, file in enumerate(sorted(files, key=lambda file: (file.epoch, file.trained_events, file.kind != FULL))):
        blob = snapshot_bytes(file.uri)
        troubles = list(_troubles(file, blob))
        yield from troubles
        if file.kind == FULL and not troubles:
            wholes.append((file.epoch, file.trained_events))
        if file.kind != FULL and not any(epoch == file.epoch for epoch, _ in wholes):
            yield StateFinding(
                "LT-INS-404",
                f"{file.uri}: a whole full snapshot of epoch {file.epoch} and at most {file.trained_events} trained "
                "events was needed beside it; there is none",
            )
        done(number + 1)


def _troubles(file: SnapshotFile, blob: bytes) -> Iterator[StateFinding]:
    came = digest(blob)
    if not came.startswith(file.digest_start):
        yield StateFinding("LT-INS-403", f"{file.uri}: sha256 {file.digest_start}… was needed; got {came[:16]}…")
    try:
        rows = decode_snapshot(blob)
        if rows.rows is None:
            table_of(rows, came, file.written_ms)  # looks whether its neighbours are rows of it
    except InvalidSnapshot as error:
        yield StateFinding("LT-INS-402", f"{file.uri}: {error}")
        return
    said, named = (rows.kind, rows.epoch, rows.trained_events), (file.kind, file.epoch, file.trained_events)
    if said != named:
        yield StateFinding("LT-INS-402", f"{file.uri}: its name says {named}; its content {said}")
    others = [item_id for item_id, key in zip(rows.ids, rows.hashes.tolist(), strict=True) if hash_id(item_id) != key]
    if others:
        yield StateFinding(
            "LT-INS-402", f"{file.uri}: {len(others)} items have the hash of another id, {others[0]!r} among them"
        )
    if len(np.unique(rows.hashes)) != len(rows.hashes):
        yield StateFinding("LT-INS-402", f"{file.uri}: an item has two rows")


def chain_of(announcements: Mapping[str, Announcement]) -> list[Announcement]:
    """What learn-and-recommend reads after a restore, in its order: full, its deltas, and the popularity update unless
    that is still of an older chain.
    """
    chain = [announcements["full"]] if "full" in announcements else []
    for n in itertools.count():
        delta = announcements.get(f"delta-{n}")
        if delta is None:
            break
        chain.append(delta)
    update = announcements.get("popularity")
    if update is not None and chain and update.base_sha256 == chain[-1].sha256:
        chain.append(update)
    return chain


def chain_findings(announcements: Mapping[str, Announcement], roots: Iterable[str]) -> Iterator[StateFinding]:
    """What the ranking would miss after a restore: files that are at none of these places or have other bytes, and
    deltas whose base is not the one before them.
    """
    places = [root.rstrip("/") for root in roots]
    base = ""
    for each in chain_of(announcements):
        what = f"{each.kind} {each.epoch}-{each.trained_events}"
        if each.kind != FULL and each.base_sha256 != base:
            yield StateFinding(
                "LT-INS-404", f"{what}: its base is {each.base_sha256[:12]}…; before it stands {base[:12] or 'nothing'}"
            )
            continue
        base = each.sha256
        if each.file is None:
            continue  # its bytes are in the state, and decode_announcement has looked at their digest
        yield from _named_file_findings(what, each, places)


def _named_file_findings(what: str, announcement: Announcement, places: list[str]) -> Iterator[StateFinding]:
    file, wrong = str(announcement.file), ""
    for place in places:
        try:
            blob = read_file(place, file)
        except FileNotFoundError:
            continue
        except OSError as error:
            wrong = f"{place}/{file} cannot be read: {error}"
            continue
        try:
            require_digest(blob, announcement)
            decode_snapshot(blob)
        except InvalidSnapshot as error:
            wrong = f"{place}/{file}: {error}"
        else:
            return
    if wrong:
        yield StateFinding("LT-INS-406", f"{what}: {wrong}")
    else:
        looked = ", ".join(places) or "nowhere: no snapshot root is known"
        yield StateFinding("LT-INS-405", f"{what}: {file} was needed; looked in {looked}")
