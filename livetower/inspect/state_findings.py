"""What would keep a job of the code here from going on from a checkpoint or savepoint.

    files      there in their size, where Flink looks; RocksDB tables end as they must
    operators  the uids of this code, its states and their kinds, thread mode
    blobs      users, the item tower, announcements: of a version that this code reads, and fitting each other
    settings   those that a state cannot follow (livetower/operations/differences.py)
    snapshots  the files that the state names, with their digests

`livetower.operations.found_state.verify` is the first of these alone; `livetower resume` uses it, since it takes no
time. Nothing is unpickled.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from flink_jobs.job_facts import BLOB_VERSIONS, UIDS
from flink_jobs.settings import JobSettings
from flink_jobs.topology import LEARN_AND_RECOMMEND, TRAIN_ITEM_TOWER
from livetower.inspect.described_states import TTL
from livetower.inspect.errors import InspectError
from livetower.inspect.findings import StateFinding, finding_of
from livetower.inspect.reading import LearnedState
from livetower.inspect.snapshot_files import chain_findings
from livetower.inspect.stored_tower import StoredTower, read_tower
from livetower.operations.announced import STATE as ITEM_SNAPSHOTS
from livetower.operations.differences import MUST_STAY, uid_differences
from livetower.operations.found_state import file_troubles, recorded_place
from livetower.operations.metadata import RocksFiles
from livetower.operations.places import read_end
from livetower.operations.settings_again import flat
from livetower.operations.snapshot_copies import FOLDER
from models.examples import MAGIC as EXAMPLE_MAGIC
from models.snapshots import Announcement, InvalidSnapshot, decode_announcement
from models.tower_stream import MAGIC as INPUT_MAGIC
from models.tower_stream import InputKind, TowerInput, decode_input
from models.user_state import InvalidState, UserState, decode_user_state

REPORT_EVERY: Final = 4_096
SAMPLE: Final = 1_000
"""So many users, and inputs of the log, are looked at when not all are."""
TABLE: Final = ".sst"
TABLE_ENDS: Final = (bytes.fromhex("f7cff485b741e288"), bytes.fromhex("57fb808b247547db"))
"""The last 8 bytes of a RocksDB table: 0x88e241b785f4cff7, and 0xdb4775248b80fb57 of tables before 2013."""
PROCESS_MODE: Final = "python-state-"
"""How the names of states begin that PyFlink's process mode keeps."""
USERS: Final = (LEARN_AND_RECOMMEND, "user")
STATES: Final[Mapping[tuple[str, str], str]] = {
    USERS: "value",
    (LEARN_AND_RECOMMEND, ITEM_SNAPSHOTS): "broadcast",
    (TRAIN_ITEM_TOWER, "log"): "map",
    (TRAIN_ITEM_TOWER, "blocks"): "map",
    (TRAIN_ITEM_TOWER, "catalogue"): "map",
    (TRAIN_ITEM_TOWER, "progress"): "value",
}
"""The kind of every state that this code keeps."""
SERIALIZERS: Final[Mapping[str, frozenset[str]]] = {
    "value": frozenset({"BytePrimitiveArraySerializer", "VoidNamespaceSerializer"}),
    "map": frozenset({"MapSerializer", "LongSerializer", "BytePrimitiveArraySerializer", "VoidNamespaceSerializer"}),
}
"""What Flink writes each kind with; a time to live adds the next two."""
TIMED: Final = frozenset({TTL, "LongSerializer"})
Begin = Callable[[str, int], Callable[[int], None]]
"""Begins a step of so many: returns what to call with the number done (livetower/progress.py)."""


@dataclass
class Verification:
    """What was found so far; each `look_at_…` adds to it."""

    state: LearnedState
    settings: JobSettings | None = None
    """Those of the next start: the job's own, and what is to change."""
    snapshot_root: str = ""
    deep: bool = False
    """Whether every user and input is read, and with them every block of every file."""
    begin: Begin = lambda name, total: lambda done: None
    findings: list[StateFinding] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    users: int = 0
    """So many were looked at."""
    dimension: int | None = None
    """Of the item tower's vectors or, before it has written any, of the first user's."""

    def say(self, code: str, cause: str) -> None:
        """Note a finding, once."""
        if (found := StateFinding(code, cause)) not in self.findings:
            self.findings.append(found)

    def look(self) -> None:
        """Look at everything; what needs something that is broken is left out and listed as unseen."""
        self.look_at_files()
        self.look_at_operators()
        if any(found.code in ("LT-INS-104", "LT-INS-107", "LT-INS-108", "LT-INS-109") for found in self.findings):
            self.unseen.append("what stands in the files, since not all of them are whole")
            self.look_at_settings([])
            return
        if not self.look_at_states():
            self.look_at_settings([])
            return
        tower = self.look_at_tower()
        self.dimension = None if tower is None else tower.facts.get("dimension")
        self.look_at_users()
        readable = self.look_at_log()
        self.look_at_settings([] if tower is None else tower.facts.get("half_lives", []))
        if self.deep and tower is not None and readable:
            self.look_at_restore()
        self.look_at_snapshots()

    # ---- files and operators -----------------------------------------------------------------------

    def look_at_files(self) -> None:
        """Every file where Flink would look for it, in its size; RocksDB's tables by their last bytes."""
        uri, metadata = self.state.uri, self.state.metadata
        broken = set()
        for trouble in file_troubles(uri, metadata):
            broken.add(trouble.uri)
            code = "LT-INS-104" if trouble.unseen else "LT-INS-107" if trouble.there is None else "LT-INS-108"
            self.say(code, str(trouble))
        for place, content in sorted(self._tables().items()):
            if place in broken:
                continue
            try:
                end = read_end(place, 8) if content is None else content[-8:]
            except OSError as error:
                self.say("LT-INS-104", f"{place}: {error}")
                continue
            if end not in TABLE_ENDS:
                cause = f"{place}: a RocksDB table ends in {TABLE_ENDS[0].hex()}; it ends in {end.hex()}"
                self.say("LT-INS-109", cause)

    def _tables(self) -> dict[str, bytes | None]:
        """Place of every RocksDB table, and its bytes if the metadata holds them itself."""
        return {
            recorded_place(self.state.uri, file): file.content
            for operator in self.state.metadata.operators
            for keyed in operator.keyed
            if isinstance(keyed, RocksFiles)
            for name, file in keyed.files
            if name.endswith(TABLE)
        }

    def look_at_operators(self) -> None:
        """The uids with state are those of this code."""
        for each in uid_differences(self.state.metadata.uids_with_state()):
            if each.refused:
                self.say(
                    "LT-INS-111", f"{self.state.uri}: it holds state of {each.name}, which this code does not have"
                )
            elif each.name in UIDS:
                self.say("LT-INS-112", f"{self.state.uri}: it holds no state of {each.name}")

    def look_at_states(self) -> bool:
        """Names and kinds of the states are this code's; False if they are so different that none can be read."""
        try:
            states = {(each.uid, each.name): each for each in self.state.sizes()}
        except InspectError as error:
            self.findings.append(finding_of(error))
            return False
        kinds = {place: each.kind for place, each in states.items()}
        process = sorted(f"{uid}: {name}" for uid, name in kinds if name.startswith(PROCESS_MODE))
        if process:
            self.say("LT-INS-110", f"{self.state.uri}: its states are {', '.join(process)}, as process mode names them")
            return False
        with_keys = {operator.uid for operator in self.state.metadata.operators if operator.keyed}
        for (uid, name), kind in STATES.items():
            came = kinds.get((uid, name))
            if came != kind and (came is not None or uid in with_keys):
                self.say(
                    "LT-INS-113", f"{self.state.uri}: {uid} must keep {name!r} as {kind} state; got {came or 'none'}"
                )
            elif came is not None and (written_by := states[uid, name].serializers):
                self._look_at_serializers(uid, name, kind, frozenset(written_by))
        return True

    def _look_at_serializers(self, uid: str, name: str, kind: str, written_by: frozenset[str]) -> None:
        users = (uid, name) == USERS
        timed = users and TTL in written_by
        if written_by != (expected := SERIALIZERS[kind] | (TIMED if timed else frozenset())):
            self.say(
                "LT-INS-118",
                f"{self.state.uri}: {uid} keeps {name!r} by {', '.join(sorted(expected))}; "
                f"it was written by {', '.join(sorted(written_by))}",
            )
        elif users and self.settings is not None and timed != ((days := self.settings.model.user_ttl_days) > 0):
            self.say(
                "LT-INS-119",
                f"{self.state.uri}: the users were written {'with' if timed else 'without'} a time to live; "
                f"the next start has model.user_ttl_days {days:g}",
            )

    # ---- blobs ---------------------------------------------------------------------------------------

    def look_at_users(self) -> None:
        """Blobs of users can be read, and their vectors have one dimension, the tower's."""
        said: dict[str, list[str]] = {}
        report: Callable[[int], None] | None = None
        with self._reading():
            users = self.state.users() if self.deep else islice(self.state.users(), SAMPLE + 1)
            report = self.begin("users", self.state.users_estimate() or 0) if self.deep else None
            for stored in users:
                if self.users == SAMPLE and not self.deep:
                    self.unseen.append(f"users beyond the first {SAMPLE:,}: --deep looks at all")
                    break
                self.users += 1
                if report is not None and self.users % REPORT_EVERY == 0:
                    report(self.users)
                try:
                    held = decode_user_state(stored.blob)
                except InvalidState as error:
                    newer = is_newer(stored.blob, b"LTU", "user state")
                    code, why = ("LT-INS-202" if newer else "LT-INS-201"), str(error)
                else:
                    self.dimension = len(held.embedding) if self.dimension is None else self.dimension
                    code, why = _misfit(held, self.dimension)
                if code:
                    said.setdefault(code, []).append(f"user {stored.user_id!r}: {why}")
        for code, causes in said.items():
            self.say(code, f"{self.state.uri}: {causes[0]}" + _more(len(causes), f"of {self.users:,} users"))
        if report is not None:
            report(self.users)

    def look_at_tower(self) -> StoredTower | None:
        """Progress, rows and catalogue can be read and fit each other."""
        with self._reading():
            return read_tower(self.state)
        return None

    def look_at_log(self) -> bool:
        """The tower's inputs can be read; the newest ones are redone by a restore. False if one cannot."""
        with self._reading():
            for place, blob in self.state.log() if self.deep else islice(self.state.log(), SAMPLE):
                entry: TowerInput | None = None
                try:
                    _, entry = decode_input(blob)
                    _decode_payload(entry)
                except ValueError as error:
                    newer = (
                        is_newer(blob, INPUT_MAGIC[:3], "tower input")
                        if entry is None
                        else is_newer(entry.payload, EXAMPLE_MAGIC[:3], "example")
                    )
                    self.say(
                        "LT-INS-202" if newer else "LT-INS-201",
                        f"{self.state.uri}: the tower's log at place {place}: {error}",
                    )
                    return False
            return True
        return False

    def look_at_restore(self) -> None:
        """The tower comes back as in the job: from its blocks, then by the inputs that came behind them.

        It learns from at most 8,000 inputs, which takes some seconds.
        """
        from models.tower_state import redo_log, restore_tower  # torch
        from models.tower_stream import TowerStream

        if self.settings is None:
            self.unseen.append("the item tower's own restore, since its settings are not known")
            return
        report = self.begin("item tower", 2)
        with self._reading():
            progress, blocks, log = self.state.progress(), dict(self.state.blocks()), dict(self.state.log())
            report(1)
            stream = TowerStream(self.settings.model, self.settings.tower)
            try:
                restore_tower(stream, progress or b"", blocks.__getitem__, self.state.catalogue())
                redo_log(stream, log.get)
            except (ValueError, LookupError, TypeError, RuntimeError) as error:
                self.say("LT-INS-206", f"{self.state.uri}: {type(error).__name__}: {error}")
        report(2)

    # ---- settings and snapshots ----------------------------------------------------------------------

    def look_at_settings(self, half_lives: list[float]) -> None:
        """What the state holds fits the settings of the next start; what is not known is not compared."""
        if self.settings is None:
            self.say("LT-INS-115", f"{self.state.uri}: neither its item tower nor a livetower.json beside it has them")
            return
        learn = [each for each in self.state.metadata.operators if each.uid == LEARN_AND_RECOMMEND]
        needed: dict[str, Any] = {"job.max_parallelism": learn[0].max_parallelism} if learn else {}
        needed |= {} if self.dimension is None else {"model.dimension": self.dimension}
        needed |= {"tower.half_lives": half_lives} if half_lives else {}
        told = flat(self.settings)
        for name, held in needed.items():
            if told[name] != held:
                why = MUST_STAY[name]
                self.say(
                    "LT-INS-114", f"{name}: the state was written with {held}; the next start has {told[name]} ({why})"
                )
        topics: set[str] = set()
        with self._reading():
            topics = {topic for topic, _ in self.state.offsets()}
        sources = {name: told[name] for name in MUST_STAY if name.startswith("topics.")}
        for topic in sorted(topics - set(sources.values())):
            self.say("LT-INS-114", f"topics: the state holds offsets of {topic!r}; the next start reads {sources}")

    def look_at_snapshots(self) -> None:
        """The snapshots that the state names are beside it or below the snapshot root, with their digests."""
        root = self.snapshot_root or (self.settings.job.snapshot_root if self.settings else "")
        named: dict[str, Announcement] = {}
        with self._reading():
            for key, value in self.state.announcements().items():
                try:
                    named[key] = decode_announcement(value)
                except InvalidSnapshot as error:
                    self.say("LT-INS-201", f"{self.state.uri}: the announcement {key!r}: {error}")
        roots = [f"{self.state.uri}/{FOLDER}", *([root] if root else [])]
        for found in chain_findings(named, roots):
            self.say(found.code, found.cause)

    def _reading(self) -> "_Noted":
        return _Noted(self)


class _Noted:
    """Notes an InspectError with the findings and goes on behind the block."""

    def __init__(self, verification: Verification) -> None:
        self._verification = verification

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, InspectError):
            return False
        if (found := finding_of(error)) not in self._verification.findings:
            self._verification.findings.append(found)
        return True


def is_newer(blob: bytes, magic: bytes, name: str) -> bool:
    """Whether bytes begin with the letters of our magic and a version beyond the one of this code.

    >>> is_newer(b"LTU9...", b"LTU", "user state"), is_newer(b"LTU1...", b"LTU", "user state")
    (True, False)
    """
    digit = blob[len(magic) : len(magic) + 1]
    return blob.startswith(magic) and digit.isdigit() and int(digit) > BLOB_VERSIONS[name]


def _misfit(held: UserState, dimension: int) -> tuple[str, str]:
    if len(held.embedding) != dimension:
        return (
            "LT-INS-204",
            f"a vector of dimension {dimension} was needed, as the others have; got {len(held.embedding)}",
        )
    return "", ""


def _decode_payload(entry: TowerInput) -> None:
    """Raise ValueError unless the payload can be read."""
    from models.examples import decode_example

    if entry.kind is InputKind.EXAMPLE:
        decode_example(entry.payload)


def _more(n: int, what: str) -> str:
    return f"; so are {n - 1:,} more {what}" if n > 1 else ""


def settings_of_state(
    state: LearnedState, file: Path | None, overrides: tuple[str, ...]
) -> tuple[JobSettings | None, str]:
    """The settings of the next start from a state: those the job ran with, then a file, then single ones; and why there
    are none. Raises InvalidSettings for those of the file and the overrides.
    """
    from flink_jobs.settings import InvalidSettings, load_settings
    from livetower.operations.job_record import NoRecord, facts_of_state, record_of
    from livetower.operations.settings_again import settings_again

    recorded = _recorded_in_progress(state)
    if recorded is None:
        with suppress(NoRecord):
            recorded = dict(record_of(facts_of_state(state.uri, None)).settings)
    if recorded is None:
        return (load_settings(file, overrides), "") if file or overrides else (None, "")
    try:
        return settings_again(recorded, file, overrides, {}), ""
    except InvalidSettings as error:
        if file or overrides:
            raise
        return None, str(error)


def _recorded_in_progress(state: LearnedState) -> dict[str, Any] | None:
    from models.tensor_bytes import InvalidTensors
    from models.tower_progress import read_progress

    try:
        progress = state.progress()
        facts = {} if progress is None else read_progress(progress)[0]
    except (InspectError, InvalidTensors):
        return None  # a look at the tower says what is wrong
    recorded: dict[str, Any] | None = facts.get("settings")
    return recorded


def blob_version_findings(state: LearnedState) -> Iterator[StateFinding]:
    """What the record beside a savepoint says of versions that this code does not read."""
    from livetower.operations.differences import blob_differences
    from livetower.operations.job_record import NoRecord, facts_of_state, record_of

    with suppress(NoRecord):
        for each in blob_differences(record_of(facts_of_state(state.uri, None)).blobs):
            if each.refused:
                yield StateFinding(
                    "LT-INS-202",
                    f"{state.uri}: its job wrote {each.name} version {each.running}; this code reads {each.here}",
                )
