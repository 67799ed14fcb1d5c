"""The search: what it starts from, what it may touch, what it writes, and that it does not fool itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flink_jobs.settings import load_settings
from livetower.evaluate import tune as tuned
from livetower.evaluate.errors import EvaluationError
from livetower.evaluate.run import part
from livetower.evaluate.settings import UNUSED_ROOT, evaluation_settings
from livetower.evaluate.streams import bursty_stream, steady_stream
from livetower.evaluate.tune import HALF_LIVES, is_better, tune, write_settings
from models.evaluation import MISS
from models.prequential import LocalJob, prequential_ranks

GIVEN = evaluation_settings(None, ["model.dimension=32", "tower.negatives=10", "model.negatives=10"])


def quietly(_name: str, _total: int):
    return lambda _done: None


def test_a_search_finds_what_is_wrong_and_keeps_it_off_the_rest() -> None:
    stream = bursty_stream(np.random.default_rng(0), 1_500, n_users=150)
    model, tower = GIVEN
    lame = (model, replace(tower, half_lives=HALF_LIVES["longest"], popularity_examples=50))
    found = tune(stream, lame, trials=6, seed=0, begin=quietly)
    assert found.early_after > 1.2 * found.early_before
    assert found.late_after.ndcg_at_10 > 1.2 * found.late_before.ndcg_at_10
    assert found.changed["tower.half_lives"] != HALF_LIVES["longest"]
    assert found.late_after == part(prequential_ranks(LocalJob(*found.found), stream, lambda _: None), 0.4, 1)


def test_one_trial_is_the_settings_given_and_the_same_seed_finds_the_same() -> None:
    stream = steady_stream(np.random.default_rng(0), 600)
    alone = tune(stream, GIVEN, trials=1, seed=0, begin=quietly)
    assert (alone.found, alone.changed, alone.early_after) == (GIVEN, {}, alone.early_before)
    assert (
        alone.late_after
        == alone.late_before
        == part(prequential_ranks(LocalJob(*GIVEN), stream, lambda _: None), 0.4, 1)
    )
    assert tune(stream, GIVEN, trials=3, seed=1, begin=quietly) == tune(stream, GIVEN, trials=3, seed=1, begin=quietly)


def test_the_search_never_sees_the_rest_of_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = steady_stream(np.random.default_rng(0), 500)
    seen: list[int] = []
    real = tuned.prequential_ranks

    def watched(job, events, progress):
        seen.append(len(events))
        return real(job, events, progress)

    monkeypatch.setattr(tuned, "prequential_ranks", watched)
    tune(stream, GIVEN, trials=2, seed=0, begin=quietly)
    assert seen[:3] == [200, 200, 500]


def test_luck_is_no_improvement() -> None:
    rng = np.random.default_rng(0)
    ranks = rng.integers(1, 30, 1_000)
    assert not is_better(ranks, ranks)
    assert not is_better(np.append(rng.permutation(ranks), 2), np.append(ranks, MISS))  # .6 gained in all
    assert is_better(np.maximum(1, ranks - 2), ranks)


def test_the_file_written_is_one_that_a_job_reads(tmp_path: Path) -> None:
    stream = steady_stream(np.random.default_rng(0), 500)
    given = evaluation_settings(None, ["model.top_k=7", "tower.half_lives=[50, 1e7]", "model.dimension=32"])
    found = tune(stream, given, trials=1, seed=0, begin=quietly)
    write_settings(tmp_path / "tuned.toml", found)
    loaded = load_settings(tmp_path / "tuned.toml", [UNUSED_ROOT])
    assert loaded.model == given[0]
    assert loaded.tower == replace(given[1], admission_events=3, admission_users=2)


def test_a_stream_that_is_too_short_is_refused() -> None:
    with pytest.raises(EvaluationError, match="at least 200 events were needed; got 60"):
        tune(steady_stream(np.random.default_rng(0), 60), GIVEN, trials=1, seed=0, begin=quietly)
