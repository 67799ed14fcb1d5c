"""A small job's learned state for the tests of `livetower inspect`, and what `advance` made of its users."""

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fake_learned_state import FakeLearnedState
from made_up import ITEMS, MODEL, NOW_MS, announcement, interaction, item, snapshot

from flink_jobs.settings import load_settings, settings_json
from livetower.cli import main
from models.item_table import ItemTable
from models.recommender import Advance, advance
from models.records import Interaction, parse_interaction
from models.settings import ModelSettings, TowerSettings
from models.snapshots import decode_snapshot, digest, encode_snapshot, table_of
from models.tower_stream import InputKind, TowerInput, TowerStream
from models.user_state import UserState

TOWER = TowerSettings(batch=4, negatives=5, content_columns=16)
KAFKA_MS = NOW_MS + 7
TITLES = {"i0": "Alien", "i1": "Aliens", "i2": "Brazil [b]"}
FILE = "full-0-000000000007-made-up.safetensors"


def settings_told(root: Path, *overrides: str, model: ModelSettings = MODEL) -> dict[str, Any]:
    """What the job keeps of its settings."""
    small = [f"model.{name}={getattr(model, name)}" for name in ("dimension", "negatives", "top_k")]
    told: dict[str, Any] = json.loads(
        settings_json(load_settings(None, [f"job.snapshot_root={root}", *small, *overrides]))
    )
    return told


def event(n: int, item_id: str, user_id: str = "ada", event_type: str = "view", **fields: Any) -> Interaction:
    """The n-th event of a user, a minute after the one before."""
    value = interaction(
        f"{user_id}-{n}", user_id, item_id, event_type=event_type, event_time_ms=NOW_MS + 60_000 * n, **fields
    )
    return parse_interaction(value, KAFKA_MS + 60_000 * n, max_bytes=65_536, future_tolerance_ms=300_000)


def lived(events: list[Interaction], table: ItemTable | None, settings: ModelSettings = MODEL) -> list[Advance]:
    """What `advance` made of one user's events, by a kafka_ms that is 7 ms later."""
    state: UserState | None = None
    results = []
    for each in events:
        results.append(advance(state, each, table, each.event_time_ms + 7, settings))
        state = results[-1].state
    return results


def titled_snapshot() -> bytes:
    """A full snapshot of made_up's items, of which three have a title."""
    rows = decode_snapshot(snapshot(trained_events=7, seed=7))
    return encode_snapshot(replace(rows, titles=tuple(TITLES.get(item_id, "") for item_id in ITEMS)))


class Lived:
    """Ada has viewed i0 … i5 and rated i6 and i7, Bob has disliked i9; the snapshot is a file below the root."""

    def __init__(self, root: Path, *overrides: str, told: bool = True, model: ModelSettings = MODEL) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.blob = blob = titled_snapshot()
        (root / FILE).write_bytes(blob)
        self.announcement = announcement(blob, 7, file=FILE)
        self.table = table_of(decode_snapshot(blob), digest(blob), self.announcement.created_ms)
        self.events = [event(n, ITEMS[n]) for n in range(6)]
        self.events += [event(n, ITEMS[n], event_type="rating", value=n - 4) for n in (6, 7)]
        self.results = lived(self.events, self.table, model)
        self.ada = self.results[-1].state
        self.bob = lived([event(0, "i9", "bob", "dislike")], self.table, model)[-1].state
        self.settings = settings_told(root, *overrides, model=model) if told else None
        self.state = FakeLearnedState()
        self.state.keep_user("ada", self.ada)
        self.state.keep_user("bob", self.bob)
        self.stream = TowerStream(model, TOWER)
        for item_id in ITEMS:
            titled = item(item_id, **({"title": TITLES[item_id]} if item_id in TITLES else {}))
            self.stream.accept(TowerInput(InputKind.ITEM, titled))
        self.state.keep_tower(self.stream, self.settings)
        self.state.announce(self.announcement)
        self.state.estimate = 2

    def runner(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
        """`livetower inspect` on this state: the command, then further words after the path."""
        self.state.opens(monkeypatch)

        def call(command: str, *words: str) -> Result:
            return CliRunner().invoke(main, ["inspect", command, self.state.uri, *words])

        return call


def answer(result: Result) -> dict[str, Any]:
    """The JSON document of a command that went well."""
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def refusal(result: Result) -> str:
    """The one line of a command that could not do it."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line.removeprefix("livetower inspect: ")


def examples(command: Any) -> list[list[str]]:
    """The words of every example in a command's epilog, behind `livetower inspect`."""
    lines = [line.strip() for line in command.epilog.splitlines()]
    found = [
        shlex.split(line.removeprefix("livetower inspect ")) for line in lines if line.startswith("livetower inspect ")
    ]
    assert found
    return found
