"""The settings of a job for its next submission: what it ran with, then a file, then single settings."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from flink_jobs.settings import (
    InvalidSettings,
    JobSettings,
    build_dataclass,
    load_settings,
    put_override,
    read_toml,
)

PROPERTIES = ("properties", "admin_properties")
"""Of [kafka]: their values may be secrets. They are in no record, and must not be on a command line either."""


def settings_again(
    recorded: Mapping[str, Any], file: Path | None, overrides: Iterable[str], place: Mapping[str, str]
) -> JobSettings:
    """The recorded settings, over them those of the place (the sandbox's broker), the file's and the overrides.

    Raises InvalidSettings, also when the job had Kafka properties of which the file does not give all.
    """
    tree: dict[str, Any] = {section: dict(values) for section, values in recorded.items()}
    names = {kind: set(tree.get("kafka", {}).pop(kind, ())) for kind in PROPERTIES}
    for name, value in place.items():
        put_override(tree, f"{name}={value}")
    for section, values in ({} if file is None else read_toml(file)).items():
        tree.setdefault(section, {}).update(values)
    for override in overrides:
        put_override(tree, override)
    settings: JobSettings = build_dataclass(JobSettings, tree, "")
    for kind in PROPERTIES:
        if missing := sorted(names[kind] - set(getattr(settings.kafka, kind))):
            raise InvalidSettings(
                f"kafka.{kind}: needed {', '.join(missing)}, with which the job ran and whose values are kept nowhere; "
                "give them in --settings FILE"
            )
    return settings


def job_arguments(settings: JobSettings, file: Path | None) -> list[str]:
    """The arguments by which the job gets exactly these settings: the file, and --set for all that it leaves."""
    needed = "job.snapshot_root=/unknown"  # it has no default
    told = flat(load_settings(file, [] if file and "snapshot_root" in read_toml(file).get("job", {}) else [needed]))
    arguments = [] if file is None else ["--settings", str(file.absolute())]
    for name, value in flat(settings).items():
        if told.get(name) == value:
            continue
        if name.startswith(tuple(f"kafka.{kind}" for kind in PROPERTIES)):
            raise InvalidSettings(f"{name}: needed in --settings FILE, since a command line is no place for secrets")
        arguments += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    return arguments


def flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Every setting by its name, section.name or section.name.key; a list where the settings have a tuple."""
    return dict(_flat(settings, prefix))


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if is_dataclass(value):
        for f in fields(value):
            yield from _flat(getattr(value, f.name), f"{name}.{f.name}" if name else f.name)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _flat(each, f"{name}.{key}")
    else:
        yield name, list(value) if isinstance(value, tuple) else value
