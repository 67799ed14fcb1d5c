"""learn-and-recommend: the real class on a fake Flink. What the event does to the model is `advance`'s own test."""

import subprocess
import sys
from dataclasses import replace

import orjson
import pytest
from fake_flink import FakeFlink
from made_up import (
    MODEL,
    NOW_MS,
    announced,
    announcement,
    bad_interactions,
    delta,
    interaction,
    popularity_update,
    snapshot,
)
from pyflink import java_gateway
from pyflink.common import Row

from models.erasure import encode_erasure
from models.examples import encode_example
from models.hashing import hash_id
from models.recommender import advance
from models.records import Clock, encode_recommendation, parse_interaction, user_key_of
from models.settings import ModelSettings
from models.snapshots import DELTA, POPULARITY, decode_snapshot, digest, encode_announcement, table_of
from models.user_state import InvalidState, decode_user_state, encode_user_state
from operators import code_digest, learn_and_recommend, rows
from operators.learn_and_recommend import LearnAndRecommend
from operators.snapshot_files import SnapshotFiles
from operators.table_loader import TableLoader

LATER_MS = NOW_MS + 7


class Subtask:
    """The operator, opened on a fake Flink, and what it reads from disk."""

    def __init__(self, root, model: ModelSettings = MODEL, flink: FakeFlink | None = None) -> None:
        self.flink = flink or FakeFlink()
        self.files = SnapshotFiles(str(root))
        self.operator = LearnAndRecommend(model, snapshot_root=str(root), code_digest=code_digest.IMPORTED_DIGEST)
        self.operator.open(self.flink)

    def event(self, value: bytes | None, key: bytes | None = b"u1", offset: int = 0) -> list[Row]:
        user_key = user_key_of(key.decode("latin-1")) if key else ""
        row = (user_key, key, value, "interactions", 3, offset, NOW_MS)
        return self.flink.element(self.operator, row, user_key)

    def announce(self, *announcements) -> None:
        for each in announcements:
            self.flink.announce(self.operator, announced(each))

    def publish(self, blob: bytes, trained_events: int) -> str:
        """Write a full snapshot and announce it; returns the file's name."""
        name = self.files.write("full", 0, trained_events, digest(blob), blob)
        self.announce(announcement(blob, trained_events, file=name))
        return name

    def state(self, user_id: str = "u1"):
        blob = self.flink.keyed.get("user", {}).get(user_key_of(user_id))
        return None if blob is None else decode_user_state(blob)

    @property
    def counters(self) -> dict[str, int]:
        return {name: n for name, n in self.flink.counters.items() if n}


@pytest.fixture
def subtask(tmp_path, monkeypatch):
    monkeypatch.setattr(learn_and_recommend, "wall_clock_ms", lambda: LATER_MS)
    return Subtask(tmp_path / "snapshots")


def list_of(emissions: list[Row]) -> dict:
    """The one recommendation that was emitted."""
    (row,) = emissions
    assert row[0] == rows.RECOMMENDATION
    return orjson.loads(row[2])


def test_an_accepted_event_gives_the_list_and_the_example_that_advance_makes(subtask):
    blob = snapshot()
    subtask.publish(blob, 0)
    emissions = subtask.event(interaction("e1", item_id="i3"))

    event = parse_interaction(interaction("e1", item_id="i3"), NOW_MS, max_bytes=65_536, future_tolerance_ms=300_000)
    expected = advance(None, event, table_of(decode_snapshot(blob), digest(blob), NOW_MS), NOW_MS, MODEL)
    clock = Clock(NOW_MS, NOW_MS, LATER_MS, LATER_MS)
    value = encode_recommendation(expected.recommendation, clock)
    headers = {"snapshot": b"0-0", "emitted_ms": str(LATER_MS).encode()}
    assert emissions == [rows.recommendation(b"u1", value, headers, encode_example(expected.example))]
    assert subtask.state() == expected.state
    assert subtask.counters == {"accepted": 1}


def test_a_duplicate_emits_nothing_changes_nothing_and_is_counted(subtask):
    subtask.publish(snapshot(), 0)
    subtask.event(interaction("e1"))
    before = subtask.state()
    assert subtask.event(interaction("e1", item_id="i9")) == []
    assert subtask.state() == before
    assert subtask.counters == {"accepted": 1, "duplicate": 1}


@pytest.mark.parametrize("wrong", bad_interactions())
def test_a_bad_record_is_rejected_with_its_bytes_its_reason_and_its_place(subtask, wrong):
    key, value, reason = bad_interactions()[wrong]
    (rejected,) = subtask.event(value, key, offset=41)
    kind, out_key, out_value, headers, *others = rejected
    assert (kind, out_key, out_value) == (rows.REJECTED, key, value)
    assert others == [None, None, None]
    assert headers.pop("detail")
    assert headers == {"reason": reason.encode(), "topic": b"interactions", "partition": b"3", "offset": b"41"}
    assert subtask.flink.keyed.get("user", {}) == {}
    assert subtask.counters == {"rejected": 1}


def test_an_error_of_our_own_is_rejected_with_its_traceback_and_the_user_goes_on(subtask, monkeypatch):
    subtask.publish(snapshot(), 0)
    subtask.event(interaction("e1"))
    before = subtask.state()

    def broken(*_):
        raise ZeroDivisionError("a bug of ours")

    with monkeypatch.context() as patched:
        patched.setattr(learn_and_recommend, "advance", broken)
        (rejected,) = subtask.event(interaction("e2"), offset=5)
    assert tuple(rejected)[:3] == (rows.REJECTED, b"u1", interaction("e2"))
    headers = rejected[3]
    assert b"ZeroDivisionError: a bug of ours" in headers.pop("detail")
    assert headers == {"reason": b"internal_error", "topic": b"interactions", "partition": b"3", "offset": b"5"}
    assert subtask.state() == before

    assert list_of(subtask.event(interaction("e3")))["user_seq"] == 2
    assert subtask.counters == {"accepted": 2, "rejected": 1, "internal_error": 1}


def test_a_state_of_another_dimension_stops_the_job_instead_of_refusing_every_event(subtask, monkeypatch):
    subtask.event(interaction("e1"))
    monkeypatch.setattr(subtask.operator, "_model", replace(MODEL, dimension=MODEL.dimension + 1))
    with pytest.raises(InvalidState, match=r"must be 9 as model\.dimension says; got a user state of dimension 8"):
        subtask.event(interaction("e2"))


def test_an_error_while_encoding_leaves_the_state_untouched(subtask, monkeypatch):
    subtask.publish(snapshot(), 0)

    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(learn_and_recommend, "encode_recommendation", broken)
    (rejected,) = subtask.event(interaction("e1"))
    assert rejected[3]["reason"] == b"internal_error"
    assert subtask.state() is None


def test_without_a_table_the_event_is_learned_and_gives_no_list(subtask):
    (only,) = subtask.event(interaction("e1"))
    assert tuple(only)[:4] == (rows.EXAMPLE, None, None, None)
    assert only[-1]
    assert subtask.state().user_seq == 1
    assert subtask.counters == {"accepted": 1, "no_table": 1}


def test_a_request_without_a_table_wakes_the_tower(subtask):
    (only,) = subtask.event(interaction("e1", item_id=None, event_type="request"))
    assert only == rows.example(rows.WAKE)
    assert subtask.event(interaction("e1", item_id=None, event_type="request")) == []  # not for a duplicate


def test_a_request_gives_a_list_and_no_example(subtask):
    subtask.publish(snapshot(), 0)
    (only,) = subtask.event(interaction("e1", item_id=None, event_type="request"))
    assert (only[0], only[-1]) == (rows.RECOMMENDATION, None)


def test_late_events_and_forgotten_items_are_counted(tmp_path):
    subtask = Subtask(tmp_path, replace(MODEL, consumed_max=2))
    for n, item_id in enumerate(["i1", "i2", "i3", "i4"]):
        subtask.event(interaction(f"e{n}", item_id=item_id, event_time_ms=NOW_MS - (n == 3)))
    assert subtask.counters == {"accepted": 4, "no_table": 4, "late": 1, "forgotten": 2}


@pytest.fixture
def sparing(tmp_path):
    """Sends only lists that changed; after an event that makes the first."""
    subtask = Subtask(tmp_path, replace(MODEL, emit="changed"))
    subtask.publish(snapshot(), 0)
    assert len(list_of(subtask.event(interaction("e1")))["items"]) == 5
    return subtask


def test_a_list_that_did_not_change_is_not_sent_again_and_is_counted(sparing):
    (only,) = sparing.event(interaction("e2", item_id="unheard-of", event_type="skip"))
    assert only[0] == rows.EXAMPLE
    assert sparing.counters == {"accepted": 2, "unchanged": 1}
    assert sparing.state().user_seq == 2


def test_a_request_is_answered_though_the_list_did_not_change(sparing):
    assert list_of(sparing.event(interaction("e2", item_id=None, event_type="request")))["user_seq"] == 2
    assert sparing.counters == {"accepted": 2}


def test_what_an_event_teaches_is_sent_though_the_list_did_not_change(sparing, monkeypatch):
    monkeypatch.setattr(learn_and_recommend, "advance", lambda *given: replace(advance(*given), unchanged=True))
    (only,) = sparing.event(interaction("e2", item_id="unheard-of"))
    assert tuple(only)[:4] == (rows.EXAMPLE, None, None, None)
    assert only[-1]


def test_a_list_with_another_item_or_order_is_sent(sparing):
    best = list_of(sparing.event(interaction("e2", item_id="i1")))["items"][0]["item_id"]
    assert best != list_of(sparing.event(interaction("e3", item_id=best)))["items"][0]["item_id"]
    state = sparing.state()
    turned = replace(state, last_list=state.last_list[::-1].copy())
    sparing.flink.keyed["user"][user_key_of("u1")] = encode_user_state(turned)
    assert list_of(sparing.event(interaction("e4", item_id=None, event_type="request")))["user_seq"] == 4
    assert sparing.counters == {"accepted": 4}


def test_an_unchanged_list_is_sent_unless_the_settings_say_otherwise(subtask):
    subtask.publish(snapshot(), 0)
    first = list_of(subtask.event(interaction("e1", item_id=None, event_type="request")))
    again = list_of(subtask.event(interaction("e2", item_id=None, event_type="request")))
    assert again["items"] == first["items"]


def test_positive_events_that_name_a_list_of_their_user_are_counted_by_strategy(subtask):
    subtask.event(interaction("e1", rec_id="u1:e0", position=2))
    subtask.event(interaction("e2", rec_id="u1:e0", event_type="like", strategy="content"))
    subtask.event(interaction("e3", rec_id="u1:e0", event_type="skip"))
    subtask.event(interaction("e4", rec_id="u2:e0"))
    subtask.event(interaction("e4", rec_id="u1:e0"))  # the same event_id
    subtask.event(interaction("e5"))
    attributed = {name: n for name, n in subtask.counters.items() if name.startswith("attributed")}
    assert attributed == {"attributed_hybrid": 1, "attributed_content": 1}


# ---- announcements -------------------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch):
    """Names of the snapshot files that are read."""
    names = []
    read = SnapshotFiles.read

    def noted(files, name):
        names.append(name)
        return read(files, name)

    monkeypatch.setattr(SnapshotFiles, "read", noted)
    return names


def test_an_announcement_is_kept_as_it_came_and_loaded_once_at_the_next_event(subtask, reads):
    blob = snapshot(trained_events=5)
    name = subtask.publish(blob, 5)
    assert subtask.flink.broadcast == {
        "item-snapshots": {"full": encode_announcement(announcement(blob, 5, file=name))}
    }
    assert reads == []
    assert list_of(subtask.event(interaction("e1")))["snapshot"]["trained_events"] == 5
    subtask.event(interaction("e2"))
    assert reads == [name]


def test_an_update_is_applied_once(subtask, monkeypatch):
    loads = []
    load = TableLoader.load

    def noted(loader, full, popularity, deltas):
        loads.append((full, popularity, deltas))
        load(loader, full, popularity, deltas)

    monkeypatch.setattr(TableLoader, "load", noted)
    base = snapshot()
    full = announcement(base, 0)
    update = announcement(popularity_update(9, row=17, count=5.0), 9, kind=POPULARITY, base=base)
    subtask.announce(full, update)
    for n in range(3):
        subtask.event(interaction(f"e{n}"))
    assert loads == [(full, update, [])]


def test_of_several_announcements_only_the_last_is_loaded(subtask, reads):
    subtask.publish(snapshot(trained_events=5), 5)
    last = subtask.publish(snapshot(trained_events=6, seed=6), 6)
    assert list_of(subtask.event(interaction("e1")))["snapshot"]["trained_events"] == 6
    assert reads == [last]


def test_a_popularity_update_changes_the_list(subtask):
    base = snapshot()
    subtask.publish(base, 0)
    subtask.event(interaction("e1", item_id="i0"))
    update = popularity_update(9, row=17, count=1e9)
    subtask.announce(announcement(update, 9, kind=POPULARITY, base=base))
    fresh = list_of(subtask.event(interaction("e2", item_id="i1")))
    assert fresh["items"][0]["item_id"] == "i17"
    assert fresh["snapshot"]["trained_events"] == 9


def test_a_restored_subtask_ranks_with_the_whole_chain_of_deltas(tmp_path):
    subtask, base = Subtask(tmp_path), snapshot()
    subtask.publish(base, 0)
    first, second = delta(7, row=3, value=0.5), delta(8, row=4, value=0.25)
    subtask.announce(announcement(first, 7, kind=DELTA, base=base))
    assert list_of(subtask.event(interaction("e1")))["snapshot"]["trained_events"] == 7
    subtask.announce(announcement(second, 8, kind=DELTA, base=first))
    restored = Subtask(tmp_path, flink=subtask.flink)
    assert list_of(restored.event(interaction("e2")))["snapshot"]["trained_events"] == 8
    subtask.publish(snapshot(trained_events=9), 9)
    assert sorted(subtask.flink.broadcast["item-snapshots"]) == ["full"]


def test_a_popularity_update_of_another_full_snapshot_is_left_aside(subtask):
    subtask.publish(snapshot(trained_events=5), 5)
    update = popularity_update(9, row=17, count=1e9)
    subtask.announce(announcement(update, 9, kind=POPULARITY, base=snapshot(seed=1)))
    assert list_of(subtask.event(interaction("e1")))["snapshot"]["trained_events"] == 5
    assert subtask.counters == {"accepted": 1}


def test_a_missing_file_keeps_the_table_and_is_counted(subtask):
    subtask.publish(snapshot(trained_events=5), 5)
    subtask.event(interaction("e1"))
    gone = snapshot(trained_events=6, seed=6)
    subtask.announce(announcement(gone, 6, file="full-0-000000000006-gone.safetensors"))
    assert list_of(subtask.event(interaction("e2")))["snapshot"]["trained_events"] == 5
    assert subtask.counters == {"accepted": 2, "snapshot_fallback": 1}


def test_a_restored_subtask_loads_what_was_announced_before(subtask, tmp_path):
    subtask.publish(snapshot(trained_events=5), 5)
    subtask.event(interaction("e1"))
    restored = Subtask(tmp_path / "snapshots", flink=subtask.flink)
    fresh = list_of(restored.event(interaction("e2")))
    assert (fresh["user_seq"], fresh["snapshot"]["trained_events"]) == (2, 5)


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b'{"kind": "full"}'])
def test_an_announcement_that_cannot_be_read_is_left_aside_and_counted(subtask, value):
    subtask.publish(snapshot(trained_events=5), 5)
    subtask.flink.announce(subtask.operator, (b"full", value))
    assert list_of(subtask.event(interaction("e1")))["snapshot"]["trained_events"] == 5
    assert subtask.counters == {"accepted": 1, "invalid_announcement": 1}


# ---- the operator's surroundings -----------------------------------------------------------------


def test_the_state_dies_after_the_days_in_the_settings(tmp_path):
    ttl = Subtask(tmp_path, replace(MODEL, user_ttl_days=1.5)).flink.descriptors["user"]._ttl_config
    assert ttl.get_ttl().to_milliseconds() == 129_600_000
    cleanup = ttl.get_cleanup_strategies().get_rocksdb_compact_filter_cleanup_strategy()
    assert cleanup.get_query_time_after_num_entries() == 1_000


def test_no_second_java_is_started(tmp_path, monkeypatch):
    def refuse():
        raise AssertionError("py4j's gateway is for the client: in a TaskManager it starts a JVM")

    monkeypatch.setattr(java_gateway, "_gateway", None)
    monkeypatch.setattr(java_gateway, "launch_gateway", refuse)
    assert len(Subtask(tmp_path).event(interaction("e1"))) == 1


def test_the_state_lives_for_ever_when_the_settings_say_so(tmp_path):
    assert Subtask(tmp_path, replace(MODEL, user_ttl_days=0)).flink.descriptors["user"]._ttl_config is None


def test_state_of_a_hundred_events_takes_2192_bytes(tmp_path):
    model = ModelSettings()  # dimension 64
    subtask = Subtask(tmp_path, model)
    for n in range(100):
        subtask.event(interaction(f"e{n}", item_id=f"i{n}"))
    assert len(subtask.flink.keyed["user"][user_key_of("u1")]) == 2_192 - 8 * model.top_k  # no list without a table


def test_other_code_than_was_submitted_is_refused(tmp_path):
    operator = LearnAndRecommend(MODEL, snapshot_root=str(tmp_path), code_digest="0" * 64)
    with pytest.raises(RuntimeError, match=r"submitted with code 000000000000 but .* restart the TaskManagers"):
        operator.open(FakeFlink())


def test_the_operator_comes_without_torch():
    program = "import sys, operators.learn_and_recommend; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# ---- erasure -------------------------------------------------------------------------------------


def test_an_erase_clears_the_state_and_sends_a_tombstone_and_the_erasure(subtask):
    subtask.publish(snapshot(), 0)
    subtask.event(interaction("e1"))
    subtask.event(interaction("e1", user_id="u2"), key=b"u2")
    (row,) = subtask.event(interaction("e2", event_type="erase", item_id=None))
    erasure = encode_erasure(hash_id("u1"))
    assert row == Row(rows.RECOMMENDATION, b"u1", None, None, None, str(LATER_MS).encode(), erasure)
    assert subtask.state() is None
    assert subtask.state("u2") is not None
    assert subtask.counters == {"accepted": 3, "erased": 1}


def test_a_user_comes_back_as_one_never_seen_with_event_ids_that_may_repeat(subtask):
    subtask.publish(snapshot(), 0)
    first = list_of(subtask.event(interaction("e1")))
    subtask.event(interaction("e2", event_type="erase", item_id=None))
    again = list_of(subtask.event(interaction("e1")))
    assert again == first


def test_the_erase_of_a_user_without_state_sends_its_tombstone_too_and_before_any_table(subtask):
    (row,) = subtask.event(interaction("e1", event_type="erase", item_id=None))
    assert (row[0], row[1], row[2]) == (rows.RECOMMENDATION, b"u1", None)  # an old list may be in the topic


def test_another_users_key_erases_nobody(subtask):
    subtask.event(interaction("e1"))
    (row,) = subtask.event(interaction("e2", event_type="erase", item_id=None), key=b"u2")
    assert row[0] == rows.REJECTED
    assert subtask.state() is not None
