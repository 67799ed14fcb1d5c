"""Sending on a clock that only the producer moves: pace, acknowledgements, malformed rows, a lost broker."""

from dataclasses import replace

import pytest
from fake_producer import Producer

from livetower.replay.errors import ReplayError
from livetower.replay.records import Outgoing
from livetower.replay.send import FIRST_SHOWN, WAIT_S, Malformed, Outstanding, Pace, Sending
from livetower.replay.state import ReplayState, fingerprint_of
from livetower.rows import Row


def row(number: int) -> Row:
    return Row(number, f"line {number}", b"%d" % number, {})


def made(row: Row) -> Outgoing:
    """Row n happened after n seconds; rows from 100 on are malformed."""
    good = Outgoing(b"key", row.raw, 1000 * row.number)
    return good if row.number < 100 else replace(good, reason="missing_field", detail="user_id is missing")


class World:
    """One sending, what it saved and what it showed."""

    def __init__(self, malformed: Malformed = Malformed.STOP, pace: Pace | None = None) -> None:
        self.producer = Producer()
        self.saved: list[tuple[float, int]] = []
        self.shown: list[str] = []
        self.sending = Sending(
            producer=self.producer,
            topic="interactions",
            file="f.csv",
            make=made,
            malformed=malformed,
            state=ReplayState("f.csv", "interactions", "id"),
            save=lambda state: self.saved.append((self.producer.now_s, state.number)),
            show=self.shown.append,
            progress=lambda _number: None,
            pace=pace or Pace(),
            clock_s=lambda: self.producer.now_s,
        )

    def run(self, *numbers: int) -> None:
        self.sending.run(map(row, numbers))

    def sent(self) -> list[int]:
        return [int(value) for _, value, _ in self.producer.sent]


def test_the_position_is_the_last_row_up_to_which_all_are_acknowledged():
    outstanding = Outstanding()
    for number in (2, 3, 5, 6):
        outstanding.sent(row(number))
    positions = []
    for number in (3, 6, 2, 5):
        outstanding.acknowledged(number)
        positions.append(outstanding.last and outstanding.last[0])
    assert positions == [None, None, 3, 6]
    assert outstanding.last == (6, fingerprint_of(row(6)))


def test_at_a_rate_records_leave_evenly_whatever_their_times():
    world = World(pace=Pace(per_s=4.0))
    world.run(9, 2, 3)
    assert [at for at, _, _ in world.producer.sent] == pytest.approx([0, 0.25, 0.5])


def test_at_a_speed_records_leave_as_far_apart_as_they_happened():
    world = World(pace=Pace(speed=2.0))
    world.run(10, 11, 15, 12, 16)
    assert [at for at, _, _ in world.producer.sent] == pytest.approx([0, 0.5, 2.5, 2.5, 3.0])


def test_a_full_queue_is_waited_for_and_nothing_is_lost():
    world = World()
    world.producer.full_for = 3
    world.run(2, 3, 4)
    assert world.sent() == [2, 3, 4]
    assert world.producer.sent[0][0] == pytest.approx(3 * WAIT_S)
    assert world.saved[-1][1] == 4
    assert world.sending.acknowledged == 3


def test_the_state_is_saved_about_once_a_second_and_at_the_end():
    world = World(pace=Pace(per_s=2.0))
    world.run(*range(2, 9))
    assert [(round(at, 6), number) for at, number in world.saved] == [(1.0, 4), (2.0, 6), (3.0, 8), (3.0, 8)]


def test_a_stop_leaves_the_position_behind_what_is_acknowledged():
    world = World(pace=Pace(per_s=2.0))

    def stop(count: int) -> None:
        world.sending.stopped = count == 3

    world.producer.after = stop
    world.run(*range(2, 9))
    assert world.sent() == [2, 3, 4]
    assert world.saved[-1][1] == 4
    world.sending.run(map(row, range(5, 9)))
    assert world.sent() == [2, 3, 4], "a stopped one sends no more"


def test_a_stop_is_noticed_while_the_queue_is_full():
    world = World()
    world.producer.full_for = 10**9
    world.producer.before_poll = lambda: setattr(world.sending, "stopped", world.producer.now_s > 1)
    world.run(2, 3)
    assert world.sent() == []
    assert world.saved[-1][1] == 0


def test_a_record_that_the_broker_refuses_ends_it_behind_the_last_row_before():
    world = World()
    world.producer.refuses = {2}
    with pytest.raises(ReplayError, match=r"Broker: gone. Acknowledged up to row 3; the same command goes on"):
        world.run(*range(2, 9))
    assert world.saved[-1][1] == 3
    assert len(world.sent()) == 3


def test_a_broker_that_never_answers_is_named_with_what_is_open():
    world = World()
    world.producer.acknowledges = False
    with pytest.raises(ReplayError, match=r"2 records were not acknowledged within 30 s. Acknowledged up to row 0"):
        world.run(2, 3)
    assert world.saved[-1][1] == 0


def test_a_malformed_row_stops_it_with_its_line_unless_told_otherwise():
    world = World()
    with pytest.raises(ReplayError, match=r"^f.csv, line 101: user_id is missing. Mend it, .* up to row 3;"):
        world.run(2, 3, 101, 102)
    assert world.sent() == [2, 3]
    assert world.saved[-1][1] == 3


def test_malformed_rows_are_passed_over_counted_and_the_first_ones_shown():
    world = World(Malformed.SKIP)
    world.run(2, *range(101, 109))
    assert world.sent() == [2]
    assert world.sending.reasons == {"missing_field": 8}
    assert world.shown[0] == "f.csv, line 101: user_id is missing; passed over"
    assert len(world.shown) == FIRST_SHOWN + 1
    assert world.saved[-1][1] == 108


def test_malformed_rows_are_sent_and_counted():
    world = World(Malformed.SEND)
    world.run(2, 101, 102)
    assert world.sent() == [2, 101, 102]
    assert world.sending.reasons == {"missing_field": 2}
    assert world.shown == [f"f.csv, line {number}: user_id is missing; sent all the same" for number in (101, 102)]
