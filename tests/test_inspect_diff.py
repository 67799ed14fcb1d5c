"""`livetower inspect diff`: known changes are found, by name and by number."""

import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from fake_learned_state import FakeLearnedState
from worlds import BORDER, MODEL, TOWER, example, example_input, feed, item_input, tower_inputs

from livetower.cli import main
from livetower.inspect import diff as module
from livetower.inspect import user_columns
from livetower.inspect.diff import EPILOG, diff_of, moves_of
from livetower.inspect.errors import InspectError
from models.tower_stream import TowerStream
from models.user_state import UserState, new_user_state

OLD, NEW = "file:///made-up/chk-7", "file:///made-up/chk-8"


def learned(*vector: float, **fields: Any) -> UserState:
    """A state with this embedding, the rest zeros."""
    embedding = np.zeros(4, np.float32)
    embedding[: len(vector)] = vector
    return replace(new_user_state(4, 100), embedding=embedding, **fields)


def two_states() -> tuple[FakeLearnedState, FakeLearnedState]:
    """Of each kind of change one user; their names say which."""
    old, new = FakeLearnedState(uri=OLD), FakeLearnedState(uri=NEW)
    old.keep_user("same", learned(1, 1, user_seq=3))
    new.keep_user("same", learned(1, 1, user_seq=3))
    old.keep_user("turned", learned(3, user_seq=3))
    new.keep_user("turned", learned(0, 4, user_seq=5))
    old.keep_user("grown", learned(1, user_seq=3))
    new.keep_user("grown", learned(2, user_seq=4))
    old.keep_user("viewed", learned(1, user_seq=3))
    new.keep_user("viewed", learned(1, user_seq=9))
    old.keep_user("gone", learned(1, user_seq=6))
    new.keep_user("added", learned(1, user_seq=2))
    old.keep_user("anew", learned(1, user_seq=8))
    new.keep_user("anew", learned(1.5, user_seq=1, user_since_ms=900))
    return old, new


@pytest.fixture(params=[1, 2, 4_096])
def batch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users come so many at a time, without an effect on what is found."""
    whole = user_columns.column_batches
    monkeypatch.setattr(module, "column_batches", lambda users: whole(users, request.param))


@pytest.mark.usefixtures("batch")
def test_every_kind_of_change_is_found_and_named() -> None:
    users = diff_of(*two_states())["users"]
    assert (users["before"], users["after"]) == (6, 6)
    assert users["added"] == {"count": 1, "named": [{"user_id": "added", "events": 2}]}
    assert users["gone"] == {"count": 1, "named": [{"user_id": "gone", "events": 6}]}
    assert users["began_anew"] == {"count": 1, "named": [{"user_id": "anew"}]}
    assert (users["changed"], users["unchanged"]) == (4, 1)
    turned, grown, anew = users["moved_most"]
    assert turned == {
        "user_id": "turned",
        "events": 2,
        "moved": 5.0,  # from (3, 0) to (0, 4)
        "cosine": 0.0,
        "norm_before": 3.0,
        "norm_after": 4.0,
    }
    assert (grown["user_id"], grown["moved"], grown["cosine"]) == ("grown", 1.0, 1.0)
    assert (anew["user_id"], anew["events"]) == ("anew", -7)
    assert users["spread"]["moved"]["max"] == 5.0
    assert users["spread"]["events"]["max"] == 6


@pytest.mark.usefixtures("batch")
def test_no_more_are_named_than_asked_for_and_all_are_counted() -> None:
    old, new = FakeLearnedState(uri=OLD), FakeLearnedState(uri=NEW)
    for n in range(30):
        old.keep_user(f"old{n}", learned(1))
        new.keep_user(f"new{n}", learned(1))
        old.keep_user(f"both{n}", learned(1))
        new.keep_user(f"both{n}", learned(1 + n))
    users = diff_of(old, new, limit=3)["users"]
    assert [each["user_id"] for each in users["moved_most"]] == ["both29", "both28", "both27"]
    for kind in ("added", "gone"):
        assert users[kind]["count"] == 30
        assert len(users[kind]["named"]) == 3


def test_a_state_is_no_different_from_itself() -> None:
    old, _ = two_states()
    old.keep_user("sick", learned(float("nan")))
    users = diff_of(old, old)["users"]
    assert (users["changed"], users["unchanged"], users["moved_most"]) == (0, 7, [])
    assert users["added"]["count"] == users["gone"]["count"] == 0


@pytest.mark.usefixtures("batch")
def test_a_user_that_cannot_be_read_is_neither_gone_nor_added() -> None:
    old, new = two_states()
    new.keep_blob("turned", b"junk")
    old.keep_blob("grown", b"junk")
    users = diff_of(old, new)["users"]
    assert users["unreadable"] == {"before": 1, "after": 1}
    assert [each["user_id"] for each in users["gone"]["named"]] == ["gone"]
    assert [each["user_id"] for each in users["added"]["named"]] == ["added"]
    assert users["changed"] + users["unchanged"] == 3


def test_vectors_that_are_not_finite_do_not_count_as_moved_and_the_json_has_no_nan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = two_states()
    old.keep_user("sick", learned(float("inf")))
    new.keep_user("sick", learned(1))
    old.keep_user("zero", learned(0))
    new.keep_user("zero", learned(9))
    old.opens(monkeypatch, new)

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is no JSON")

    done = CliRunner().invoke(main, ["inspect", "diff", OLD, NEW, "--json"])
    users = json.loads(done.stdout, parse_constant=refuse)["users"]
    assert (users["moved_most"][0]["user_id"], users["moved_most"][0]["cosine"]) == ("zero", None)
    assert "sick" not in [each["user_id"] for each in users["moved_most"]]


def test_states_of_other_dimensions_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = two_states()
    new.kept_users.clear()
    new.keep_user("same", new_user_state(8, 0))
    old.opens(monkeypatch, new)
    done = CliRunner().invoke(main, ["inspect", "diff", OLD, NEW])
    assert done.exit_code == 2
    assert "LT-INS-307" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_nobody_before_or_after_is_no_trouble() -> None:
    empty, (old, _) = FakeLearnedState(), two_states()
    assert diff_of(empty, old)["users"]["added"]["count"] == 6
    assert diff_of(old, empty)["users"]["gone"]["count"] == 6
    assert diff_of(empty, empty)["users"]["spread"]["moved"] is None


# ---- items and the job ---------------------------------------------------------------------------


@cache
def towers() -> tuple[FakeLearnedState, FakeLearnedState]:
    """A tower before and after more examples and one more item; its item i0 has a title."""
    old, new = FakeLearnedState(uri=OLD), FakeLearnedState(uri=NEW)
    stream = TowerStream(MODEL, TOWER)
    names = [item_input(f"i{n}") for n in range(1, 40)]
    feed(stream, [*names, *tower_inputs(100), item_input("i0", title="Vertigo"), BORDER])
    old.keep_tower(stream, {"model": {"rho": 0.7, "seed": 0}, "tower": {"batch": 8}})
    more = [example_input(example(item="i0", recent=("i1",), seed=n)) for n in range(40)]
    feed(stream, [item_input("late", title="Later"), *more, BORDER])
    new.keep_tower(stream, {"model": {"rho": 0.6, "seed": 0}, "job": {"name": "x"}})
    old.kept_offsets = {("interactions", 0): 100, ("items", 0): 7}
    new.kept_offsets = {("interactions", 0): 140, ("interactions", 1): 5, ("items", 0): 8}
    old.kept_offsets["commands", 0] = new.kept_offsets["commands", 0] = -3  # Flink's word for: from the group's offset
    return old, new


def test_items_that_came_and_moved_have_their_titles() -> None:
    items = diff_of(*towers())["items"]
    assert items["after"] == items["before"] + 1
    assert items["added"] == {"count": 1, "named": [{"item_id": "late", "title": "Later"}]}
    assert items["gone"]["count"] == 0
    (vertigo,) = [each for each in items["moved_most"] if each["item_id"] == "i0"]
    assert (vertigo["title"], vertigo["events"]) == ("Vertigo", 40)
    back = diff_of(*reversed(towers()))["items"]
    assert back["gone"] == items["added"]
    assert back["moved_most"][0]["moved"] == items["moved_most"][0]["moved"]


def test_training_offsets_and_settings_are_told_before_and_after() -> None:
    found = diff_of(*towers())
    assert found["tower"]["epoch"] == [0, 0]
    before, after = found["tower"]["inputs"]
    assert after - before == 42
    assert found["settings"] == {
        "known": True,
        "changed": {"job.name": [None, "x"], "model.rho": [0.7, 0.6], "tower.batch": [8, None]},
    }
    rows = [tuple(each.values()) for each in found["offsets"]]
    nothing = ("commands", 0, None, None, None)
    assert rows == [
        nothing,
        ("interactions", 0, 100, 140, 40),
        ("interactions", 1, None, 5, None),
        ("items", 0, 7, 8, 1),
    ]


def test_without_a_tower_items_and_settings_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = two_states()
    found = diff_of(old, new)
    assert found["items"] is None
    assert found["settings"] == {"known": False, "changed": {}}
    assert found["tower"] == {"epoch": [None, None], "inputs": [None, None], "examples": [None, None]}
    old.opens(monkeypatch, new)
    printed = CliRunner().invoke(main, ["inspect", "diff", OLD, NEW]).stdout
    assert "no item tower yet" in printed
    assert "Settings: not known of both." in printed


def test_the_examples_of_the_help_run(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = towers()
    old.opens(monkeypatch, new)
    examples = [line.split()[1:] for line in EPILOG.splitlines() if line.strip().startswith("livetower")]
    assert len(examples) == 2
    places = {"A": OLD, "B": NEW}
    printed = [CliRunner().invoke(main, [places.get(word, word) for word in each]) for each in examples]
    assert [each.exit_code for each in printed] == [0, 0]
    assert "Vertigo" in printed[0].stdout
    assert "model.rho: 0.7 → 0.6" in printed[0].stdout
    assert json.loads(printed[1].stdout)["b"]["uri"] == NEW


def test_moves_are_lengths_and_cosines_to_the_last_digit() -> None:
    rng = np.random.default_rng(3)
    before, after = rng.normal(size=(2, 20, 7)).astype(np.float32)
    moves = moves_of(before, after)
    for n in range(20):
        b, a = before[n].astype(np.float64), after[n].astype(np.float64)
        assert moves.moved[n] == pytest.approx(np.linalg.norm(a - b), rel=1e-12)
        assert moves.cosine[n] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), rel=1e-12)


def test_towers_of_other_dimensions_are_refused() -> None:
    old, _ = towers()
    other = FakeLearnedState(uri=NEW)
    other.keep_tower(feed(TowerStream(replace(MODEL, dimension=4), TOWER), [item_input("i0")]))
    with pytest.raises(InspectError) as raised:
        diff_of(old, other)
    assert raised.value.code == "LT-INS-307"
