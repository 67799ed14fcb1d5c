"""`livetower evaluate` and `livetower tune` as people and programs call them."""

import json
from pathlib import Path

import numpy as np
import orjson
import pytest
from click.testing import CliRunner, Result

from livetower.cli import main
from livetower.evaluate import command
from livetower.evaluate.streams import steady_stream
from models.records import Item

SMALL = ["--set", "model.dimension=8", "--set", "model.negatives=10", "--set", "tower.negatives=10"]
KEYS = {
    "hit_at_10",
    "ndcg_at_10",
    "mrr",
    "events",
    "popularity_ndcg_at_10",
    "popularity_decayed_ndcg_at_10",
    "isgd_ndcg_at_10",
    "events_per_s",
}


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A stream of 400 events."""
    fields = ("user_id", "item_id", "event_time_ms")
    lines = [
        orjson.dumps({name: getattr(event, name) for name in fields})
        for event in steady_stream(np.random.default_rng(0), 400, n_active=12, life=20, n_each=30)
    ]
    (tmp_path / "stream.jsonl").write_bytes(b"\n".join(lines))
    return str(tmp_path / "stream.jsonl")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_json_is_one_line_of_figures_with_the_promised_names(file: str) -> None:
    result = run("evaluate", file, "--json", *SMALL)
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert result.stdout.count("\n") == 1
    assert record.keys() >= KEYS
    assert (record["events"], record["users"] > 12, record["items"]) == (400, True, record["items"])
    assert 0 < record["ndcg_at_10"] < record["hit_at_10"] < 1


def test_a_seed_repeats_a_run_and_another_does_not(file: str) -> None:
    def figures(seed: int) -> dict[str, float]:
        record = json.loads(run("evaluate", file, "--json", "--seed", str(seed), *SMALL).stdout)
        return {name: value for name, value in record.items() if name != "events_per_s"}

    assert figures(1) == figures(1)
    assert figures(1) != figures(2)


def test_a_catalogue_gives_the_strategy_content_something_to_go_by(file: str, tmp_path: Path) -> None:
    stream = [orjson.loads(line) for line in Path(file).read_bytes().splitlines()]
    catalogue = tmp_path / "items.jsonl"
    ids = sorted({event["item_id"] for event in stream})
    catalogue.write_bytes(b"\n".join(orjson.dumps({"item_id": i, "category": i.partition("-")[0]}) for i in ids))
    content = ("evaluate", file, "--json", "--strategy", "content", "--set", "tower.content_warm_events=3")
    content = (*content, "--set", "tower.content_every=50", *SMALL)
    without, named = (json.loads(run(*content, *more).stdout) for more in ((), ("--items", str(catalogue))))
    assert without["hit_at_10"] < 0.01
    assert named["hit_at_10"] > 0.2


def test_the_table_names_the_recommender_and_every_baseline(file: str) -> None:
    output = run("evaluate", file, "--baselines", *SMALL).output
    for name in ("Livetower", "popularity", "ISGD", "RAISGD", "item neighbours", "EASE, recency-weighted"):
        assert name in output


def test_a_settings_file_counts_and_an_option_wins_over_it(file: str, tmp_path: Path) -> None:
    settings = tmp_path / "s.toml"
    settings.write_text('[job]\nsnapshot_root = "/elsewhere"\n[model]\ndimension = 8\nseed = 3\n[tower]\nseed = 3\n')
    by_file = json.loads(run("evaluate", file, "--json", "--settings", str(settings)).stdout)
    by_option = json.loads(run("evaluate", file, "--json", "--set", "model.dimension=8", "--seed", "3").stdout)
    assert by_file["mrr"] == by_option["mrr"]
    assert json.loads(run("evaluate", file, "--json", "--settings", str(settings), "--seed", "4").stdout) != by_file


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.csv"], "nowhere.csv: no such file"),
        (["{file}", "--set", "model.dimension=0"], "setting model.dimension: must be in [1, 1024]; got 0"),
        (["{file}", "--set", "model.dimensions=8"], "no such setting; the nearest is model.dimension"),
        (["{file}", "--settings", "nowhere.toml"], "settings file nowhere.toml: needed a readable TOML file"),
        (["{file}", "--items", "nowhere.jsonl"], "nowhere.jsonl: cannot be read"),
        (["{file}", "--launch"], "--launch: a stream whose items have features was needed (movielens-100k)"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(file: str, arguments: list[str], message: str) -> None:
    result = run("evaluate", *[argument.format(file=file) for argument in arguments])
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


def test_launches_are_pooled_over_three_seeds_or_run_for_one(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [Item(f"{taste}-{i}", tags=(str(taste),)) for taste in range(4) for i in range(30)]
    monkeypatch.setattr("livetower.evaluate.events.load_items", lambda _source: items)
    record = json.loads(run("evaluate", file, "--json", "--launch", *SMALL).stdout)
    assert [seed["seed"] for seed in record["seeds"]] == list(command.LAUNCH_SEEDS)
    assert record["cold_events"] == sum(seed["cold_events"] for seed in record["seeds"]) > 0
    assert {"cold_hit_at_50", "first_hit_at_50", "ndcg_at_10", "ndcg_at_10_without_content"} <= record.keys()
    one = json.loads(run("evaluate", file, "--json", "--launch", "--seed", "1", *SMALL).stdout)
    assert one["seeds"] == [record["seeds"][1]]
    assert "first hit@50" in run("evaluate", file, "--launch", "--seed", "1", *SMALL).output


def test_tune_writes_settings_that_evaluate_reads(file: str, tmp_path: Path) -> None:
    out = tmp_path / "tuned.toml"
    result = run("tune", file, "--trials", "2", "--json", "--out", str(out), *SMALL)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["trials"] == 2
    assert run("evaluate", file, "--json", "--settings", str(out)).exit_code == 0
    assert "untouched rest" in run("tune", file, "--trials", "1", "--out", str(out), *SMALL).output


@pytest.mark.parametrize("name", ["evaluate", "tune"])
def test_help_shows_examples_line_by_line(name: str) -> None:
    lines = run(name, "--help").output.splitlines()
    assert any(line.strip().startswith(f"livetower {name} movielens-100k") for line in lines)
