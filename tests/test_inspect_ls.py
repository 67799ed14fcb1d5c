"""`livetower inspect ls`: kinds, sizes, what is missing, and the newest state that a job could start from."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from stored_states import KINDS, unpacked

from livetower.cli import main

SECOND = 1_000_000_000


@pytest.fixture
def states(tmp_path):
    """Three states, written a second after the other; the checkpoint was moved, so that Flink would miss its files."""
    places = [unpacked(way, tmp_path / way) for way in ("canonical", "native", "incremental")]
    for n, place in enumerate(places):
        os.utime(place / "_metadata", ns=((1_000 + n) * SECOND,) * 2)
    return tmp_path


def listed(directory: Path) -> list[dict]:
    run = CliRunner().invoke(main, ["inspect", "ls", str(directory), "--json"])
    assert run.exit_code == 0, run.output
    return json.loads(run.stdout)


def test_the_newest_comes_first_with_kind_and_time(states):
    found = listed(states)
    assert [state["kind"] for state in found] == [KINDS[way] for way in ("incremental", "native", "canonical")]
    assert [state["written"] for state in found] == [f"1970-01-01T00:16:4{n}+00:00" for n in (2, 1, 0)]


def test_the_newest_complete_one_is_marked(states):
    assert [state["newest_restorable"] for state in listed(states)] == [False, True, False]


def test_a_state_with_missing_files_says_which(states):
    incremental, native, canonical = listed(states)
    assert "is missing" in incremental["trouble"]
    assert (native["trouble"], canonical["trouble"]) == ("", "")


def test_the_size_is_that_of_all_files(states):
    native = listed(states)[1]
    files = [path for path in (states / "native").rglob("*") if path.is_file()]
    assert native["bytes_"] == sum(path.stat().st_size for path in files)


def test_a_checkpoint_that_was_never_completed_is_listed(tmp_path):
    (tmp_path / "job" / "chk-3").mkdir(parents=True)
    (state,) = listed(tmp_path)
    assert (state["kind"], state["checkpoint_id"], state["newest_restorable"]) == ("unreadable", None, False)
    assert "never completed" in state["trouble"]


def test_without_json_it_is_a_table(states):
    run = CliRunner().invoke(main, ["inspect", "ls", str(states)])
    assert run.exit_code == 0
    lines = [line for line in run.stdout.splitlines() if " savepoint " in line or " checkpoint " in line]
    assert ["→" in line for line in lines] == [False, True, False]
    assert "native savepoint" in lines[1]


def test_a_directory_without_states_is_one_line_and_exit_code_2(tmp_path):
    run = CliRunner().invoke(main, ["inspect", "ls", str(tmp_path)])
    assert run.exit_code == 2
    assert "LT-INS-101" in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_the_example_of_the_help_runs(states, monkeypatch):
    help_text = CliRunner().invoke(main, ["inspect", "ls", "--help"]).output
    (example,) = [line.split() for line in help_text.splitlines() if line.strip().startswith("livetower inspect ls")]
    (states / ".livetower" / "sandbox").mkdir(parents=True)
    (states / ".livetower" / "sandbox" / "checkpoints").symlink_to(states / "incremental")
    monkeypatch.chdir(states)
    run = CliRunner().invoke(main, example[1:])
    assert run.exit_code == 0, run.output
    assert "incremental checkpoint" in run.stdout
