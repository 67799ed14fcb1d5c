"""`livetower inspect users`: who is chosen, in which order, and what is said of each."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from fake_learned_state import TOUCHED_MS, FakeLearnedState
from inspected import answer, examples, refusal
from made_up import NOW_MS

from livetower.cli import main
from livetower.inspect.users import users
from models.hashing import hash_id
from models.user_state import UserState, encode_user_state

MINUTE_MS = 60_000
N = 300


def made(n: int) -> UserState:
    """A user whose norm is n: 7 n mod 50 events, the newest n minutes before NOW_MS, n mod 13 consumed items."""
    embedding = np.zeros(8, np.float32)
    embedding[n % 8] = n
    consumed = np.array([hash_id(f"i{each}") for each in range(n % 13)], np.int64)
    return UserState(
        embedding,
        user_since_ms=NOW_MS - 10**9,
        user_seq=7 * n % 50,
        positives=n,
        newest_event_ms=NOW_MS - MINUTE_MS * n,
        consumed=consumed,
        consumed_day=np.zeros(len(consumed), np.uint32),
    )


STATES = {f"user{n:03}": made(n) for n in range(N)}


@pytest.fixture
def state():
    state = FakeLearnedState()
    for user_id in sorted(STATES, key=hash_id):  # in no order of ours
        state.keep_user(user_id, STATES[user_id])
    state.estimate = 321
    return state


@pytest.fixture
def run(state, monkeypatch):
    state.opens(monkeypatch)

    def call(*words: str):
        return CliRunner().invoke(main, ["inspect", "users", state.uri, "--at", str(NOW_MS), *words])

    return call


def ids(result) -> list[str]:
    return [user["user_id"] for user in answer(result)["users"]]


KEYS = {
    "norm": lambda s: float(s.embedding.sum()),
    "events": lambda s: s.user_seq,
    "age": lambda s: -s.newest_event_ms,
    "consumed": lambda s: len(s.consumed),
    "bytes": lambda s: len(encode_user_state(s)),
}


@pytest.mark.parametrize("order", KEYS)
@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("limit", [0, 1, 7, 20, 1_000])
def test_the_order_is_that_of_the_key_and_equal_ones_stand_by_their_id(run, order, ascending, limit):
    sign = 1 if ascending else -1
    expected = sorted(STATES, key=lambda user_id: (sign * KEYS[order](STATES[user_id]), user_id))
    words = ["--json", "--sort", order, "--limit", str(limit), *(["--ascending"] if ascending else [])]
    assert ids(run(*words)) == expected[: limit or None]


def test_the_order_does_not_depend_on_where_batches_end(run, state, monkeypatch):
    from livetower.inspect import chosen_users, user_columns

    expected = ids(run("--json", "--sort", "events", "--limit", "30"))
    for size in (1, 7, 64):
        monkeypatch.setattr(
            chosen_users, "column_batches", lambda users, size=size: user_columns.column_batches(users, size)
        )
        assert ids(run("--json", "--sort", "events", "--limit", "30")) == expected


def test_every_number_is_the_states_own(run, state):
    user_id, known = "user123", STATES["user123"]
    (found,) = answer(run("--json", "--match", user_id))["users"]
    assert found == {
        "user_id": user_id,
        "user_since_ms": NOW_MS - 10**9,
        "newest_event_ms": known.newest_event_ms,
        "positives": 123,
        "late": 0,
        "no_table": 0,
        "forgotten": 0,
        "events": 7 * 123 % 50,
        "norm": 123.0,
        "finite": True,
        "consumed": 123 % 13,
        "bytes": len(encode_user_state(known)),
        "age_ms": 123 * MINUTE_MS,
        "touched_ms": TOUCHED_MS,
    }
    state.without_time_to_live()
    assert answer(run("--json", "--match", user_id))["users"][0]["touched_ms"] is None


def test_without_an_order_the_first_of_the_files_come_and_no_more_are_read(run, state, monkeypatch):
    read = []

    def counted():
        for user in state.kept_users.values():
            read.append(user.user_id)
            yield user

    monkeypatch.setattr(state, "users", counted)
    assert ids(run("--json", "--limit", "5")) == list(state.kept_users)[:5]
    assert len(read) < N


@pytest.mark.parametrize(
    ("words", "is_wanted"),
    [
        (["--match", "user0?1"], lambda user_id, s: user_id.startswith("user0") and user_id.endswith("1")),
        (["--match", "*9"], lambda user_id, s: user_id.endswith("9")),
        (["--match", "USER*"], lambda user_id, s: False),
        (["--min-events", "40"], lambda user_id, s: s.user_seq >= 40),
        (["--older-than", "2h"], lambda user_id, s: s.newest_event_ms < NOW_MS - 120 * MINUTE_MS),
        (["--older-than", "0.5h", "--min-events", "49"], lambda _, s: s.user_seq == 49 and s.positives > 30),
    ],
)
def test_conditions_choose(run, words, is_wanted):
    expected = {user_id for user_id, known in STATES.items() if is_wanted(user_id, known)}
    assert set(ids(run("--json", "--limit", "0", *words))) == expected
    assert set(ids(run("--json", "--limit", "0", "--sort", "norm", *words))) == expected


def test_numbers_that_are_not_finite_are_found_and_stand_first(run, state):
    sick = replace(made(3), embedding=np.full(8, np.nan, np.float32))
    state.keep_user("sick", sick)
    (found,) = answer(run("--json", "--not-finite"))["users"]
    assert (found["user_id"], found["finite"], found["norm"]) == ("sick", False, None)
    assert ids(run("--json", "--sort", "norm", "--limit", "2")) == ["sick", "user299"]
    assert "not finite" in run("--not-finite").stdout


def test_lines_are_the_users_of_the_document(run):
    result = run("--lines", "--sort", "age", "--limit", "3")
    assert result.exit_code == 0, result.output
    document = answer(run("--json", "--sort", "age", "--limit", "3"))
    assert [json.loads(line) for line in result.stdout.splitlines()] == document["users"]
    assert document["users_estimate"] == 321


def test_for_people_it_is_a_table(run):
    result = run("--sort", "age", "--limit", "1")
    assert result.exit_code == 0, result.output
    heading, row = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert heading == "user events positive norm consumed size age newest event"
    assert row == f"user299 43 299 299.0000 0 {len(encode_user_state(made(299)))} B 4 h 2025-10-09 03:54:20 UTC"
    assert run("--match", "nobody").stdout.endswith("no such user\n")


def test_a_state_that_cannot_be_read_is_named_and_the_others_come(run, state):
    state.keep_blob("broken", b"garbage")
    result = run("--json", "--sort", "norm", "--limit", "1")
    assert [user["user_id"] for user in json.loads(result.stdout)["users"]] == ["user299"]
    assert result.stderr.startswith("user 'broken': a user state must start with b'LTU2'")


def test_no_users_are_no_trouble(run, state):
    state.kept_users.clear()
    assert answer(run("--json", "--sort", "norm"))["users"] == []


@pytest.mark.parametrize("duration", ["2", "h", "-1h", "2w", ""])
def test_a_duration_without_a_unit_is_refused(run, duration):
    result = run("--older-than", duration)
    assert result.exit_code == 2
    assert "a number with s, m, h or d was needed" in result.stderr


def test_a_path_without_a_checkpoint_is_one_line(state, monkeypatch):
    state.opens(monkeypatch)
    assert refusal(CliRunner().invoke(main, ["inspect", "users", "/nowhere"])).startswith("LT-INS-101: ")


def test_the_examples_in_its_help_run(state, monkeypatch):
    for words in examples(users):
        state.uri = words[1]
        state.opens(monkeypatch)
        result = CliRunner().invoke(main, ["inspect", *words])
        assert result.exit_code == 0, result.output
