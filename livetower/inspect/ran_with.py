"""The settings that a checkpoint's job ran with.

They stand in the tower's progress (operators/train_item_tower.py writes them there). A job of an older version has
none there; then they are looked for in `livetower.json`, which `livetower savepoint` puts beside a savepoint.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flink_jobs.settings import InvalidSettings, JobSettings, build_dataclass, put_override, read_toml
from livetower.inspect.codes import inspect_error
from livetower.inspect.reading import LearnedState
from livetower.operations.job_record import NoRecord, facts_of_state, record_of
from livetower.operations.settings_again import PROPERTIES
from models.tensor_bytes import InvalidTensors
from models.tower_progress import read_progress


def tower_facts(state: LearnedState) -> Mapping[str, Any] | None:
    """What the tower's progress says beside its tensors; None before its first write. Raises InspectError."""
    progress = state.progress()
    if progress is None:
        return None
    try:
        return read_progress(progress)[0]
    except InvalidTensors as error:
        raise inspect_error("LT-INS-201", f"{state.uri}: the tower's progress cannot be read: {error}") from error


def recorded_settings(state: LearnedState) -> Mapping[str, Any] | None:
    """The settings as settings_json writes them; None if nothing tells them."""
    facts = tower_facts(state)
    if facts is not None and facts.get("settings") is not None:
        told: Mapping[str, Any] = facts["settings"]
        return told
    try:
        return record_of(facts_of_state(state.uri, None)).settings
    except NoRecord:
        return None


def settings_of(state: LearnedState, file: Path | None, overrides: Iterable[str]) -> JobSettings:
    """The recorded settings, over them the file's and the overrides, but for Kafka properties, which nobody needs here.

    Raises InspectError if there are none at all, or if one of them cannot be.
    """
    recorded = recorded_settings(state)
    try:
        if recorded is None and file is None:
            raise inspect_error(
                "LT-INS-310", f"{state.uri}: its job told nobody which settings it ran with, and none were given"
            )
        tree: dict[str, Any] = {section: dict(values) for section, values in (recorded or {}).items()}
        for section, values in ({} if file is None else read_toml(file)).items():
            tree.setdefault(section, {}).update(values)
        for override in overrides:
            put_override(tree, override)
        for kind in PROPERTIES:
            tree.get("kafka", {}).pop(kind, None)
        settings: JobSettings = build_dataclass(JobSettings, tree, "")
    except InvalidSettings as error:
        raise inspect_error("LT-INS-311", f"the settings for {state.uri} cannot be: {error}") from error
    return settings
