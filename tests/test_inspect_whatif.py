"""`livetower inspect whatif`: what it says of an event is what the job emits when it receives that event."""

import json
from dataclasses import replace

import numpy as np
import orjson
import pytest
from click.testing import CliRunner
from inspected import Lived, answer, event, examples, lived, refusal
from made_up import ITEMS, NOW_MS, interaction

from livetower.cli import main
from livetower.inspect.whatif import whatif
from models.records import Clock, encode_recommendation, parse_interaction
from models.snapshots import Announcement

AT_MS = NOW_MS + 60_000 * 8
AT = ("--at", str(AT_MS))


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    return Lived(tmp_path_factory.mktemp("snapshots"))


@pytest.fixture
def run(job, monkeypatch):
    return job.runner(monkeypatch)


def emitted(result) -> dict:
    """The record that the job emits, but for its clock."""
    record = orjson.loads(encode_recommendation(result.recommendation, Clock(0, 0, 0, 0)))
    del record["clock"], record["snapshot"]["age_ms"]
    return record


def ids(items: list[dict]) -> list[str]:
    return [item["item_id"] for item in items]


def norm(vector) -> float:
    return sum(float(x) ** 2 for x in vector) ** 0.5


@pytest.mark.parametrize(
    ("told", "item_id", "event_type", "fields"),
    [
        ("item=i20", "i20", "view", {}),
        ("item=i20,type=rating,value=5", "i20", "rating", {"value": 5}),
        ("item=i20,type=dislike", "i20", "dislike", {}),
        ("item=i20,strategy=popular,exclude=i1|i2", "i20", "view", {"strategy": "popular", "exclude": ["i1", "i2"]}),
        ("type=request", None, "request", {}),
        ("type=profile,items=i3|i4,categories=i5", None, "profile", {"items": ["i3", "i4"], "categories": ["i5"]}),
        ("item=unknown,type=like", "unknown", "like", {}),
    ],
)
def test_the_record_is_the_one_that_the_job_emits_for_that_event(run, job, told, item_id, event_type, fields):
    next_event = event(8, item_id, event_type=event_type, **fields)
    expected = lived([*job.events, next_event], job.table)[-1]
    (step,) = answer(run("whatif", "ada", "--json", "--event", told, "--event-id", "ada-8", *AT))["steps"]
    assert step["recommendation"] == emitted(expected)
    assert (step["user_seq"], step["duplicate"], step["emitted"], step["kafka_ms"]) == (9, False, True, AT_MS)
    assert step["norm"] == pytest.approx(norm(expected.state.embedding), rel=1e-12)
    assert step["moved_by"] == pytest.approx(norm(expected.state.embedding - job.ada.embedding), rel=1e-6, abs=1e-12)


def test_the_json_of_the_topic_is_taken_as_it_stands(run, job):
    value = interaction("web-9", "ada", "i21", event_type="purchase", event_time_ms=AT_MS - 5, context="x").decode()
    parsed = parse_interaction(value.encode(), AT_MS, max_bytes=65_536, future_tolerance_ms=300_000)
    expected = lived([*job.events, parsed], job.table)[-1]
    for option in ("--event", "--event-json"):
        (step,) = answer(run("whatif", "ada", "--json", option, value, *AT))["steps"]
        assert step["recommendation"] == emitted(expected)
        assert step["event"]["event_time_ms"] == AT_MS - 5


def test_the_list_before_is_what_a_request_would_have_got_then(run, job):
    asking = lived([*job.events, event(8, None, event_type="request", exclude=["i9"])], job.table)[-1]
    (step,) = answer(run("whatif", "ada", "--json", "--event", "item=i20,exclude=i9", *AT))["steps"]
    assert ids(step["list_before"]) == ids(emitted(asking)["items"])


def test_what_moved_is_told_for_every_item_of_either_list(run):
    (step,) = answer(run("whatif", "ada", "--json", "--event", "item=i20", *AT))["steps"]
    before, after = ids(step["list_before"]), ids(step["list_after"])
    moves = {move["item_id"]: (move["before"], move["after"]) for move in step["moves"]}
    assert moves.keys() == set(before) | set(after)
    for item_id, (was, now) in moves.items():
        assert was == (before.index(item_id) + 1 if item_id in before else None)
        assert now == (after.index(item_id) + 1 if item_id in after else None)


def test_several_events_follow_each_other_in_time(run, job):
    events = [event(8, "i20"), event(9, "i21", event_type="like"), event(10, "i22")]
    expected = lived([*job.events, *events], job.table)[-3:]
    told = ["--event", "item=i20", "--event", "item=i21,type=like,after=60", "--event", "item=i22,after=60"]
    own_ids = ["--event-id", "ada-8", "--event-id", "ada-9", "--event-id", "ada-10"]
    steps = answer(run("whatif", "ada", "--json", *told, *own_ids, *AT))["steps"]
    assert [step["recommendation"] for step in steps] == [emitted(result) for result in expected]


def test_a_repeated_event_changes_nothing_and_is_called_a_repetition(run):
    (step,) = answer(run("whatif", "ada", "--json", "--event", "item=i20", "--event-id", "ada-3", *AT))["steps"]
    assert (step["duplicate"], step["recommendation"], step["user_seq"]) == (True, None, 8)
    assert step["emitted"] is False
    assert "a repetition" in run("whatif", "ada", "--event", "item=i20", "--event-id", "ada-3", *AT).stdout


def test_a_setting_on_top_shows_what_would_have_come_with_it(run):
    words = ("whatif", "ada", "--json", "--event", "item=i20", *AT)
    (usual,) = answer(run(*words))["steps"]
    (fast,) = answer(run(*words, "--set", "model.learning_rate=0.5"))["steps"]  # ten times the default
    assert fast["moved_by"] == pytest.approx(10 * usual["moved_by"], rel=1e-3)


def test_with_emit_changed_a_list_that_stays_is_not_sent(tmp_path, monkeypatch):
    job = Lived(tmp_path / "s", "model.emit=changed")
    run = job.runner(monkeypatch)
    at = ("--at", str(job.ada.newest_event_ms))
    words = (
        "--event",
        f"item={ITEMS[20]},type=view",
        "--set",
        "model.learning_rate=0",
        "--set",
        "model.strategy=popular",
    )
    first, second = answer(run("whatif", "ada", "--json", *words, *words[:2], *at))["steps"]
    assert ids(first["list_after"]) == ids(second["list_after"])  # the popular ones, and i20 is consumed already
    assert second["emitted"] is False
    (asked,) = answer(run("whatif", "ada", "--json", "--event", "type=request", *at))["steps"]
    assert asked["emitted"] is True
    assert ids(asked["list_after"]) == ids(emitted(job.results[-1])["items"])


def test_a_user_who_is_new_begins_with_nothing(run, job):
    expected = emitted(lived([event(8, "i20", "zoe")], job.table)[-1])
    words = ("--event", "item=i20", "--event-id", "zoe-8", *AT, "--new-user", "--json")
    found = answer(run("whatif", "zoe", *words))
    (step,) = found["steps"]
    assert found["before"] is None
    assert step["recommendation"] == expected | {"user_since_ms": AT_MS}


@pytest.mark.parametrize(
    ("event_words", "learned"),
    [
        ("item=i20", "a step with weight 1"),
        ("item=i20,type=skip", "a step with weight -0.5"),
        ("type=request", "nothing: a request has no weight"),
        ("item=ghost", "nothing yet: the item table has no such item, and the item tower gets the example"),
        ("type=profile,items=i3", "declared items and categories moved the vector"),
    ],
)
def test_what_the_event_taught_is_said(run, event_words, learned):
    (step,) = answer(run("whatif", "ada", "--json", "--event", event_words, *AT))["steps"]
    assert step["learned"] == learned


def test_before_any_snapshot_the_event_is_learned_later_and_there_is_no_list(tmp_path, monkeypatch):
    job = Lived(tmp_path / "s")
    job.state.announced.clear()
    run = job.runner(monkeypatch)
    (step,) = answer(run("whatif", "ada", "--json", "--event", "item=i20", *AT))["steps"]
    assert (step["recommendation"], step["list_after"], step["emitted"]) == (None, [], False)
    assert step["learned"] == "nothing yet: there is no item table"
    assert "no list: no item snapshot had been announced" in run("whatif", "ada", "--event", "item=i20", *AT).stdout


def test_for_people_the_list_stands_beside_its_former_places(run):
    result = run("whatif", "ada", "--event", "item=i1,type=rating,value=5", *AT)
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    assert "8 events so far" in text
    assert "event whatif-1: rating i1 (Aliens) at 2025-10-09 09:01:20 UTC" in text
    assert "score because of was at" in text


def test_without_a_time_the_first_event_reaches_kafka_when_it_happened(run):
    value = json.dumps({"item_id": "i20", "event_time_ms": AT_MS})
    (step,) = answer(run("whatif", "ada", "--json", "--event", value))["steps"]
    assert step["kafka_ms"] == AT_MS
    assert step["event"]["event_id"] == "whatif-1"


def test_an_id_with_a_comma_is_one_id(run):
    (step,) = answer(run("whatif", "ada", "--json", "--event", "item=a,b,type=like", *AT))["steps"]
    assert step["event"]["item_id"] == "a,b"


# ---- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--event", "itm=i1"], "event 1: pairs of item, type, id, "),
        (["--event", "item"], "got 'item'"),
        (["--event", "{"], "event 1 is not JSON"),
        (["--event", "[]"], "got '[]'"),
        (["--event", "item=i1", "--event", "item=i2,value=x"], "event 2: value must be a finite number; got 'x'"),
        (["--event", "item=i1,type=stare"], "event 1 would be rejected (unknown_event_type): "),
        (["--event", "item=i1,strategy=best"], "event 1 would be rejected (invalid_field): "),
        (["--event", "item=i1,value=nan"], "event 1: value must be a finite number; got 'nan'"),
        (["--event", '{"user_id": "bob", "item_id": "i1"}'], "event 1 is one of user 'bob'; 'ada' was needed"),
        (["--event", "item=i1", "--event-id", "a", "--event-id", "b"], "2 event ids were given for 1 events"),
        (["--event", f"item=i1,time={AT_MS + 400_000}", *AT], "event 1 would be rejected (future_time): "),
    ],
)
def test_an_event_that_cannot_be_is_one_line(run, words, says):
    line = refusal(run("whatif", "ada", *words))
    assert line.startswith("LT-INS-312: ")
    assert says in line


def test_an_unknown_user_is_refused_unless_called_new(run):
    assert refusal(run("whatif", "zoe", "--event", "item=i1")).startswith("LT-INS-301: ")
    assert refusal(run("whatif", "ada", "--event", "item=i1", "--new-user")).startswith("LT-INS-315: ")


def test_without_settings_or_the_snapshots_file_nothing_is_made_up(tmp_path, monkeypatch):
    untold = Lived(tmp_path / "a", told=False)
    assert refusal(untold.runner(monkeypatch)("whatif", "ada", "--event", "item=i1")).startswith("LT-INS-310: ")
    job = Lived(tmp_path / "b")
    job.announcement = Announcement(0, 8, "full", "", "gone.safetensors", None, "0" * 64, len(ITEMS), NOW_MS)
    job.state.announce(job.announcement)
    assert refusal(job.runner(monkeypatch)("whatif", "ada", "--event", "item=i1")).startswith("LT-INS-405: ")


def test_a_step_that_leaves_the_finite_numbers_is_one_line(tmp_path, monkeypatch):
    job = Lived(tmp_path / "s")
    job.state.keep_user("sick", replace(job.ada, embedding=np.full(8, np.nan, np.float32)))
    line = refusal(job.runner(monkeypatch)("whatif", "sick", "--event", "item=i20", *AT))
    assert line.startswith("LT-INS-313: event 'whatif-1' of user 'sick': ")


def test_the_examples_in_its_help_run(job, monkeypatch):
    for words in examples(whatif):
        job.state.keep_user(words[2], job.ada)
        monkeypatch.setattr(job.state, "uri", words[1])
        job.state.opens(monkeypatch)
        result = CliRunner().invoke(main, ["inspect", *words])
        assert result.exit_code == 0, result.output
