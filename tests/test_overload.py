"""What learn-and-recommend spares while it is behind, and when it gives up: the real class on a fake Flink."""

from dataclasses import replace

import pytest
from made_up import MODEL, NOW_MS, interaction, snapshot
from test_learn_and_recommend import Subtask, list_of

from operators import emit_spacing, learn_and_recommend, rows
from operators.emit_spacing import EmitSpacing
from operators.error_rate import ErrorRate, TooManyErrors

APART = replace(MODEL, emit_apart_ms=100, behind_ms=1_000)


class Clock:
    """The wall clock, which stands until it is set."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock(monkeypatch):
    """Every event of made_up has waited five seconds by it."""
    clock = Clock(NOW_MS + 5_000)
    monkeypatch.setattr(learn_and_recommend, "wall_clock_ms", clock)
    return clock


def subtask(root, model) -> Subtask:
    made = Subtask(root, model)
    made.publish(snapshot(), 0)
    return made


def test_behind_a_users_lists_are_sent_apart_and_the_others_are_learned_and_counted(tmp_path, clock):
    behind = subtask(tmp_path, APART)
    assert list_of(behind.event(interaction("e1", item_id="i1")))["user_seq"] == 1
    clock.now_ms += 99
    (only,) = behind.event(interaction("e2", item_id="i2"))
    assert only[0] == rows.EXAMPLE
    assert only[-1]
    assert behind.state().user_seq == 2
    clock.now_ms += 1
    assert list_of(behind.event(interaction("e3", item_id="i3")))["user_seq"] == 3
    assert behind.counters == {"accepted": 3, "overload_unsent": 1}


def test_behind_users_do_not_wait_for_each_other(tmp_path, clock):
    behind = subtask(tmp_path, APART)
    list_of(behind.event(interaction("e1")))
    list_of(behind.event(interaction("e1", user_id="u2"), key=b"u2"))
    assert behind.counters == {"accepted": 2}


def test_a_request_is_answered_however_far_behind_the_job_is(tmp_path, clock):
    behind = subtask(tmp_path, APART)
    list_of(behind.event(interaction("e1")))
    assert list_of(behind.event(interaction("e2", item_id=None, event_type="request")))["user_seq"] == 2
    assert behind.counters == {"accepted": 2}


def test_a_job_that_keeps_up_sends_every_list(tmp_path, clock):
    clock.now_ms = NOW_MS + APART.behind_ms
    keeps_up = subtask(tmp_path, APART)
    for n in range(3):
        list_of(keeps_up.event(interaction(f"e{n}", item_id=f"i{n}")))
    assert keeps_up.counters == {"accepted": 3}


def test_a_list_that_was_held_back_is_sent_with_the_next_event_though_it_did_not_change(tmp_path, clock):
    behind = subtask(tmp_path, replace(APART, emit="changed"))
    list_of(behind.event(interaction("e1", item_id="i1")))
    (held,) = behind.event(interaction("e2", item_id="i2"))
    assert held[0] == rows.EXAMPLE
    clock.now_ms += 100
    sent = list_of(behind.event(interaction("e3", item_id="unheard-of", event_type="skip")))
    assert sent["user_seq"] == 3
    (only,) = behind.event(interaction("e4", item_id="unheard-of", event_type="skip"))
    assert only[0] == rows.EXAMPLE
    assert behind.counters == {"accepted": 4, "overload_unsent": 1, "unchanged": 1}


def test_no_more_users_are_remembered_than_fit(monkeypatch):
    monkeypatch.setattr(emit_spacing, "USERS_MAX", 2)
    spacing = EmitSpacing(apart_ms=100, behind_ms=0)
    for user in ("a", "b", "c"):
        spacing.note_sent(user, 10)
    assert [spacing.holds_back(user, 1, 20) for user in ("a", "b", "c")] == [False, True, True]
    assert (len(spacing._sent_ms), len(spacing._owed)) == (2, 2)


def test_a_clock_that_was_set_back_holds_no_list_back():
    spacing = EmitSpacing(apart_ms=100, behind_ms=0)
    spacing.note_sent("a", 1_000)
    assert not spacing.holds_back("a", 1, 999)


# ---- errors --------------------------------------------------------------------------------------


def break_advance(monkeypatch) -> None:
    def broken(*_):
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(learn_and_recommend, "advance", broken)


def test_more_internal_errors_in_a_minute_than_allowed_end_the_job(tmp_path, clock, monkeypatch):
    ended = []
    monkeypatch.setattr(learn_and_recommend, "suppress_restarts", lambda _context, error: ended.append(error))
    allowing = Subtask(tmp_path, replace(MODEL, internal_error_max_per_minute=2))
    break_advance(monkeypatch)
    for n in range(2):
        (rejected,) = allowing.event(interaction(f"e{n}"), offset=n)
        assert rejected[3]["reason"] == b"internal_error"
    clock.now_ms += 59_999
    with pytest.raises(
        TooManyErrors, match=r"at most 2 internal errors a minute .*at interactions/3/2: ZeroDivisionError: a bug"
    ):
        allowing.event(interaction("e2"), offset=2)
    assert [type(error) for error in ended] == [TooManyErrors]


def test_internal_errors_that_are_rare_never_end_the_job(tmp_path, clock, monkeypatch):
    allowing = Subtask(tmp_path, replace(MODEL, internal_error_max_per_minute=2))
    break_advance(monkeypatch)
    for n in range(9):
        clock.now_ms += 30_000
        assert len(allowing.event(interaction(f"e{n}"))) == 1
    assert allowing.counters == {"rejected": 9, "internal_error": 9}


def test_without_the_setting_any_number_of_errors_is_rejected():
    unlimited = ErrorRate(0)
    for _ in range(100):
        unlimited.require_allowed(0, "t/0/0", ValueError())
