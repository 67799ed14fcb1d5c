"""An evaluation as a table for people and as JSON for programs."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from livetower.evaluate.run import Evaluation, Parts

NAMES = {
    "popularity": "popularity",
    "popularity_decayed": "popularity, half-life 20,000 events",
    "isgd": "ISGD",
    "raisgd": "RAISGD",
    "item_neighbours": "item neighbours",
    "ease": "EASE, refitted every 5%",
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
    return record


def report_table(evaluation: Evaluation) -> Table:
    """The figures for people."""
    table = Table(
        title=f"{evaluation.events:,} events, {evaluation.users:,} users, {evaluation.items:,} items; "
        f"the first 10% are learned, not reported; {evaluation.events_per_s:,.0f} events/s"
    )
    table.add_column("")
    for name in ("hit@10", "NDCG@10", "MRR", "NDCG@10 early", "NDCG@10 late"):
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
    else:
        Console().print(report_table(evaluation))
