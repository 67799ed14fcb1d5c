"""Prequential RMSE, by hand and in a world where the model must beat the mean of the user."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
from click.testing import CliRunner
from worlds import MODEL, TOWER

from livetower.cli import main
from livetower.evaluate.ratings import RatingErrors, RatingQuality
from livetower.evaluate.streams import steady_stream
from models.prequential import LocalJob, prequential_ranks
from models.records import EventType, Interaction

MSE = replace(MODEL, loss="mse")


def rating(n: int, user: str, item: str, value: float) -> Interaction:
    return Interaction(f"{user}-{n}", user, item, EventType.RATING, n, value)


def test_before_any_item_is_learned_the_prediction_is_the_users_mean() -> None:
    events = [rating(0, "a", "x", 5), rating(1, "a", "y", 2), rating(2, "b", "x", 4), rating(3, "a", "z", 3.5)]
    errors = RatingErrors()
    prequential_ranks(LocalJob(MSE, TOWER), events, lambda _: None, errors.test)
    # a's second: 2 - 5; a's third: 3.5 - (5 + 2) / 2; first ratings of a user are not predicted
    assert errors.quality(0) == RatingQuality(2, pytest.approx(np.sqrt(9 / 2)), pytest.approx(np.sqrt(9 / 2)))
    assert errors.quality(3) == RatingQuality(1, pytest.approx(0), pytest.approx(0))
    assert errors.quality(4) is None


def test_where_items_differ_the_model_beats_the_users_mean() -> None:
    rng = np.random.default_rng(0)
    stream = steady_stream(rng, 3_000, n_active=30, life=30, n_each=40)
    liked = {item: rng.random() < 0.5 for item in sorted({e.item_id for e in stream})}
    events = [replace(e, event_type=EventType.RATING, value=5.0 if liked[e.item_id] else 1.0) for e in stream]
    errors = RatingErrors()
    prequential_ranks(LocalJob(MSE, TOWER), events, lambda _: None, errors.test)
    found = errors.quality(1_000)
    assert found is not None
    assert found.user_mean_rmse == pytest.approx(2.0, abs=0.2)
    assert found.rmse < 0.8 * found.user_mean_rmse


def test_the_command_prints_it_under_squared_error_only(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    rows = [
        {"user_id": e.user_id, "item_id": e.item_id, "event_time_ms": e.event_time_ms, "value": n % 5}
        for n, e in enumerate(steady_stream(np.random.default_rng(0), 300))
    ]
    file.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    small = ["--set", "model.dimension=8"]
    record = json.loads(CliRunner().invoke(main, ["evaluate", str(file), "--json", "--loss", "mse", *small]).stdout)
    assert record["rated"] > 200
    assert record["rmse"] > 0 < record["user_mean_rmse"]
    assert "RMSE of" in CliRunner().invoke(main, ["evaluate", str(file), "--loss", "mse", *small]).output
    assert "rmse" not in CliRunner().invoke(main, ["evaluate", str(file), "--json", *small]).stdout
