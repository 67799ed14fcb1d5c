"""`livetower inspect export`: pandas and numpy read back what decode_user_state gives, to the bit."""

import json
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from fake_learned_state import FakeLearnedState
from test_user_columns import made_up_users
from worlds import BORDER, MODEL, TOWER, feed, item_input, tower_inputs

from livetower.cli import main
from livetower.inspect import export as module
from livetower.inspect.errors import InspectError
from livetower.inspect.export import EPILOG, export_state
from livetower.inspect.reading import StoredUser
from models.hashing import hash_id
from models.settings import OPTIMIZERS
from models.tower_stream import TowerStream
from models.user_state import UserState, decode_user_state

KNOWN = 20
"""Items i0 … i19 are in the tower's catalogue; users have met more."""
NUMBERS = ("user_since_ms", "user_seq", "positives", "newest_event_ms", "late", "no_table", "forgotten")
REST = ("rating_sum", "rating_count", "accumulator", "steps")
LISTS = ("recent", "recent_ms", "consumed", "consumed_day", "event_ids", "last_list", "moments")


@cache
def trained() -> TowerStream:
    names = [item_input(f"i{n}", title=f"Ö {n}", category=f"c{n % 3}") for n in range(KNOWN)]
    return feed(TowerStream(MODEL, TOWER), [*names, *tower_inputs(60, n_items=KNOWN), BORDER])


def filled() -> FakeLearnedState:
    state = FakeLearnedState()
    for user in made_up_users():
        state.keep_blob(user.user_id, user.blob, user.touched_ms)
    state.keep_tower(trained())
    return state


def users_of(state: FakeLearnedState) -> Iterator[tuple[StoredUser, UserState]]:
    return ((user, decode_user_state(user.blob)) for user in state.users())


def ids_of(hashes: np.ndarray) -> list[str | None]:
    known = {hash_id(f"i{n}"): f"i{n}" for n in range(KNOWN)}
    return [known.get(item) for item in hashes.tolist()]


def row_of(user: StoredUser, state: UserState) -> dict[str, Any]:
    """What a reader must find of a user."""
    row: dict[str, Any] = {"user_id": user.user_id, "touched_ms": user.touched_ms, "blob_bytes": len(user.blob)}
    row |= {name: getattr(state, name) for name in (*NUMBERS, *REST)}
    row |= {"optimizer": OPTIMIZERS[state.optimizer], "embedding": state.embedding.tolist()}
    row |= {name: getattr(state, name).tolist() for name in LISTS}
    return row | {f"{name}_ids": ids_of(getattr(state, name)) for name in ("recent", "consumed", "last_list")}


def expected_rows(state: FakeLearnedState) -> list[dict[str, Any]]:
    return [row_of(*each) for each in users_of(state)]


def without_norm(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for row in rows:
        assert row.pop("norm") == pytest.approx(float(np.linalg.norm(row["embedding"])), rel=1e-6)
    return rows


@pytest.fixture(params=[4, 1_000])
def batch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users in several batches, or in one."""
    monkeypatch.setattr(module, "BATCH", request.param)


@pytest.mark.usefixtures("batch")
def test_parquet_gives_back_every_value_of_every_user(tmp_path: Path) -> None:
    state = filled()
    written = export_state(state, tmp_path, "parquet")
    assert written == {tmp_path / "users.parquet": 27, tmp_path / "items.parquet": trained().tower.rows.n}
    table = pq.read_table(tmp_path / "users.parquet")
    assert without_norm(table.to_pylist()) == expected_rows(state)
    assert str(table.schema.field("embedding").type) == "fixed_size_list<element: float>[8]"


def test_pandas_opens_the_parquet_files(tmp_path: Path) -> None:
    state = filled()
    export_state(state, tmp_path, "parquet")
    users = pd.read_parquet(tmp_path / "users.parquet")
    expected = expected_rows(state)
    assert users.user_id.tolist() == [row["user_id"] for row in expected]
    assert np.stack(users.embedding.tolist()).tolist() == [row["embedding"] for row in expected]
    assert [each.tolist() for each in users.consumed] == [row["consumed"] for row in expected]
    assert users.touched_ms.isna().sum() == 14
    items = pd.read_parquet(tmp_path / "items.parquet")
    rows = trained().tower.rows
    assert np.array_equal(np.stack(items.vector.tolist()), rows.vectors[: rows.n])
    assert items.item_hash.tolist() == rows.hashes[: rows.n].tolist() == [hash_id(name) for name in items.item_id]
    assert items.title[3].startswith("Ö ")
    assert np.array_equal(np.stack(items.popularity.tolist()), rows.counts[: rows.n])
    for column, name in (("bias", "biases"), ("events", "events"), ("last_event", "last_event"), ("available",) * 2):
        assert items[column].tolist() == getattr(rows, name)[: rows.n].tolist()


@pytest.mark.usefixtures("batch")
def test_numpy_gives_back_every_value_of_every_user(tmp_path: Path) -> None:
    state = filled()
    export_state(state, tmp_path, "npz")
    with np.load(tmp_path / "users.npz", allow_pickle=False) as file:
        arrays = dict(file)

    def lists(name: str) -> list[Any]:
        ends = arrays[f"{name}_offsets"].tolist()
        return [arrays[name][begin:end] for begin, end in pairwise(ends)]

    expected = expected_rows(state)
    for name in (*NUMBERS, *REST, "blob_bytes", "embedding"):
        assert arrays[name].tolist() == [row[name] for row in expected], name
    for name in LISTS:
        assert [each.tolist() for each in lists(name)] == [row[name] for row in expected], name
    for name in ("user_id", "optimizer"):
        assert [bytes(each).decode() for each in lists(name)] == [row[name] for row in expected]
    assert arrays["touched_ms"].tolist() == [-1 if row["touched_ms"] is None else row["touched_ms"] for row in expected]
    with np.load(tmp_path / "items.npz", allow_pickle=False) as file:
        assert np.array_equal(file["vector"], trained().tower.rows.vectors[: trained().tower.rows.n])


@pytest.mark.usefixtures("batch")
def test_json_lines_give_back_every_value_of_every_user(tmp_path: Path) -> None:
    state = filled()
    export_state(state, tmp_path, "jsonl")
    rows = [json.loads(line) for line in (tmp_path / "users.jsonl").read_text().splitlines()]
    for row in rows:  # JSON carries the shortest digits of a float32
        for name in ("embedding", "moments"):
            row[name] = np.array(row[name], np.float32).tolist()
    assert without_norm(rows) == expected_rows(state)
    items = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert {item["item_id"] for item in items} == {f"i{n}" for n in range(KNOWN)}


@pytest.mark.parametrize("format_name", ["parquet", "npz", "jsonl"])
def test_a_state_without_users_or_tower_is_a_file_without_rows(format_name: str, tmp_path: Path) -> None:
    assert export_state(FakeLearnedState(), tmp_path, format_name) == {tmp_path / f"users.{format_name}": 0}
    assert [file.name for file in tmp_path.iterdir()] == [f"users.{format_name}"]
    if format_name == "parquet":
        assert pd.read_parquet(tmp_path / "users.parquet").empty


@pytest.mark.parametrize("format_name", ["parquet", "npz", "jsonl"])
def test_a_user_that_cannot_be_read_ends_it_and_leaves_the_earlier_export_as_it_was(
    format_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 4)
    state = filled()
    export_state(state, tmp_path, format_name)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    state.keep_blob("broken", b"LTU2broken")
    with pytest.raises(InspectError, match="user 'broken'") as raised:
        export_state(state, tmp_path, format_name, force=True)
    assert raised.value.code == "LT-INS-201"
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_an_earlier_export_is_written_over_only_by_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = filled()
    state.opens(monkeypatch)
    command = ["inspect", "export", state.uri, "--out", str(tmp_path / "new" / "place")]
    assert CliRunner().invoke(main, command).exit_code == 0
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 2
    assert "LT-INS-306" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    again = CliRunner().invoke(main, [*command, "--force", "--json"])
    assert [each["rows"] for each in json.loads(again.stdout)["files"]] == [27, trained().tower.rows.n]


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InspectError) as raised:
        export_state(filled(), tmp_path / "file" / "below", "parquet")
    assert raised.value.code == "LT-INS-305"


def test_the_examples_of_the_help_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    state = filled()
    state.opens(monkeypatch)
    monkeypatch.chdir(tmp_path)
    examples = [line.split()[1:] for line in EPILOG.splitlines() if line.strip().startswith("livetower")]
    assert len(examples) == 3
    for example in examples:
        done = CliRunner().invoke(main, [state.uri if word == "PATH" else word for word in example])
        assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "learned").iterdir())) == 6
