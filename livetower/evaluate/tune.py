"""Search settings on the first 40% of a stream, and see on the rest, which the search has not touched, what they are
worth.

    objective   NDCG@10 on [10%, 40%], prequential, of a run that ends at 40%
    search      tree-structured Parzen estimator (Bergstra et al. 2011, Optuna's TPE); trial 0 are the settings given
    choice      the best trial if it beats trial 0 by more than a standard error of their difference, else trial 0
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from livetower.evaluate.errors import EvaluationError
from livetower.evaluate.run import EARLY_END, WARM_UP, Begin, part
from models.evaluation import Quality, gains
from models.learning import Ints
from models.prequential import NOT_SCORED, LocalJob, prequential_ranks
from models.records import Interaction
from models.settings import ModelSettings, TowerSettings

DIMENSIONS = (32, 64, 128)
HALF_LIVES: Mapping[str, tuple[float, ...]] = {
    "bursts": (20.0, 50.0, 200.0, 1_000.0),
    "short and long": (50.0, 200.0, 2_000.0, 20_000.0, 1e7),
    "long": (2_000.0, 20_000.0, 1e7),
    "longest": (20_000.0, 1e7),
}
EVENTS_NEEDED = 200
NOT_WRITTEN = ("admission_events", "admission_users")
"""An evaluation admits items at once; a job need not."""
Settings = tuple[ModelSettings, TowerSettings]


@dataclass(frozen=True, slots=True)
class Tuning:
    """What the search found. `changed` are the settings that differ from those given, by section.name."""

    trials: int
    found: Settings
    changed: dict[str, Any]
    early_before: float
    early_after: float
    late_before: Quality
    late_after: Quality


def tune(events: Sequence[Interaction], settings: Settings, *, trials: int, seed: int, begin: Begin) -> Tuning:
    """Search from `settings` with so many trials, the settings themselves included. The same seed finds the same.

    Raises EvaluationError for a stream that is too short to choose anything on.
    """
    if len(events) < EVENTS_NEEDED:
        raise EvaluationError(f"tune: at least {EVENTS_NEEDED} events were needed; got {len(events)}")
    prefix = events[: int(len(events) * EARLY_END)]
    early: list[Ints] = []  # ranks of each trial
    done = begin("trials", trials)

    def objective(trial: optuna.Trial) -> float:
        early.append(_early_ranks(prefix, _suggested(trial, settings)))
        done(len(early))
        return _mean_gain(early[-1])

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial(_as_parameters(settings))
    study.optimize(objective, n_trials=trials, catch=())
    best = study.best_trial.number
    chosen = best if is_better(early[best], early[0]) else 0
    found = _with_parameters(settings, study.trials[chosen].params) if chosen else settings
    before = _late_quality(events, settings, begin("given", len(events)))
    after = _late_quality(events, found, begin("found", len(events))) if chosen else before
    gained = _mean_gain(early[0]), _mean_gain(early[chosen])
    return Tuning(trials, found, _changed(settings, found), *gained, before, after)


def is_better(ranks: Ints, than: Ints) -> bool:
    """Whether the NDCG@10 of ranks (n,) lies above that of others of the same events by more than one standard error of
    the difference.

    >>> is_better(np.array([1, 1, 1, 2]), np.array([2, 3, 2, 2])), is_better(np.array([1, 9]), np.array([9, 1]))
    (True, False)
    """
    difference = gains(ranks) - gains(than)
    return bool(difference.mean() > difference.std() / np.sqrt(max(len(difference), 1)))


def write_settings(file: Path, tuning: Tuning) -> None:
    """The settings found as a file for `--settings`: all that differ from the defaults, under their sections."""
    lines = [f"# livetower tune, {tuning.trials} trials: NDCG@10 {tuning.early_before:.4f} -> {tuning.early_after:.4f}"]
    model, tower = tuning.found
    sections: tuple[tuple[str, ModelSettings | TowerSettings, ModelSettings | TowerSettings], ...] = (
        ("model", model, ModelSettings()),
        ("tower", tower, TowerSettings()),
    )
    for section, settings, default in sections:
        values = {f.name: getattr(settings, f.name) for f in fields(settings)}
        lines += [f"[{section}]"]
        lines += [
            f"{name} = {_toml(value)}"
            for name, value in values.items()
            if value != getattr(default, name) and name not in NOT_WRITTEN
        ]
    file.write_text("\n".join(lines) + "\n", "utf-8")


# ---- what is searched ----------------------------------------------------------------------------


def _as_parameters(settings: Settings) -> dict[str, Any]:
    """Trial 0; a value outside the ranges is brought to their edge."""
    model, tower = settings
    return {
        "model.dimension": min(DIMENSIONS, key=lambda k: abs(k - model.dimension)),
        "model.learning_rate": float(np.clip(model.learning_rate, 0.01, 0.2)),
        "model.rho": float(np.clip(model.rho, 0.4, 0.95)),
        "tower.learning_rate": float(np.clip(tower.learning_rate, 0.03, 0.5)),
        "tower.learning_rate_bias": float(np.clip(tower.learning_rate_bias, 0.02, 0.4)),
        "tower.learning_rate_popularity": float(np.clip(tower.learning_rate_popularity, 0.004, 0.1)),
        "tower.half_lives": next((n for n, h in HALF_LIVES.items() if h == tower.half_lives), "short and long"),
    }


def _suggested(trial: optuna.Trial, settings: Settings) -> Settings:
    if trial.number == 0:  # exactly what was given
        _parameters(trial)
        return settings
    return _with_parameters(settings, _parameters(trial))


def _parameters(trial: optuna.Trial) -> dict[str, Any]:
    return {
        "model.dimension": trial.suggest_categorical("model.dimension", DIMENSIONS),
        "model.learning_rate": trial.suggest_float("model.learning_rate", 0.01, 0.2, log=True),
        "model.rho": trial.suggest_float("model.rho", 0.4, 0.95),
        "tower.learning_rate": trial.suggest_float("tower.learning_rate", 0.03, 0.5, log=True),
        "tower.learning_rate_bias": trial.suggest_float("tower.learning_rate_bias", 0.02, 0.4, log=True),
        "tower.learning_rate_popularity": trial.suggest_float("tower.learning_rate_popularity", 0.004, 0.1, log=True),
        "tower.half_lives": trial.suggest_categorical("tower.half_lives", tuple(HALF_LIVES)),
    }


def _with_parameters(settings: Settings, parameters: Mapping[str, Any]) -> Settings:
    sections: dict[str, dict[str, Any]] = {"model": {}, "tower": {}}
    for path, value in parameters.items():
        section, _, name = path.partition(".")
        if name == "half_lives":
            value = HALF_LIVES[value]
        sections[section][name] = round(value, 5) if isinstance(value, float) else value
    return replace(settings[0], **sections["model"]), replace(settings[1], **sections["tower"])


def _changed(before: Settings, after: Settings) -> dict[str, Any]:
    return {
        path: getattr(new, name)
        for path in _as_parameters(before)
        for section, name in [path.split(".")]
        for old, new in [(before[section == "tower"], after[section == "tower"])]
        if getattr(old, name) != getattr(new, name)
    }


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_toml(v)}" for name, v in value.items()) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(list(value) if isinstance(value, tuple) else value)


# ---- one run -------------------------------------------------------------------------------------


def _early_ranks(prefix: Sequence[Interaction], settings: Settings) -> Ints:
    """Ranks of the scored events in [10%, 40%] of the stream that `prefix` begins."""
    ranks = prequential_ranks(LocalJob(*settings), prefix, lambda _: None)
    ranks = ranks[[settings[0].is_positive(event.event_type) for event in prefix]]
    within: Ints = ranks[int(len(ranks) * WARM_UP / EARLY_END) :]
    return within[within != NOT_SCORED]


def _mean_gain(ranks: Ints) -> float:
    return float(gains(ranks).mean()) if len(ranks) else 0.0


def _late_quality(events: Sequence[Interaction], settings: Settings, progress: Callable[[int], None]) -> Quality:
    ranks = prequential_ranks(LocalJob(*settings), events, progress)
    return part(ranks[[settings[0].is_positive(event.event_type) for event in events]], EARLY_END, 1.0)
