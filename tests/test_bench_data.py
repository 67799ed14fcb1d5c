"""What a bench sends, and the bare loop over it."""

import json

import orjson
import pytest
from click.testing import CliRunner
from confluent_kafka import KafkaError
from fake_flink import FakeFlink
from made_up import MODEL, NOW_MS, snapshot

from livetower.bench import bare_loop
from livetower.bench.bare_loop import answer_all, run_task, write_task
from livetower.bench.data import MADE_UP, encode_part, load_data
from livetower.bench.errors import BenchError
from livetower.bench.offsets import added, read_between
from livetower.cli import main
from models.records import user_key_of
from models.snapshots import decode_snapshot, digest, table_of
from operators import code_digest, learn_and_recommend
from operators.learn_and_recommend import LearnAndRecommend


def test_made_up_events_are_only_of_items_in_the_catalogue_and_the_same_each_time():
    data = load_data(MADE_UP, 500)
    known = {item["item_id"] for item in data.items}
    assert len(known) == len(data.items) == 1_680
    assert {event["item_id"] for event in data.interactions} <= known
    assert load_data(MADE_UP, 500) == data
    assert load_data(MADE_UP, 200).interactions == data.interactions[:200]


def test_parts_of_a_bench_share_no_user_and_no_event_id():
    events = load_data(MADE_UP, 50).interactions
    one, other = encode_part(events, "a-"), encode_part(events, "b-")
    assert not set(one.users) & set(other.users)
    assert not one.positions.keys() & other.positions.keys()


def test_a_stream_that_is_too_short_is_refused_with_its_length(monkeypatch):
    short = load_data(MADE_UP, 10)
    monkeypatch.setattr("livetower.bench.data.movielens", lambda: short)
    with pytest.raises(BenchError, match=r"movielens-100k: 11 events were needed .*; it has 10: ask for fewer"):
        load_data("movielens-100k", 11)


def events(n: int) -> tuple[list[bytes], list[bytes]]:
    values = [
        {"event_id": f"e{at}", "user_id": f"u{at % 3}", "item_id": f"i{at % 12}", "event_type": "view"}
        | {"event_time_ms": NOW_MS + at}
        for at in range(n)
    ]
    return [orjson.dumps(value) for value in values], [value["user_id"].encode() for value in values]


def test_the_bare_loop_writes_the_records_that_the_operator_writes(tmp_path, monkeypatch):
    blob = snapshot()
    (tmp_path / "full").write_bytes(blob)
    monkeypatch.setattr(learn_and_recommend, "wall_clock_ms", lambda: NOW_MS)
    monkeypatch.setattr(bare_loop, "wall_clock_ms", lambda: NOW_MS)
    flink = FakeFlink()
    operator = LearnAndRecommend(
        MODEL,
        snapshot_root=str(tmp_path),
        code_digest=code_digest.IMPORTED_DIGEST,
        pinned_snapshot=str(tmp_path / "full"),
    )
    operator.open(flink)
    values, keys = events(30)
    rows = [
        (user_key_of(key.decode()), key, value, "interactions", 0, n, NOW_MS)
        for n, (value, key) in enumerate(zip(values, keys, strict=True))
    ]
    expected = [orjson.loads(emission[2]) for row in rows for emission in flink.element(operator, row, row[0])]
    table = table_of(decode_snapshot(blob), digest(blob), created_ms=NOW_MS)
    found = [orjson.loads(record) for record in answer_all(values, keys, table, MODEL)]
    for record in (*expected, *found):
        del record["snapshot"]["age_ms"]  # a pinned file's age is that of the file
    assert found == expected
    assert len(found) == 30


def test_the_bare_loop_runs_in_a_process_of_its_own_and_gives_a_speed_for_each_round(tmp_path):
    (tmp_path / "full").write_bytes(snapshot())
    overrides = [f"model.dimension={MODEL.dimension}"]
    write_task(tmp_path / "task", *events(30), str(tmp_path / "full"), None, overrides)
    speeds = run_task(tmp_path / "task")
    assert len(speeds) == 3
    assert min(speeds) > 0


def test_a_bare_loop_that_fails_says_its_last_line(tmp_path):
    write_task(tmp_path / "task", *events(3), str(tmp_path / "missing"), None, [])
    with pytest.raises(BenchError, match=r"bare loop: .* ended with 1: .*missing"):
        run_task(tmp_path / "task")


# ---- the command, without a cluster --------------------------------------------------------------


def test_what_cannot_be_measured_ends_with_one_line_and_code_two(tmp_path, monkeypatch):
    def refuse(*_):
        raise BenchError("movielens-100k: 11 events were needed; it has 10")

    monkeypatch.setattr("livetower.bench.run.run_bench", refuse)
    run = CliRunner().invoke(main, ["bench", "--json", "--out", str(tmp_path / "out")])
    assert (run.exit_code, run.stdout) == (2, "")
    assert run.stderr == "Error: movielens-100k: 11 events were needed; it has 10\n"


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr("livetower.bench.run.run_bench", lambda *_: pytest.fail("it measured"))
    (tmp_path / "file").write_text("")
    run = CliRunner().invoke(main, ["bench", "--out", str(tmp_path / "file" / "out")])
    assert run.exit_code == 2
    assert "a folder to write to was needed" in run.stderr


def test_json_is_one_line_on_stdout_and_the_same_in_the_folder(tmp_path, monkeypatch):
    from test_bench_figures import figures

    asked = []
    monkeypatch.setattr("livetower.bench.run.run_bench", lambda plan, *_: asked.append(plan) or figures())
    out = tmp_path / "out"
    run = CliRunner().invoke(main, ["bench", "--json", "--rate", "700", "--events", "200", "--out", str(out)])
    assert (run.exit_code, run.stdout.count("\n")) == (0, 1)
    assert json.loads(run.stdout) == json.loads((out / "result.json").read_text())
    assert {file.name for file in out.iterdir()} == {
        "result.json",
        "page.md",
        "backlog.svg",
        "freshness.svg",
        "stages.svg",
    }
    assert (asked[0].rate, asked[0].events, asked[0].source) == (700, 200, "movielens-100k")


def test_records_added_to_a_topic_are_counted_over_its_partitions():
    start = {("lists", 0): 4, ("lists", 1): 0, ("rejected", 0): 2}
    end = {("lists", 0): 9, ("lists", 1): 3, ("rejected", 0): 3}
    assert (added(start, end, "lists"), added(start, end, "rejected")) == (8, 1)


class Broker:
    """A consumer of two partitions of `lists`, which gives one record to poll and what is left to consume."""

    def __init__(self, **_: object) -> None:
        self.left: list[Record] = []

    def assign(self, places) -> None:
        at = {(p.topic, p.partition): p.offset for p in places}
        ends = {0: 9, 1: 5}  # more than the test asks for: others go on appending
        self.left = [Record(p, o) for (_, p), first in sorted(at.items()) for o in range(first, ends[p])]

    def poll(self, _timeout: float):
        return self.left.pop(0) if self.left else None

    def consume(self, n: int, timeout: float):
        assert timeout == 0  # with another it waits until there are n, which may never be
        taken, self.left = self.left[:1], self.left[1:]
        return taken

    def close(self) -> None: ...


class Record:
    def __init__(self, partition: int, offset: int) -> None:
        self._at = (partition, offset)

    def error(self):
        return None

    def partition(self) -> int:
        return self._at[0]

    def offset(self) -> int:
        return self._at[1]

    def value(self) -> bytes:
        return b"%d/%d" % self._at

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_000 + self._at[1]


def test_records_between_two_points_are_read_without_those_behind_them(monkeypatch):
    monkeypatch.setattr("livetower.bench.offsets.open_consumer", lambda *_, **__: Broker())
    start = {("lists", 0): 3, ("lists", 1): 5, ("rejected", 0): 0}
    end = {("lists", 0): 7, ("lists", 1): 5, ("rejected", 0): 4}
    found = list(read_between("broker", "lists", start, end))
    assert [record.value for record in found] == [b"0/3", b"0/4", b"0/5", b"0/6"]
    assert found[0].appended_ms == 1_003


def test_a_broker_that_gives_no_more_records_ends_the_bench(monkeypatch):
    monkeypatch.setattr("livetower.bench.offsets.open_consumer", lambda *_, **__: Broker())
    with pytest.raises(BenchError, match="Kafka gave none for 30"):
        list(read_between("broker", "lists", {("lists", 1): 3}, {("lists", 1): 8}))


class EndOfPartition(Record):
    """What librdkafka tells when the partition has no more: at the offset that comes next."""

    def error(self):
        return KafkaError(KafkaError._PARTITION_EOF)


def test_the_end_of_a_transaction_in_the_place_of_the_last_record_ends_the_reading(monkeypatch):
    class Transactional(Broker):
        def assign(self, places) -> None:
            super().assign(places)
            self.left = [EndOfPartition(1, 4), Record(1, 3), Record(1, 4), EndOfPartition(1, 6)]

    monkeypatch.setattr("livetower.bench.offsets.open_consumer", lambda *_, **__: Transactional())
    found = list(read_between("broker", "lists", {("lists", 1): 3}, {("lists", 1): 6}))  # offset 5 is no record
    assert [record.value for record in found] == [b"1/3", b"1/4"]
