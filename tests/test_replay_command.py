"""`livetower replay` and `livetower items` as people and programs call them, with a producer in Kafka's place."""

import json
import os
import re
import signal
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result
from fake_producer import Producer

from livetower.cli import main
from livetower.progress import LINE_EVERY_S, lines_of
from livetower.replay import kafka

HEADER = "user_id,item_id,event_time_ms\n"


class Kafka:
    """One topic and the producers that were opened."""

    def __init__(self) -> None:
        self.topic_id = "first"
        self.producers: list[Producer] = []
        self.stop_after = 0
        self.asked: list[tuple[str, str, dict[str, str]]] = []

    def open(self, _brokers: str, _properties: dict[str, str]) -> Producer:
        def stop(count: int) -> None:
            if count == self.stop_after:
                os.kill(os.getpid(), signal.SIGINT)

        self.producers.append(Producer())
        self.producers[-1].after = stop
        return self.producers[-1]

    def ask(self, brokers: str, topic: str, properties: dict[str, str]) -> str:
        self.asked.append((brokers, topic, properties))
        return self.topic_id

    def ids(self) -> list[list[str]]:
        """The event ids that each run sent."""
        return [[orjson.loads(value)["event_id"] for _, value, _ in producer.sent] for producer in self.producers]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    made = Kafka()
    monkeypatch.setattr(kafka, "topic_id", made.ask)
    monkeypatch.setattr(kafka, "open_producer", made.open)
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "plays.csv"
    written.write_text(HEADER + "".join(f"u{n % 3},i{n},{n}\n" for n in range(8)))
    return written


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments), "--bootstrap-servers", "kafka-1:9092"])


def test_everything_is_sent_and_the_same_command_has_nothing_left(file, broker):
    first = json.loads(run("replay", file, "--json").stdout)
    second = json.loads(run("replay", file, "--json").stdout)
    assert broker.ids() == [[f"plays.csv-{line}" for line in range(2, 10)], []]
    assert [first[name] for name in ("sent", "acknowledged", "position", "rows", "finished")] == [8, 8, 9, 9, True]
    assert [second[name] for name in ("sent", "position", "finished")] == [0, 9, True]
    assert broker.asked[0] == ("kafka-1:9092", "interactions", {})
    assert [key for _, _, key in broker.producers[0].sent[:4]] == [b"u0", b"u1", b"u2", b"u0"]


def test_ctrl_c_leaves_a_replay_that_goes_on_with_equal_ids(file, broker):
    before = signal.getsignal(signal.SIGINT)
    broker.stop_after = 3
    stopped = run("replay", file)
    broker.stop_after = 0
    finished = run("replay", file)
    assert (stopped.exit_code, finished.exit_code) == (130, 0)
    assert "stopped behind row 4 of 9; the same command goes on from there" in stopped.stdout
    assert f"going on behind row 4 ({file}.replay.json)" in finished.stderr
    assert broker.ids() == [
        ["plays.csv-2", "plays.csv-3", "plays.csv-4"],
        [f"plays.csv-{line}" for line in range(5, 10)],
    ]
    assert signal.getsignal(signal.SIGINT) is before


def test_what_was_not_acknowledged_is_sent_again_with_equal_ids(file, broker, monkeypatch):
    monkeypatch.setattr(Producer, "__init__", refusing_from(Producer.__init__, 4))
    broken = run("replay", file)
    assert broken.exit_code == 2
    monkeypatch.setattr(Producer, "__init__", refusing_from(Producer.__init__, None))
    assert run("replay", file).exit_code == 0
    assert broker.ids()[1][0] == "plays.csv-6"


def refusing_from(init, number):
    def refusing(self) -> None:
        init(self)
        self.refuses = set() if number is None else {number}

    return refusing


def test_lines_appended_since_are_sent_and_restart_sends_all(file, broker):
    run("replay", file)
    with file.open("a") as lines:
        lines.write("u9,i9,9\n")
    run("replay", file)
    run("replay", file, "--restart")
    assert [len(ids) for ids in broker.ids()] == [8, 1, 9]


def test_a_mended_line_is_where_a_stopped_replay_goes_on(file, broker):
    good = file.read_text()
    file.write_text(good.replace("u0,i3,3", "u0,i3"))
    result = run("replay", file)
    assert result.exit_code == 2
    assert "line 5: 3 columns were needed; got 2. Mend it, or pass it over" in result.stderr
    file.write_text(good)
    assert run("replay", file).exit_code == 0
    assert [len(ids) for ids in broker.ids()] == [3, 5]


def test_malformed_rows_are_counted_by_reason_and_shown(file, broker):
    with file.open("a") as lines:
        lines.write("u,i,soon\nu,i\n,i,4\n")
    result = run("replay", file, "--malformed", "skip", "--json")
    assert json.loads(result.stdout)["reasons"] == {"invalid_field": 1, "malformed_row": 1, "missing_field": 1}
    assert f"{file}, line 11: 3 columns were needed; got 2; passed over" in result.stderr
    text = run("replay", file, "--malformed", "send", "--restart").stdout
    assert "3 malformed rows were sent for the job to reject: " in text
    assert [value for _, value, _ in broker.producers[1].sent][-2] == b"u,i"


def test_times_shifted_to_now_stay_shifted_when_it_goes_on(file, broker):
    broker.stop_after = 3
    run("replay", file, "--times", "now")
    broker.stop_after = 0
    run("replay", file, "--times", "now")
    times = [orjson.loads(v)["event_time_ms"] for producer in broker.producers for _, v, _ in producer.sent]
    assert [at - times[0] for at in times] == list(range(8))
    assert times[0] > 1_700_000_000_000


def changed_file(file: Path, _broker: Kafka) -> None:
    file.write_text(file.read_text().replace("u1,i7,7", "u1,other,7"))


def shorter_file(file: Path, _broker: Kafka) -> None:
    file.write_text(HEADER)


def other_topic(_file: Path, broker: Kafka) -> None:
    broker.topic_id = "second"


def broken_state(file: Path, _broker: Kafka) -> None:
    Path(f"{file}.replay.json").write_text('{"number": 1}')


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed_file, "plays.csv: row 9, the last one sent according to .*is not what it was: the file has changed"),
        (shorter_file, "plays.csv: row 9, the last one sent according to .*is not what it was: the file has changed"),
        (other_topic, "it is of topic id .* first, and this is second: --restart sends everything"),
        (broken_state, "the state of a replay was needed; other fields than those of a replay: remove it"),
    ],
)
def test_it_does_not_go_on_from_a_state_that_no_longer_fits(file, broker, change, message):
    run("replay", file)
    change(file, broker)
    result = run("replay", file)
    assert result.exit_code == 2
    assert result.stderr.count("\n") <= 2
    assert re.search(message, result.stderr), result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--column", "user=who"], "no such field; the nearest is user_id"),
        (["--column", "user_id"], "--column: NAME=VALUE was needed; got 'user_id'"),
        (["--column", "user_id=who"], "column who (--column user_id=who) is missing; it has user_id, item_id"),
        (["--event-type", "buy=bought"], "an event type must be one of view, click,"),
        (["--default-type", "bought"], "got 'bought'"),
        (["--speed", "2", "--rate", "5"], "give one of them"),
        (["--state", "/nowhere/state.json"], "/nowhere/state.json: the replay's state must be writable"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_code_2(file, broker, arguments, message):
    result = run("replay", file, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert broker.producers == []


def test_a_kafka_that_does_not_answer_is_named_with_the_cure(file, monkeypatch):
    monkeypatch.setattr(kafka, "ANSWER_S", 0.2)
    result = CliRunner().invoke(main, ["replay", str(file), "--bootstrap-servers", "127.0.0.1:9"])
    assert result.exit_code == 2
    assert "Kafka at 127.0.0.1:9: an answer within 0.2 s was needed; got " in result.stderr


def test_without_a_sandbox_the_cure_is_named(file, tmp_path):
    result = CliRunner().invoke(main, ["replay", str(file), "--run-dir", str(tmp_path / "none")])
    assert result.exit_code == 2
    assert "start one with `livetower up`" in result.stderr


def test_a_catalogue_goes_to_the_topic_of_items_and_leaves_no_state(tmp_path, broker):
    films = tmp_path / "films.csv"
    films.write_text("item_id,title,genres,year\n1,Vertigo,Crime|Noir,1958\n")
    result = run("items", films, "--column", "tags=genres", "--number", "year")
    assert result.exit_code == 0, result.output
    assert f"1 records of {films} are in topic items" in result.stdout
    ((_, value, key),) = broker.producers[0].sent
    assert (broker.producers[0].topics, key) == ({"items"}, b"1")
    assert orjson.loads(value)["numbers"] == {"year": 1958}
    assert list(tmp_path.iterdir()) == [films]


@pytest.mark.parametrize("name", ["replay", "items"])
def test_help_shows_examples_line_by_line(name):
    lines = CliRunner().invoke(main, [name, "--help"]).output.splitlines()
    assert sum(line.strip().startswith(f"livetower {name} ") for line in lines) >= 3


def test_without_a_terminal_progress_is_a_line_every_few_seconds():
    said: list[str] = []
    now_s = 0.0
    update = lines_of("plays", 9_000, said.append, lambda: now_s)
    for done in range(9_000):
        now_s = done * LINE_EVERY_S / 4_000
        update(done)
    assert said == ["plays: 4,000 of 9,000", "plays: 8,000 of 9,000"]
