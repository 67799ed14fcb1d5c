"""When the tower sheds how much, and how busy it is."""

import pytest

from models.tower_stream import Shed
from operators.busy_share import BusyShare
from operators.shedding import Shedding

LATE_MS, IN_TIME_MS = 1_001, 1_000
MS = 1_000_000  # ns


def levels(shedding: Shedding, age_ms: int, busy: float, seconds: list[float]) -> list[Shed]:
    return [shedding.level(age_ms, busy, round(1_000 * second)) for second in seconds]


def test_a_busy_tower_sheds_one_level_more_each_second_and_one_less_when_it_has_caught_up() -> None:
    shedding = Shedding(1.0)
    rising = levels(shedding, LATE_MS, 0.9, [0, 0.9, 1, 1.9, 2, 3, 4, 5, 6])
    assert rising == [
        Shed.NEGATIVES,
        Shed.NEGATIVES,
        Shed.REPLAY,
        Shed.REPLAY,
        Shed.HALF,
        Shed.QUARTER,
        Shed.TENTH,
        Shed.TENTH,
        Shed.TENTH,
    ]
    falling = levels(shedding, IN_TIME_MS, 0.9, [6.5, 7, 8, 9, 9.5, 10, 11])
    assert falling == [
        Shed.TENTH,
        Shed.QUARTER,
        Shed.HALF,
        Shed.REPLAY,
        Shed.REPLAY,
        Shed.NOTHING,
        Shed.NOTHING,
    ]


@pytest.mark.parametrize("busy", [0.0, 0.89])
def test_a_backlog_that_is_not_the_towers_fault_costs_negatives_only(busy: float) -> None:
    assert set(levels(Shedding(1.0), 10**9, busy, [n / 10 for n in range(100)])) == {Shed.NEGATIVES}


def test_a_tower_with_time_left_again_goes_back_to_fewer_negatives() -> None:
    shedding = Shedding(1.0)
    levels(shedding, LATE_MS, 1.0, [0, 1, 2])
    assert levels(shedding, LATE_MS, 0.5, [3, 4, 5]) == [Shed.REPLAY, Shed.NEGATIVES, Shed.NEGATIVES]


def test_examples_in_time_cost_nothing_however_busy_the_tower_is() -> None:
    assert set(levels(Shedding(1.0), IN_TIME_MS, 1.0, [0, 1, 2, 3])) == {Shed.NOTHING}


def test_a_clock_that_was_set_back_holds_no_level_for_ever() -> None:
    shedding = Shedding(1.0)
    levels(shedding, LATE_MS, 1.0, [1_000, 1_001])
    assert levels(shedding, IN_TIME_MS, 0.0, [5, 6]) == [Shed.NOTHING, Shed.NOTHING]


def test_the_busy_share_is_that_of_the_last_second() -> None:
    busy = BusyShare()
    for n in range(10):
        busy.add((5 + 100 * n) * MS, (95 + 100 * n) * MS)
    assert busy.share == 0
    busy.add(1_005 * MS, 1_095 * MS)
    assert busy.share == pytest.approx(11 * 90 / 1_090)
    busy.add(2_000 * MS, 2_095 * MS)
    assert busy.share == pytest.approx(0.095)
