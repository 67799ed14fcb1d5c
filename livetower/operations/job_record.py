"""What is known of a submitted job: its settings, its code, its uids, the versions of its blobs.

A running job says it through Flink (flink_jobs/job_facts.py). When Flink has forgotten the job it is found again in two
files: the sandbox keeps RUN_DIR/jobs/<job>.json from the submission on, and `savepoint` and `stop` put `livetower.json`
beside the savepoint's _metadata.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from flink_jobs.job_facts import PREFIX
from livetower.operations.places import parent_and_name, read_file, write_file

BESIDE = "livetower.json"


class NoRecord(Exception):
    """Nothing is known of the job; the message says of which."""


@dataclass(frozen=True, slots=True)
class JobRecord:
    """What one job was submitted as."""

    settings: Mapping[str, Any]  # as flink_jobs.settings.settings_json writes them
    code: str
    uids: tuple[str, ...]
    blobs: Mapping[str, int]


def record_of(facts: Mapping[str, str]) -> JobRecord:
    """The record in a job's global parameters. Raises NoRecord if they are another job's or an older Livetower's."""
    try:
        return JobRecord(
            orjson.loads(facts[f"{PREFIX}settings"]),
            facts[f"{PREFIX}code"],
            tuple(orjson.loads(facts[f"{PREFIX}uids"])),
            orjson.loads(facts[f"{PREFIX}blobs"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise NoRecord(f"it does not say what it was submitted as ({error!r})") from error


def write_beside(savepoint: str, facts: Mapping[str, str]) -> None:
    """Put the job's parameters beside a savepoint's metadata."""
    write_file(savepoint, BESIDE, orjson.dumps(dict(facts), option=orjson.OPT_INDENT_2))


def facts_of_state(state: str, run_dir: Path | None) -> dict[str, str]:
    """The parameters of the job that wrote a checkpoint or savepoint: from beside it, else from the sandbox's files.

    Raises NoRecord.
    """
    facts = _facts_in(state, BESIDE)
    if facts is None and run_dir is not None:
        job_id = parent_and_name(parent_and_name(state)[0])[1]  # …/<job>/chk-<n>
        facts = _facts_in(str(run_dir / "jobs"), f"{job_id}.json")
    if facts is None:
        raise NoRecord(f"the settings of the job that wrote {state} are not known")
    return facts


def _facts_in(directory: str, name: str) -> dict[str, str] | None:
    try:
        facts: dict[str, str] = orjson.loads(read_file(directory, name))
    except (OSError, ValueError):
        return None
    return facts
