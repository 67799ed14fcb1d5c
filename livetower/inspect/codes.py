"""Every code by which `livetower inspect` names what is wrong: what it means, and what to do.

    1xx  paths, metadata, files, operators      2xx  blobs and their versions
    3xx  arguments                              4xx  item snapshots

    python -m livetower.reference.codes > docs/codes.md      # after a change; a test compares the two

A code is never given to anything else. What is wrong in a particular case the cause beside it says.
"""

from typing import Final

from livetower.inspect.errors import InspectError

CODES: Final[dict[str, tuple[str, str]]] = {
    "LT-INS-101": (
        "There is nothing at the path.",
        "Name the directory of a checkpoint or savepoint; `livetower inspect ls DIR` lists them",
    ),
    "LT-INS-102": (
        "The path is a file, and a directory was needed.",
        "Name the directory that holds _metadata",
    ),
    "LT-INS-103": (
        "The directory has no `_metadata`: the checkpoint was never completed or is being removed.",
        "Take another one; `livetower inspect ls DIR` lists those that are whole",
    ),
    "LT-INS-104": (
        "A file or directory may not be read, or its store does not answer.",
        "Run it as the owner of the files (`ls -l` names them), or give the store's credentials",
    ),
    "LT-INS-105": (
        "The `_metadata` is cut short or damaged, or another version of Flink wrote it.",
        "Take another checkpoint; `livetower resume` takes the newest that verifies",
    ),
    "LT-INS-106": (
        "The checkpoint or savepoint is another job's.",
        "Name one of Livetower's: it holds the operator learn-and-recommend",
    ),
    "LT-INS-107": (
        "A file that the state needs is missing.",
        "Put it back at that place, or take another checkpoint; files under shared/ belong to several checkpoints",
    ),
    "LT-INS-108": (
        "A file that the state needs has another size than was recorded.",
        "Copy it again from where it is whole, or take another checkpoint",
    ),
    "LT-INS-109": (
        "A RocksDB file is damaged, or is not the one that the state names.",
        "Copy it again from where it is whole, or take another checkpoint; Flink would fail on it, too",
    ),
    "LT-INS-110": (
        "The state was written in process mode, which keeps it under other names and serializers.",
        "Take one of a job that ran in thread mode; set python.execution-mode: thread",
    ),
    "LT-INS-111": (
        "The state holds an operator that the code here does not have: Flink would refuse to start.",
        "Restore with the code that wrote it (`git checkout`, the wheel of then)",
    ),
    "LT-INS-112": (
        "The state lacks an operator that the code here has: that one would begin empty.",
        "Nothing if the code has gained it; else restore with the code that wrote the state",
    ),
    "LT-INS-113": (
        "A state of ours is missing from its operator, or is of another kind than this code keeps.",
        "Restore with the code that wrote it; see docs/state.md for what is expected",
    ),
    "LT-INS-114": (
        "A setting is another than the one that the state was written with, and the state cannot follow it.",
        "Restore with the old value",
    ),
    "LT-INS-115": (
        "It is not known with which settings the job ran, so they were not compared.",
        "Give the settings of the next start with --settings FILE, or take the savepoint with `livetower savepoint`",
    ),
    "LT-INS-116": (
        "The states are described in a way that this reader does not know.",
        "Use Flink 2.0 to 2.2: another version wrote this",
    ),
    "LT-INS-117": (
        "The heap backend wrote the checkpoint (state.backend.type: hashmap), in a layout that is not read.",
        "Take a savepoint of that job with `livetower savepoint`: canonical savepoints can be read",
    ),
    "LT-INS-118": (
        "A state was written by other serializers than this code keeps it with: Flink would refuse to start.",
        "Restore with the code and the version of Flink that wrote it",
    ),
    "LT-INS-119": (
        "The time to live of the users is on in the state and off in the settings of the next start, or the reverse.",
        "Nothing if it is meant: Flink 2.2 writes every user anew at the start; else restore with the old value",
    ),
    "LT-INS-201": (
        "Bytes that are no blob of ours stand where one should.",
        "Take another checkpoint, and say so to whoever wrote into the state",
    ),
    "LT-INS-202": (
        "A blob was written by a newer version of Livetower.",
        "Use that version, or a newer one: a version reads what older ones wrote",
    ),
    "LT-INS-203": (
        "A value is a pickle of something other than bytes. It was not executed.",
        "Do not restore from it: our job writes only bytes, so somebody else has written this",
    ),
    "LT-INS-204": (
        "Parts of the item tower's state do not fit each other.",
        "Take another checkpoint; the job would fail to restore this one",
    ),
    "LT-INS-205": (
        "An operator's list or broadcast state cannot be read: the Kafka offsets, or the announced item snapshots.",
        "Take another checkpoint: another version of Flink or of its Kafka connector wrote this, or it is damaged",
    ),
    "LT-INS-206": (
        "The item tower's own restore, which is tried with --deep, fails: so would the job's.",
        "Take another checkpoint, or restore with the settings and the code that wrote it",
    ),
    "LT-INS-301": (
        "There is no such user.",
        "`livetower inspect users PATH --match 'PART*'` lists those there are; a state dies after model.user_ttl_days",
    ),
    "LT-INS-302": (
        "There is no such item.",
        "Give the item_id as the topic `items` has it; `livetower inspect snapshot diff` and `export` list them",
    ),
    "LT-INS-303": (
        "Two snapshots were to be compared whose vectors are of different dimensions.",
        "Compare snapshots of one job; model.dimension cannot change while its state lives",
    ),
    "LT-INS-304": (
        "A parallelism that the key groups of the state do not allow.",
        "Give --parallelism from 1 to the job's max parallelism, which `livetower inspect summary` names",
    ),
    "LT-INS-305": (
        "A file or directory of results cannot be written.",
        "Name a place that you may write to and that has room",
    ),
    "LT-INS-306": (
        "There are results already.",
        "Name another directory, or write over them with --force",
    ),
    "LT-INS-307": (
        "The vectors of the two states have other dimensions, so they cannot be compared.",
        "Compare states of jobs with the same model.dimension",
    ),
    "LT-INS-310": (
        "It is not known with which settings the job ran: it was older than the settings in its state.",
        "Give them with --settings FILE, or look at a savepoint that `livetower savepoint` took",
    ),
    "LT-INS-311": (
        "A setting is unknown here, or has a value that it cannot have.",
        "Correct --set or the settings file; settings of a newer version need that version",
    ),
    "LT-INS-312": (
        "An event cannot be read, or the job would reject it.",
        "Write it as item=ID,type=view or as the JSON of the topic `interactions` (docs/records.md)",
    ),
    "LT-INS-313": (
        "User state, item table and settings do not fit each other, or a step leaves the finite numbers.",
        "Give the settings that the job ran with; a learning rate that is too high is lowered by --set",
    ),
    "LT-INS-314": (
        "The Kafka brokers do not answer, or have no such topic.",
        "Name brokers that this machine reaches, or leave out --bootstrap-servers",
    ),
    "LT-INS-315": (
        "A user was called new, and the checkpoint holds that user.",
        "Leave out --new-user, or name another user",
    ),
    "LT-INS-401": (
        "There is no item snapshot at the path.",
        "Name job.snapshot_root, the directory of a savepoint, or one .safetensors file",
    ),
    "LT-INS-402": (
        "The bytes are no item snapshot that this version reads: another format or version, or not finite.",
        "Delete the file: the tower's next full snapshot replaces it; of a newer version, use that version",
    ),
    "LT-INS-403": (
        "The bytes are not those whose digest is in the file's name.",
        "Delete the file, or copy it again from where it is whole",
    ),
    "LT-INS-404": (
        "A delta or popularity update has no base: no full snapshot that it could apply to.",
        "Nothing: retention leaves such files, and the next full snapshot brings everything",
    ),
    "LT-INS-405": (
        "An item snapshot that the state names is missing: the first lists after a restore wait for the tower.",
        "Copy the file below the snapshot root, or go on: a restored tower publishes a full snapshot at once",
    ),
    "LT-INS-406": (
        "An item snapshot that the state names has other bytes than were announced; the job will leave it aside.",
        "Copy it again from where it is whole, or go on: a restored tower publishes a full snapshot at once",
    ),
}

WARNINGS: Final = frozenset({"LT-INS-112", "LT-INS-115", "LT-INS-119", "LT-INS-404", "LT-INS-405", "LT-INS-406"})
"""With these a job starts all the same."""


def inspect_error(code: str, cause: str) -> InspectError:
    """The error of a code, with the cure that stands beside it."""
    return InspectError(code, cause, CODES[code][1])
