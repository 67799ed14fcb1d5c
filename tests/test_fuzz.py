"""Hostile input in short (`make fuzz-long` has a million), and one test for each bug that it found."""

import logging
import random
from collections.abc import Iterator

import numpy as np
import orjson
import pytest
from fuzz import corpus
from fuzz.__main__ import run
from fuzz.learners import Learner
from fuzz.parsers import PARSERS
from fuzz.towers import Trainer
from hypothesis import given
from hypothesis import strategies as st
from made_up import ITEMS, MODEL, NOW_MS, announced, announcement, example, interaction, item, snapshot
from worlds import event, item_table

from models.commands import parse_command
from models.hashing import hash_id
from models.recommender import advance
from models.records import EventType, InvalidRecord, Reason, parse_interaction, parse_item
from models.settings import ModelSettings
from models.shown import SHOWN_MAX, shown
from models.snapshots import InvalidSnapshot, decode_announcement, decode_snapshot, encode_announcement
from models.tensor_bytes import decode_tensors, encode_tensors
from models.user_state import decode_user_state
from operators import rows, train_item_tower

DEEP = (900, 990, 1_000, 1_022, 1_023, 1_024, 100_000)
"""orjson reads 1,024 levels; Python's repr fails at about a thousand, less what the caller has used."""


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(train_item_tower, "give_way", lambda: None)  # it would slow down the tests after this one
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


def test_of_twenty_thousand_hostile_inputs_each_is_learned_repeated_or_rejected_and_memory_stays(tmp_path):
    said: list[str] = []
    outcomes = run(20_000, 7, tmp_path, said.append)
    assert outcomes.total() == 20_000
    by_target: dict[str, set[str]] = {}
    for name, outcome in outcomes:
        by_target.setdefault(name, set()).add(outcome)
    assert {"accepted", "duplicate", "malformed_json", "key_mismatch", "announcement"} <= by_target["learner, default"]
    assert {"examples", "items", "rejected"} - by_target["tower"] == {"rejected"}  # those are told by their reason
    assert set(PARSERS) < set(by_target)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=50))
def test_what_an_error_shows_is_short(value):
    assert 0 < len(shown(value)) <= SHOWN_MAX


# ---- each bug leaves one -------------------------------------------------------------------------


def deep(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize("depth", DEEP)
def test_a_deeply_nested_field_is_refused_and_no_error_of_ours(depth):
    def rejected(parse, value: bytes, **settings) -> Reason:
        with pytest.raises(InvalidRecord) as caught:
            parse(value, max_bytes=2**20, **settings)
        return caught.value.reason

    nested = deep(depth)
    times = {"kafka_ms": NOW_MS, "future_tolerance_ms": 1}
    usual = {Reason.INVALID_FIELD, Reason.MALFORMED_JSON}
    assert rejected(parse_interaction, nested, **times) in {Reason.NOT_AN_OBJECT, Reason.MALFORMED_JSON}
    strategy = interaction("e", strategy="x").replace(b'"x"', nested)
    assert rejected(parse_interaction, strategy, **times) in usual
    tags = b'{"item_id": "i", "tags": ' + nested + b"}"
    assert rejected(lambda value, max_bytes: parse_item(None, value, max_bytes=max_bytes), tags) in usual
    for name in ("command", "command_id", "to"):
        command = orjson.dumps({"command": "rollback", "command_id": "c", "to": "0-1", name: "?"})
        assert rejected(parse_command, command.replace(b'"?"', nested)) in usual


@pytest.mark.parametrize("depth", DEEP)
@pytest.mark.parametrize("name", ["epoch", "kind", "file", "sha256"])
def test_a_deeply_nested_announcement_is_left_aside(name, depth):
    fields = orjson.loads(encode_announcement(announcement(snapshot(), 5, file="a"))) | {name: "?"}
    with pytest.raises(InvalidSnapshot):
        decode_announcement(orjson.dumps(fields).replace(b'"?"', deep(depth)))


@pytest.mark.parametrize("file", ["a\0b", "", "..", ".a", "a/b", "a\\b", "a" * 256, "a\n", "s3:a", "ä"])
def test_a_file_that_is_no_plain_name_is_not_announced(file):
    with pytest.raises(InvalidSnapshot, match="file must be a plain name"):
        decode_announcement(encode_announcement(announcement(snapshot(), 5, file=file)))


@pytest.mark.parametrize("changed", [{"epoch": -1}, {"trained_events": -1}, {"created_ms": -1}, {"created_ms": 2**48}])
def test_an_announcement_with_a_number_out_of_range_is_refused(changed):
    fields = orjson.loads(encode_announcement(announcement(snapshot(), 5, file="a"))) | changed
    with pytest.raises(InvalidSnapshot, match="out of its range"):
        decode_announcement(orjson.dumps(fields))


def wrong_tensors() -> dict[str, tuple[str, np.ndarray | None]]:
    """What is wrong with an otherwise good full snapshot of 30 items -> the tensor and what stands there."""
    _, good = decode_tensors("livetower-item-snapshot-2", snapshot())
    far = good["vector"].copy()
    far[3, 2] = 3e38
    below = good["count"].copy()
    below[4, 1] = -1
    falling = good["id_end"].copy()
    falling[5] = 0
    return {
        "fewer vectors than hashes": ("vector", good["vector"][:-1]),
        "more popularities than rows": ("count", np.ones((31, 2))),
        "vectors in float64": ("vector", good["vector"].astype(np.float64)),
        "hashes in int32": ("hash", good["hash"].astype(np.int32)),
        "vectors in one row": ("vector", good["vector"].reshape(-1)),
        "six activity classes": ("alpha", good["alpha"][:6]),
        "no biases": ("bias", None),
        "texts that end before they begin": ("id_end", falling),
        "texts shorter than their ends": ("title_bytes", good["title_bytes"][:-1]),
        "texts that are not UTF-8": ("id_bytes", np.full_like(good["id_bytes"], 255)),
        "counts below 0": ("count", below),
        "a vector far out": ("vector", far),
        "rows of an update": ("row", np.arange(30)),
    }


@pytest.mark.parametrize("wrong", wrong_tensors())
def test_a_snapshot_whose_tensors_do_not_fit_is_refused_before_a_kernel_reads_it(wrong):
    facts, tensors = decode_tensors("livetower-item-snapshot-2", snapshot())
    form = facts.pop("format")
    name, array = wrong_tensors()[wrong]
    if array is None:
        del tensors[name]
    else:
        tensors[name] = array
    with pytest.raises(InvalidSnapshot):
        decode_snapshot(encode_tensors(form, facts, tensors))


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "delta"},
        {"kind": []},
        {"epoch": "0"},
        {"epoch": -1},
        {"trained_events": 0.5},
        {"floor": 0.0},
        {"floor": None},
    ],
)
def test_a_snapshot_whose_facts_are_wrong_is_refused(changed):
    facts, tensors = decode_tensors("livetower-item-snapshot-2", snapshot())
    form = facts.pop("format")
    with pytest.raises(InvalidSnapshot):
        decode_snapshot(encode_tensors(form, facts | changed, tensors))


def test_a_hostile_snapshot_with_a_right_digest_leaves_the_table_in_use(tmp_path):
    learner = Learner(tmp_path, MODEL)
    learner.flink.announce(learner.operator, announced(announcement(snapshot(1), 1)))
    rng, refused = random.Random(3), 0
    for n in range(200):
        before = learner.flink.counters["snapshot_fallback"]
        learner.flink.announce(learner.operator, (None, corpus.hostile_announcement(rng)))
        assert learner.event(b"u1", interaction(f"h{n}", "u1", ITEMS[n % 30])) == "accepted"
        refused += learner.flink.counters["snapshot_fallback"] > before
    assert refused > 50


def test_a_profile_of_a_thousand_categories_looks_through_the_table_once_a_category():
    categories = tuple(f"c{n % 40}" for n in range(400))
    table = item_table(400, categories=categories)
    named = tuple(f"c{n}" for n in range(1_000))
    result = advance(None, event(1, kind=EventType.PROFILE, categories=named), table, NOW_MS, MODEL)
    means = [table.vectors[n::40].astype(np.float64).mean(0) for n in range(40)]
    expected = np.sum(means, axis=0) / np.sqrt(40)
    np.testing.assert_allclose(result.state.embedding, expected, rtol=1e-4, atol=1e-6)
    assert set(table.category_means) == {f"c{n}" for n in range(40)}  # unknown names leave nothing behind


# ---- bounds --------------------------------------------------------------------------------------


def test_ever_new_items_of_one_user_leave_its_state_at_its_bound():
    settings = ModelSettings(dimension=8, top_k=5, negatives=10)
    table, state, sizes, forgotten = item_table(), None, set(), 0
    for n in range(3_000):
        result = advance(state, event(n, f"new {n}"), table, NOW_MS, settings)
        state = result.blob
        forgotten += result.n_forgotten
        if n >= 2_000:
            sizes.add(len(state))
    assert sizes == {80 + 16 * 20 + 12 * 1_024 + 8 * (32 + 5) + 4 * 8}
    assert forgotten == 3_000 - 1_024
    user = decode_user_state(state)
    assert user.user_seq == 3_000
    assert user.consumed[-1] == hash_id("new 2999")
    assert user.consumed[0] == hash_id("new 1976")


@pytest.mark.parametrize("at_ms", [0, 1, 2**48 - 1])
def test_an_event_at_either_end_of_time_is_learned_and_the_user_goes_on(at_ms):
    table = item_table()
    first = advance(None, event(1, "i1", at_ms=at_ms), table, at_ms, MODEL)
    then = advance(first.state, event(2, "i2", at_ms=NOW_MS), table, NOW_MS, MODEL)
    again = advance(then.state, event(3, "i3", at_ms=at_ms), table, at_ms, MODEL)
    assert [step.state.user_seq for step in (first, then, again)] == [1, 2, 3]
    assert np.isfinite(again.state.embedding).all()
    assert all(np.isfinite(each.score) for each in again.recommendation.items)
    assert again.state.newest_event_ms == max(at_ms, NOW_MS)


def test_a_clock_set_back_and_forth_counts_late_events_and_learns_them_all():
    table, state = item_table(), None
    times = [NOW_MS + (-1) ** n * n * 3_600_000 for n in range(50)]
    newest, late = 0, 0
    for n, at_ms in enumerate(times):
        result = advance(state, event(n, f"i{n % 30}", at_ms=at_ms), table, NOW_MS, MODEL)
        assert result.late == (at_ms < newest)
        late, newest, state = late + (at_ms < newest), max(newest, at_ms), result.blob
    assert decode_user_state(state).late == late > 20
    assert decode_user_state(state).user_seq == 50


def test_a_catalogue_that_says_one_thing_over_and_over_takes_no_more_memory(tmp_path):
    trainer = Trainer(tmp_path)
    for n in range(2_000):
        assert trainer.take(rows.ITEM, None, item(f"i{n % 5}", text="x" * 100, updated_ms=n)) == "items"
    tower = trainer.operator._stream.tower
    assert (tower.n_items, len(tower.catalogue), len(tower.waiting)) == (5, 5, 0)
    assert len(tower.changed_entries) <= 5


def test_ids_that_only_one_user_names_wait_in_a_bounded_place(tmp_path):
    trainer = Trainer(tmp_path)
    for n in range(300):
        trainer.take(rows.EXAMPLE, None, example(5 * n, f"nobody {n}"))  # every one by the same user
    tower = trainer.operator._stream.tower
    assert tower.n_items == 0
    assert len(tower.waiting) == 300
