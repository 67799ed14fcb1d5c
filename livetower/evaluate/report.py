"""An evaluation as a table for people and as JSON for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from livetower.evaluate.launch import Launch, pooled
from livetower.evaluate.run import Evaluation, Parts

if TYPE_CHECKING:  # optuna takes a second to load
    from livetower.evaluate.tune import Tuning

NAMES = {
    "popularity": "popularity",
    "popularity_decayed": "popularity, fading",
    "isgd": "ISGD",
    "raisgd": "RAISGD",
    "item_neighbours": "item neighbours",
    "ease": "EASE",
    "ease_recency": "EASE, recency-weighted",
}
DIGITS = 5


def report_json(evaluation: Evaluation) -> dict[str, Any]:
    """The figures by name: the recommender's without a prefix, a baseline's with its name before them."""
    whole, early, late = evaluation.recommender.reported, evaluation.recommender.early, evaluation.recommender.late
    record: dict[str, Any] = {
        "hit_at_10": rounded(whole.hit_at_10),
        "ndcg_at_10": rounded(whole.ndcg_at_10),
        "mrr": rounded(whole.mrr),
        "events": evaluation.events,
        "scored": whole.events,
        "users": evaluation.users,
        "items": evaluation.items,
        "ndcg_at_10_early": rounded(early.ndcg_at_10),
        "hit_at_10_early": rounded(early.hit_at_10),
        "ndcg_at_10_late": rounded(late.ndcg_at_10),
        "hit_at_10_late": rounded(late.hit_at_10),
        "events_per_s": round(evaluation.events_per_s, 1),
    }
    for name, found in evaluation.baselines.items():
        record |= {
            f"{name}_ndcg_at_10": rounded(found.reported.ndcg_at_10),
            f"{name}_hit_at_10": rounded(found.reported.hit_at_10),
        }
    if (ratings := evaluation.ratings) is not None:
        record |= {
            "rated": ratings.rated,
            "rmse": rounded(ratings.rmse),
            "user_mean_rmse": rounded(ratings.user_mean_rmse),
        }
    return record


def report_table(evaluation: Evaluation) -> Table:
    """The figures for people."""
    table = Table(
        title=f"{evaluation.events:,} events, {evaluation.users:,} users, {evaluation.items:,} items; "
        f"{evaluation.events_per_s:,.0f} events/s",
        caption="The first 10% are learned, not reported. early, late: NDCG@10 on [10%, 40%] and on the rest.",
    )
    table.add_column("")
    for name in ("hit@10", "NDCG@10", "MRR", "early", "late"):
        table.add_column(name, justify="right")
    _add_row(table, "Livetower", evaluation.recommender)
    for name, found in evaluation.baselines.items():
        _add_row(table, NAMES[name], found)
    return table


def _add_row(table: Table, name: str, found: Parts) -> None:
    whole = found.reported
    figures = (whole.hit_at_10, whole.ndcg_at_10, whole.mrr, found.early.ndcg_at_10, found.late.ndcg_at_10)
    table.add_row(name, *[f"{figure:.4f}" for figure in figures])


def rounded(figure: float) -> float:
    """As the JSON carries it."""
    return round(figure, DIGITS)


def print_evaluation(evaluation: Evaluation, *, as_json: bool) -> None:
    """One line of JSON, or the table."""
    if as_json:
        print(json.dumps(report_json(evaluation)))
        return
    Console().print(report_table(evaluation))
    if (ratings := evaluation.ratings) is not None:
        click.echo(
            f"RMSE of {ratings.rated:,} ratings: {ratings.rmse:.4f}; the user's mean so far: "
            f"{ratings.user_mean_rmse:.4f}"
        )


# ---- launches ------------------------------------------------------------------------------------


def print_launches(launches: Sequence[Launch], *, as_json: bool) -> None:
    """All seeds pooled and each by itself: one line of JSON, or the table."""
    if as_json:
        print(json.dumps(launch_json(pooled(launches)) | {"seeds": [launch_json(launch) for launch in launches]}))
    else:
        Console().print(launch_table(launches))


def launch_json(launch: Launch) -> dict[str, Any]:
    """The figures by name."""
    figures = {name: rounded(value) if isinstance(value, float) else value for name, value in asdict(launch).items()}
    return {name: value for name, value in figures.items() if value is not None}


def launch_table(launches: Sequence[Launch]) -> Table:
    """The figures for people."""
    table = Table(title="Launched items: cold with up to 4 earlier events, first with none")
    for name in ("seed", "cold hit@10", "cold hit@50", "first hit@50", "NDCG@10", "NDCG@10 without content"):
        table.add_column(name, justify="right")
    for launch in (*launches, pooled(launches)):
        table.add_row(
            "all" if launch.seed is None else str(launch.seed),
            f"{launch.cold_hit_at_10:.3f}",
            f"{launch.cold_hit_at_50:.3f} of {launch.cold_events}",
            f"{launch.first_hit_at_50:.3f} of {launch.first_events}",
            f"{launch.ndcg_at_10:.4f}",
            f"{launch.ndcg_at_10_without_content:.4f}",
        )
    return table


# ---- tuning --------------------------------------------------------------------------------------


def print_tuning(tuning: "Tuning", *, as_json: bool) -> None:
    """What was found: one line of JSON, or the table."""
    if as_json:
        print(json.dumps(tuning_json(tuning)))
    else:
        Console().print(tuning_table(tuning))


def tuning_json(tuning: "Tuning") -> dict[str, Any]:
    """The figures by name; `late` is the part of the stream that the search has not touched."""
    return {
        "trials": tuning.trials,
        "changed": tuning.changed,
        "ndcg_at_10_early_given": rounded(tuning.early_before),
        "ndcg_at_10_early_found": rounded(tuning.early_after),
        "ndcg_at_10_late_given": rounded(tuning.late_before.ndcg_at_10),
        "ndcg_at_10_late_found": rounded(tuning.late_after.ndcg_at_10),
        "hit_at_10_late_given": rounded(tuning.late_before.hit_at_10),
        "hit_at_10_late_found": rounded(tuning.late_after.hit_at_10),
    }


def tuning_table(tuning: "Tuning") -> Table:
    """The figures for people."""
    found = ", ".join(f"{name} = {value}" for name, value in tuning.changed.items())
    table = Table(title=f"{tuning.trials} trials. {found or 'Nothing found was better than the settings given.'}")
    for name in ("settings", "NDCG@10 on [10%, 40%]", "hit@10 on the untouched rest", "NDCG@10 on the rest"):
        table.add_column(name, justify="left" if name == "settings" else "right")
    for name, early, late in (
        ("given", tuning.early_before, tuning.late_before),
        ("found", tuning.early_after, tuning.late_after),
    ):
        table.add_row(name, f"{early:.4f}", f"{late.hit_at_10:.4f}", f"{late.ndcg_at_10:.4f}")
    return table
