"""`livetower recommend` and `livetower why` as people and programs call them, on librdkafka's own mock broker."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner, Result
from made_up import item
from mock_kafka import MockKafka

from livetower import recommend as command
from livetower.cli import main
from models.records import Clock, Recommendation, RecommendedItem, encode_recommendation
from models.strategies import Strategy

EMITTED_MS = 1_760_000_000_000
ITEMS = (
    RecommendedItem("i2", 2.0, 0.5, 0.25, 1.5, -0.25, 0, 0, 0, "i1"),
    RecommendedItem("i3", 1.0, 0.0, 0.0, 1.0, 0, 0, 0, 0, None),
)
LIST = Recommendation("ada", 10, 7, "web-3", ITEMS, Strategy.HYBRID, 0, 500, EMITTED_MS - 133)
CLOCK = Clock(EMITTED_MS - 1_030, EMITTED_MS - 30, EMITTED_MS - 2, EMITTED_MS)


@pytest.fixture(scope="module")
def kafka():
    broker = MockKafka()
    for made in (LIST, replace(LIST, user_seq=6)):  # 6 was emitted again by a restored job
        broker.send("recommendations", "ada", encode_recommendation(made, CLOCK), timestamp=EMITTED_MS + 4)
    broker.send("items", "i1", item("i1", title="Alien"))
    broker.send("items", "i2", item("i2", title="Aliens [b] :cat:"))
    return broker


@pytest.fixture
def run(kafka, monkeypatch):
    monkeypatch.setattr(command.time, "time_ns", lambda: (EMITTED_MS + 80_004) * 1_000_000)

    def call(*words: str, brokers: str | None = None) -> Result:
        return CliRunner().invoke(main, [*words, "--bootstrap-servers", brokers or kafka.bootstrap_servers])

    return call


def test_the_newest_list_is_a_table_with_titles(run):
    result = run("recommend", "ada")
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines == [
        "user ada: 2 items, strategy hybrid, 80 s old",
        "item title score because of",
        "1 i2 Aliens [b] :cat: 2.000 Alien",
        "2 i3 1.000",
    ]


def test_json_is_the_record_with_titles_and_its_place(run):
    record = json.loads(run("recommend", "ada", "--json").stdout)
    written = json.loads(encode_recommendation(LIST, CLOCK))
    titles = [entry.pop("title") for entry in record["items"]]
    assert titles == ["Aliens [b] :cat:", None]
    assert {name: record[name] for name in written if name != "schema_version"} == {
        name: field for name, field in written.items() if name != "schema_version"
    }
    assert {name: record[name] for name in ("partition", "offset", "appended_ms", "list_age_ms")} == {
        "partition": 1,  # of four, by Kafka's murmur2 of b"ada"
        "offset": 0,
        "appended_ms": EMITTED_MS + 4,
        "list_age_ms": 80_000,
    }


def test_why_shows_the_parts_the_trigger_the_snapshot_and_where_the_time_went(run):
    result = run("why", "ada")
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines == [
        "user ada: 2 items, strategy hybrid, 80 s old",
        "follows event web-3, the user's number 7",
        "item snapshot 0-500, 133 ms old when the list was made",
        "item taste recent popularity bias score because of",
        "1 Aliens [b] :cat: 0.500 0.250 1.500 -0.250 2.000 Alien",
        "2 i3 0.000 0.000 1.000 0.000 1.000",
        "where the time went",
        "event → kafka 1,000 ms",
        "kafka → learned 28 ms",
        "learned → emitted 2 ms",
        "emitted → topic 4 ms",
    ]


def test_why_for_programs_has_every_part_and_stage(run):
    record = json.loads(run("why", "ada", "--json", "--no-titles").stdout)
    assert record["stages_ms"] == {
        "event_to_kafka": 1_000,
        "kafka_to_learned": 28,
        "learned_to_emitted": 2,
        "emitted_to_topic": 4,
    }
    assert (record["items"][0]["parts"]["exploration"], record["items"][0]["title"]) == (0.0, None)


@pytest.mark.parametrize("name", ["recommend", "why"])
def test_a_user_without_a_list_is_said_so_in_one_line(run, name):
    result = run(name, "nobody")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "user 'nobody' has no list on topic 'recommendations' of 127.0.0.1:" in result.stderr
    assert "Send an event of this user" in result.stderr


def test_titles_that_could_not_be_read_in_time_are_missed_and_said_so(run, monkeypatch):
    monkeypatch.setattr("livetower.consume.find_list.read_titles", lambda *_, **__: ({}, False))
    result = run("recommend", "ada")
    assert result.exit_code == 0
    assert "topic 'items' was not read to its end in time; allow more (--timeout)" in result.stderr


def test_a_broker_that_is_not_there_is_said_so_in_one_line(run, monkeypatch):
    monkeypatch.setattr("livetower.consume.client.BROKER_S", 0.2)
    result = run("recommend", "ada", brokers="127.0.0.1:1")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "needed an answer within 0.2 s" in result.stderr


def test_a_sandbox_that_was_never_up_is_said_so_in_one_line(tmp_path):
    result = CliRunner().invoke(main, ["recommend", "ada", "--run-dir", str(tmp_path)])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert str(tmp_path) in result.stderr


def test_a_property_without_a_value_is_said_so(run):
    result = run("recommend", "ada", "--kafka", "security.protocol")
    assert result.exit_code == 2
    assert "a property of the Kafka client is NAME=VALUE; got 'security.protocol'" in result.stderr


@pytest.mark.parametrize("name", ["recommend", "why"])
def test_the_help_has_examples(name):
    result = CliRunner().invoke(main, [name, "--help"])
    assert f"livetower {name} 328" in result.output
