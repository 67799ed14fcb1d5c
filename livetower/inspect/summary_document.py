"""What a checkpoint holds, as one JSON document."""

from collections.abc import Mapping
from typing import Any

from flink_jobs.settings import load_settings
from livetower.inspect.codes import inspect_error
from livetower.inspect.ran_with import recorded_settings, tower_facts
from livetower.inspect.ranking_table import announced_in
from livetower.inspect.reading import LearnedState, StateSize
from livetower.operations.metadata import OperatorInState
from livetower.operations.settings_again import flat
from livetower.progress import progress_bars
from models.snapshots import Announcement

REPORT_EVERY = 4_096


def summary_document(
    state: LearnedState, ends: Mapping[tuple[str, int], int], *, exact: bool = False
) -> dict[str, Any]:
    """Operators, offsets (with `ends` how far behind they are), users, tower, snapshot, settings. Raises
    InspectError.
    """
    settings = recorded_settings(state)
    return {
        "checkpoint": state.uri,
        "checkpoint_id": state.metadata.checkpoint_id,
        "operators": _operators(state),
        "offsets": [
            {
                "topic": topic,
                "partition": partition,
                "offset": offset,
                "end": ends.get((topic, partition)),
                "lag": None if (topic, partition) not in ends else max(0, ends[topic, partition] - offset),
            }
            for (topic, partition), offset in sorted(state.offsets().items())
        ],
        "users": {"number": _count_users(state) if exact else state.users_estimate(), "exact": exact},
        "tower": _tower(state, exact),
        "snapshot": _snapshot(state),
        "settings": settings,
        "settings_changed": None if settings is None else _changed(settings),
    }


def _operators(state: LearnedState) -> list[dict[str, Any]]:
    """Those that hold a state, in the order of the metadata."""
    sizes: dict[str, list[StateSize]] = {}
    for each in state.sizes():
        sizes.setdefault(each.uid, []).append(each)
    return [
        {
            "uid": operator.uid,
            "name": operator.name,
            "parallelism": operator.parallelism,
            "max_parallelism": operator.max_parallelism,
            "bytes": _bytes(operator),
            "states": [
                {"name": each.name, "kind": each.kind, "bytes": each.bytes_, "entries": each.entries}
                for each in sizes.get(operator.uid, [])
            ],
        }
        for operator in state.metadata.operators
        if operator.files
    ]


def _bytes(operator: OperatorInState) -> int:
    """Of all files of its states, each once, and of what lies in the metadata."""
    return sum({(file.path, file.relative): file.size for file in operator.files}.values())


def _count_users(state: LearnedState) -> int:
    number = 0
    with progress_bars() as begin:
        update = begin("users", state.users_estimate() or 0)
        for number, _ in enumerate(state.users(), 1):
            if number % REPORT_EVERY == 0:
                update(number)
    return number


def _tower(state: LearnedState, exact: bool) -> dict[str, Any] | None:
    """The tower as it was last written, and with `exact` how many inputs its log holds after that."""
    facts = tower_facts(state)
    if facts is None:
        return None
    return {
        "epoch": facts.get("epoch", 0),
        "inputs": facts["number"],
        "examples": facts["trained"],
        "items": facts["n_rows"],
        "waiting": len(facts["waiting"]),
        "dimension": facts["dimension"],
        "half_lives": facts["half_lives"],
        "skipped_batches": facts["skipped_batches"],
        "shed_batches": facts["shed_batches"],
        "logged_since": _logged_since(state, facts["number"]) if exact else None,
    }


def _logged_since(state: LearnedState, written: int) -> int:
    """Inputs in the log that came after the last write: a restore would learn them again."""
    from models.tower_stream import InvalidInput, decode_input  # torch need not load for the rest of a summary

    try:
        return sum(decode_input(entry)[0] > written for _, entry in state.log())
    except InvalidInput as error:
        raise inspect_error("LT-INS-201", f"{state.uri}: the tower's log: {error}") from error


def _snapshot(state: LearnedState) -> dict[str, Any]:
    announced = announced_in(state)
    return {
        "full": None if announced.full is None else _announcement(announced.full),
        "deltas": [_announcement(each) for each in announced.deltas],
        "popularity": None if announced.popularity is None else _announcement(announced.popularity),
    }


def _announcement(announced: Announcement) -> dict[str, Any]:
    return {
        "epoch": announced.epoch,
        "trained_events": announced.trained_events,
        "items": announced.items,
        "created_ms": announced.created_ms,
        "file": announced.file,
        "inline_bytes": None if announced.inline is None else len(announced.inline),
        "sha256": announced.sha256,
        "shed": announced.shed,
    }


def _changed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are not this version's defaults; job.snapshot_root has none."""
    defaults = flat(load_settings(None, ["job.snapshot_root=/unknown"]))
    told = {name: value for section, values in settings.items() for name, value in flat(values, section).items()}
    return {name: value for name, value in told.items() if name not in defaults or defaults[name] != value}
