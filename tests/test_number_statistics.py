"""Running statistics of the catalogue's numbers against numpy on all values, and what an outlier can do to them."""

import numpy as np
import pytest

from models.number_statistics import GATE_FROM, SAMPLE, NumberStatistics


def told(values: np.ndarray) -> NumberStatistics:
    statistics = NumberStatistics()
    for value in values.tolist():
        statistics.add(3, value)
    return statistics


VALUES = np.random.default_rng(0).normal(1990, 14, 1_000)


def test_mean_deviation_and_range_are_those_of_all_values() -> None:
    statistics = told(VALUES)
    mean, deviation = statistics.mean_and_deviation()
    assert mean[3] == pytest.approx(VALUES.mean())
    assert deviation[3] == pytest.approx(VALUES.std())
    middle, half = statistics.middle_and_half_range()
    assert (middle[3] - half[3], middle[3] + half[3]) == pytest.approx((VALUES.min(), VALUES.max()))
    assert statistics.n_outliers == 0


def test_quantiles_of_the_sample_lie_near_those_of_all_values() -> None:
    edges = told(VALUES).edges(4)[3]
    below = [(edge > VALUES).mean() for edge in edges]
    np.testing.assert_allclose(below, [0.25, 0.5, 0.75], atol=0.08)  # 256 values: a deviation of .03


def test_every_value_is_as_likely_in_the_sample_as_any_other() -> None:
    sample = told(np.arange(2_000.0)).sample[3]
    assert len(set(sample.tolist())) == SAMPLE
    assert 800 < sample.mean() < 1_200  # 999.5 with a deviation of 36


def test_wild_values_are_cut_and_counted_wherever_they_come() -> None:
    wild = VALUES.copy()
    wild[[3, 18, 400, 700, 999]] = [1e30, -1e30, 1e9, 0, 9_999]
    statistics = told(wild)
    tame = np.delete(wild, [3, 18, 400, 700, 999])
    assert statistics.n_outliers == 5
    assert statistics.mean_and_deviation()[0][3] == pytest.approx(tame.mean())
    assert statistics.mean_and_deviation()[1][3] == pytest.approx(tame.std())
    low, high = statistics.gates[3]
    assert 1_900 < low < tame.min()
    assert tame.max() < high < 2_100


def test_there_is_no_gate_before_twenty_values() -> None:
    assert told(VALUES[: GATE_FROM - 1]).gates[3].tolist() == [-np.inf, np.inf]
    assert np.isfinite(told(VALUES[:GATE_FROM]).gates[3]).all()


def test_a_rare_flag_is_no_outlier() -> None:
    statistics = told(np.arange(500) % 40 == 0)
    assert statistics.n_outliers == 0
    assert statistics.mean_and_deviation()[0][3] == pytest.approx(13 / 500)


def test_a_number_that_never_varies_and_one_nobody_says_divide_by_one() -> None:
    statistics = told(np.full(50, 7.0))
    assert statistics.mean_and_deviation()[1][[3, 4]].tolist() == [1, 1]
    assert statistics.middle_and_half_range()[1][[3, 4]].tolist() == [1, 1]
    assert statistics.edges(3)[4].tolist() == [0, 0]
