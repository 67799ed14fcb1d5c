"""`livetower train`: history in, a tower out that knows its items and serves unseen ones."""

import json

import numpy as np
import pytest
from click.testing import CliRunner, Result

from livetower.cli import main
from livetower.train.run import first_meetings
from models.hashing import hash_id
from models.prequential import NOT_SCORED
from models.records import EventType, Interaction, Item
from models.tower_artefact import load_tower

SMALL = ("--set", "model.dimension=8", "--set", "tower.batch=8", "--set", "tower.content_warm_events=3")


@pytest.fixture
def history(tmp_path):
    """Users of two tastes, out of order in time, and a catalogue with one item that nobody has met."""
    rng = np.random.default_rng(0)
    lines = [
        {"user_id": f"u{n % 30}", "item_id": f"{'war' if n % 2 else 'love'} {rng.integers(12)}", "event_time_ms": n}
        for n in rng.permutation(600).tolist()
    ]
    (tmp_path / "plays.jsonl").write_text("\n".join(map(json.dumps, lines)))
    ids = sorted({line["item_id"] for line in lines})
    items = [{"item_id": item_id, "category": item_id.split()[0]} for item_id in [*ids, "war new"]]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, items)))
    return tmp_path


def run(folder, *arguments: str) -> Result:
    output = ("--output", str(folder / "tower.safetensors"))
    return CliRunner().invoke(main, ["train", str(folder / "plays.jsonl"), *output, *SMALL, *arguments])


def test_history_and_catalogue_become_a_tower_that_places_an_unseen_item_with_its_like(history):
    done = run(history, "--items", str(history / "items.jsonl"), "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    blob = (history / "tower.safetensors").read_bytes()
    assert (told["items"], told["examples"], told["bytes"]) == (25, 600, len(blob))
    assert 0 < told["ndcg_at_10"] <= 1
    tower = load_tower(blob)
    assert told["parameters"] == tower.n_parameters
    assert tower.rows.events[tower.rows.row_of(hash_id("war new"))] == 0
    unseen, war, love = tower(
        [Item("x", category="war"), Item("y", category="war"), Item("z", category="love")]
    ).numpy()
    assert np.array_equal(unseen, war)
    mean = {kind: tower([f"{kind} {n}" for n in range(12)]).numpy().mean(0) for kind in ("war", "love")}
    assert np.linalg.norm(unseen - mean["war"]) < np.linalg.norm(unseen - mean["love"])
    assert np.linalg.norm(love - mean["love"]) < np.linalg.norm(love - mean["war"])


def test_without_a_catalogue_the_items_are_those_of_the_events(history):
    done = run(history)
    assert done.exit_code == 0, done.output
    assert "items       24" in done.output
    assert "examples    600" in done.output
    assert f"job.start_tower={history / 'tower.safetensors'}" in done.output


def test_equal_seeds_give_equal_files(history):
    files = []
    for seed in ("3", "3", "4"):
        assert run(history, "--seed", seed).exit_code == 0
        files.append((history / "tower.safetensors").read_bytes())
    assert files[0] == files[1] != files[2]


def test_half_writes_a_smaller_file(history):
    sizes = [json.loads(run(history, "--json", *half).stdout)["bytes"] for half in ((), ("--half",))]
    assert sizes[0] - sizes[1] == pytest.approx(24 * 8 * 2, abs=16)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"item_id": "a"}\n\n{"item_id": 5}\n', "items.jsonl, line 3: item_id must be a string"),
        (b'{"item_id": "a"', "items.jsonl, line 1: the value is not JSON"),
        (None, "items.jsonl: cannot be read"),
    ],
)
def test_a_bad_catalogue_is_named_with_its_line(history, content, message):
    file = history / "items.jsonl"
    file.unlink() if content is None else file.write_bytes(content)
    done = run(history, "--items", str(file))
    assert done.exit_code == 1
    assert message in done.output
    assert not (history / "tower.safetensors").exists()


def test_a_place_that_cannot_be_written_is_named(history):
    done = CliRunner().invoke(
        main, ["train", str(history / "plays.jsonl"), *SMALL, "--output", str(history / "no" / "t")]
    )
    assert done.exit_code == 1
    assert "cannot be written" in done.output


def test_a_second_meeting_is_not_scored():
    events = [Interaction(f"{n}", "u", item, EventType.VIEW, n) for n, item in enumerate("aba")]
    assert first_meetings(events, np.array([5, 6, 7])).tolist() == [5, 6, NOT_SCORED]
