"""The settings of an evaluation: the job's own, with items admitted at once since no catalogue is at hand."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flink_jobs.settings import load_settings
from models.settings import ModelSettings, TowerSettings

UNUSED_ROOT = "job.snapshot_root=unused://"


def evaluation_settings(file: Path | None, overrides: Sequence[str] = ()) -> tuple[ModelSettings, TowerSettings]:
    """Model and tower as the job would have them, but for the admission of items. Raises InvalidSettings."""
    settings = load_settings(file, [*overrides, UNUSED_ROOT])
    return settings.model, replace(settings.tower, admission_events=1, admission_users=1)
