"""`livetower inspect summary`: what a checkpoint holds, at one look."""

import orjson
import pytest
from click.testing import CliRunner
from inspected import FILE, TOWER, Lived, answer, examples, refusal
from made_up import ITEMS, MODEL, NOW_MS, announcement, delta, example, popularity_update
from mock_kafka import MockKafka

from livetower.cli import main
from livetower.inspect.reading import StateSize
from livetower.inspect.summary import summary
from livetower.operations.metadata import OperatorInState
from models.commands import Command, CommandKind, encode_command
from models.tower_stream import InputKind, TowerInput, TowerStream

SIZES = [
    StateSize("learn-and-recommend", "user", "value", 900, 2),
    StateSize("learn-and-recommend", "item-snapshots", "broadcast", 100, 1),
    StateSize("train-item-tower", "log", "map", 1_500, None),
]


@pytest.fixture
def job(tmp_path):
    job = Lived(tmp_path / "s", "model.loss=bce")
    job.state.state_sizes = SIZES
    job.state.kept_offsets = {("interactions", 1): 40, ("interactions", 0): 30, ("items", 0): 5}
    return job


@pytest.fixture
def run(job, monkeypatch):
    return job.runner(monkeypatch)


def test_operators_come_with_their_states(run, job):
    job.state.metadata.operators[0].files.append(job.state.metadata.operators[0].files[0])  # a file named twice
    found = answer(run("summary", "--json"))
    assert (found["checkpoint"], found["checkpoint_id"]) == (job.state.uri, 7)
    learn, train = found["operators"]
    assert learn == {
        "uid": "learn-and-recommend",
        "name": "learn-and-recommend",
        "parallelism": 2,
        "max_parallelism": 128,
        "bytes": 1_000,
        "states": [
            {"name": "user", "kind": "value", "bytes": 900, "entries": 2},
            {"name": "item-snapshots", "kind": "broadcast", "bytes": 100, "entries": 1},
        ],
    }
    assert (train["parallelism"], train["bytes"]) == (1, 2_000)
    assert train["states"] == [{"name": "log", "kind": "map", "bytes": 1_500, "entries": None}]


def test_an_operator_without_state_is_left_out(run, job):
    stateless = OperatorInState("sink", "sink-recommendations", 2, 128)
    object.__setattr__(job.state.metadata, "operators", (*job.state.metadata.operators, stateless))
    assert [each["uid"] for each in answer(run("summary", "--json"))["operators"]] == [
        "learn-and-recommend",
        "train-item-tower",
    ]


def test_users_are_an_estimate_unless_they_are_counted(run, job):
    job.state.estimate = 5
    assert answer(run("summary", "--json"))["users"] == {"number": 5, "exact": False}
    assert answer(run("summary", "--json", "--exact"))["users"] == {"number": 2, "exact": True}
    job.state.estimate = None
    assert answer(run("summary", "--json"))["users"] == {"number": None, "exact": False}
    assert "users       unknown: --exact counts them" in run("summary").stdout


def test_the_tower_is_told_as_it_was_written_and_what_its_log_holds_since(run, job):
    stream = TowerStream(MODEL, TOWER)
    inputs = [TowerInput(InputKind.ITEM, orjson.dumps({"item_id": item_id})) for item_id in ITEMS]
    inputs += [TowerInput(InputKind.EXAMPLE, example(n, ITEMS[n])) for n in range(8)]
    inputs.append(TowerInput(InputKind.COMMAND, encode_command(Command(CommandKind.FULL_REFRESH, "c1"))))
    for number, entry in enumerate(inputs, 1):
        stream.accept(entry)
        job.state.keep_input(number, entry)
    job.state.keep_tower(stream, job.settings)
    for n in range(3):
        job.state.keep_input(len(inputs) + 1 + n, TowerInput(InputKind.EXAMPLE, example(n, ITEMS[n])))
    tower = answer(run("summary", "--json"))["tower"]
    expected = {"epoch": 1, "inputs": 39, "examples": 8, "items": 30, "waiting": 0, "dimension": 8}
    assert {name: tower[name] for name in expected} == expected
    assert tower["logged_since"] is None
    assert answer(run("summary", "--json", "--exact"))["tower"]["logged_since"] == 3


def test_a_tower_that_was_never_written_is_none(run, job):
    job.state.kept_progress = None
    found = answer(run("summary", "--json"))
    assert (found["tower"], found["settings"], found["settings_changed"]) == (None, None, None)
    text = run("summary").stdout
    assert "item tower  not written yet" in text
    assert "settings: its job did not tell them" in text


def test_the_snapshots_are_those_that_the_state_names(run, job):
    changed = delta(8, 11, 2.0)
    job.state.announce(
        announcement(changed, 8, kind="delta", base=job.blob),
        announcement(newer := popularity_update(9, 12, 5.0), 9, kind="popularity", base=changed),
    )
    snapshot = answer(run("summary", "--json"))["snapshot"]
    assert snapshot["full"]["file"] == FILE
    assert (snapshot["full"]["epoch"], snapshot["full"]["trained_events"], snapshot["full"]["items"]) == (0, 7, 30)
    assert (snapshot["full"]["created_ms"], snapshot["full"]["sha256"]) == (NOW_MS + 7, job.announcement.sha256)
    assert [each["trained_events"] for each in snapshot["deltas"]] == [8]
    assert snapshot["popularity"]["inline_bytes"] == len(newer)
    job.state.announced.clear()
    assert answer(run("summary", "--json"))["snapshot"] == {"full": None, "deltas": [], "popularity": None}


def test_the_settings_are_told_and_those_that_are_not_the_defaults_stand_apart(run, job):
    found = answer(run("summary", "--json"))
    assert found["settings"] == job.settings
    assert found["settings_changed"] == {
        "job.snapshot_root": str(job.root),
        "model.dimension": 8,
        "model.negatives": 10,
        "model.top_k": 5,
        "model.loss": "bce",
    }


def test_offsets_stand_by_partition_and_without_brokers_nobody_knows_the_lag(run):
    assert answer(run("summary", "--json"))["offsets"] == [
        {"topic": "interactions", "partition": 0, "offset": 30, "end": None, "lag": None},
        {"topic": "interactions", "partition": 1, "offset": 40, "end": None, "lag": None},
        {"topic": "items", "partition": 0, "offset": 5, "end": None, "lag": None},
    ]


def test_with_brokers_the_lag_is_what_has_come_since(run, job):
    kafka = MockKafka()
    for n in range(7):
        kafka.send("interactions", f"user{n}", b"{}")
    ends = {}
    for n in range(7):
        from livetower.consume.partition import partition_of

        partition = partition_of(f"user{n}".encode(), 4)
        ends[partition] = ends.get(partition, 0) + 1
    job.state.kept_offsets = {("interactions", partition): 0 for partition in range(4)}
    found = answer(run("summary", "--json", "--bootstrap-servers", kafka.bootstrap_servers))
    assert {each["partition"]: each["lag"] for each in found["offsets"]} == {n: ends.get(n, 0) for n in range(4)}
    assert sum(each["end"] for each in found["offsets"]) == 7


def test_brokers_that_do_not_answer_are_one_line(run, monkeypatch):
    from livetower.inspect import kafka_ends

    monkeypatch.setattr(kafka_ends, "WAIT_S", 0.1)
    line = refusal(run("summary", "--bootstrap-servers", "127.0.0.1:1"))
    assert line.startswith("LT-INS-314: 127.0.0.1:1: the ends of the topics were needed; got ")


def test_for_people_it_is_one_page(run):
    result = run("summary")
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "users about 2" in lines
    assert "learn-and-recommend 2 128 user value 900 B 2" in lines
    assert "item-snapshots broadcast 100 B 1" in lines
    assert "interactions 0 30" in lines
    assert "model.loss = bce" in lines
    assert any(line.startswith("snapshot 0-7 of 30 items, 2025-10-09 08:53:20 UTC") for line in lines)


def test_progress_that_cannot_be_read_is_one_line(run, job):
    job.state.kept_progress = b"garbage"
    assert refusal(run("summary")).startswith(f"LT-INS-201: {job.state.uri}: the tower's progress cannot be read: ")


def test_the_example_in_its_help_runs(job, monkeypatch):
    for words in examples(summary):
        job.state.uri = words[1]
        job.state.opens(monkeypatch)
        result = CliRunner().invoke(main, ["inspect", *words])
        assert result.exit_code == 0, result.output
