"""What would change if the code here, with these settings, went on from a job's state; and what could not go on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flink_jobs.job_facts import BLOB_VERSIONS, UIDS
from livetower.operations.job_record import JobRecord
from livetower.operations.settings_again import PROPERTIES

MUST_STAY: Mapping[str, str] = {
    "model.dimension": "every vector in the state has it",
    "tower.half_lives": "every count in the state has them",
    "job.max_parallelism": "the state is divided by it",
    "topics.interactions": "the state holds offsets of the old topic",
    "topics.interactions_priority": "the state holds offsets of the old topic",
    "topics.items": "the state holds offsets of the old topic",
    "topics.item_snapshots": "the state holds offsets of the old topic",
    "topics.commands": "the state holds offsets of the old topic",
}
"""Settings that a state cannot follow, and why."""
COMMITTER = "Sink Committer: "
"""In front of the uid that Flink makes of a sink's for its second operator."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same; `refused` says why the state cannot follow it, '' if it can."""

    kind: str  # code | uid | blob version | setting
    name: str
    running: Any  # None: there is none
    here: Any
    refused: str = ""


def differences(running: JobRecord, settings: Mapping[str, Any], code: str) -> list[Difference]:
    """Between a job and what would be submitted here with these settings (settings_again.flat)."""
    found = [] if running.code == code else [Difference("code", "digest", running.code[:12], code[:12])]
    return [*found, *uid_differences(running.uids), *blob_differences(running.blobs), *_settings(running, settings)]


def uid_differences(uids: Iterable[str]) -> list[Difference]:
    """Between the uids of a state or a job and those of the code here."""
    there, here = {uid.removeprefix(COMMITTER) for uid in uids}, set(UIDS)
    lost = "its state would have no operator"
    found = [Difference("uid", uid, uid, None, lost) for uid in sorted(there - here)]
    return [*found, *(Difference("uid", uid, None, uid) for uid in sorted(here - there))]


def blob_differences(blobs: Mapping[str, int]) -> list[Difference]:
    """Between the versions that a job wrote and those of the code here, which reads older ones only."""
    found = []
    for name in sorted(blobs.keys() | BLOB_VERSIONS.keys()):
        there, here = blobs.get(name), BLOB_VERSIONS.get(name)
        if there != here:
            newer = there is not None and (here is None or there > here)
            refused = "the code here does not read what a newer one wrote" if newer else ""
            found.append(Difference("blob version", name, there, here, refused))
    return found


def _settings(running: JobRecord, here: Mapping[str, Any]) -> list[Difference]:
    there: dict[str, Any] = {}
    for section, values in running.settings.items():
        for name, value in values.items():
            if isinstance(value, Mapping):
                there |= {f"{section}.{name}.{key}": each for key, each in value.items()}
            else:
                there[f"{section}.{name}"] = value
    secret = tuple(f"kafka.{kind}" for kind in PROPERTIES)
    found = []
    for name in sorted(there.keys() | here.keys()):
        if name.startswith(secret) or there.get(name) == here.get(name):
            continue
        # A setting that the older code did not know has had its default's meaning, and '' no topic: it may come.
        refused = MUST_STAY.get(name, "") if there.get(name) and name in here else ""
        found.append(Difference("setting", name, there.get(name), here.get(name), refused))
    return found
