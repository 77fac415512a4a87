"""The t interval against scipy."""

import numpy as np
import pytest
from scipy import stats

from cmkd.compare.statistics import t_interval, t_quantile


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 10, 29, 30, 149, 1000])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_quantiles_are_those_of_scipy(degrees, confidence):
    expected = stats.t.ppf((1 + confidence) / 2, degrees)
    assert t_quantile(confidence, degrees) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("count", [2, 3, 18])
def test_the_interval_is_that_of_scipy(count):
    values = np.random.default_rng(count).normal(1, 2, count)
    low, high = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
    interval = t_interval(values.tolist())
    assert interval.mean == pytest.approx((low + high) / 2)
    assert interval.half_width == pytest.approx((high - low) / 2)
    assert interval.count == count


def test_one_value_has_no_interval():
    assert t_interval([0.3]).half_width is None


def test_it_holds_the_true_mean_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(0.5, 1, (2000, 5))
    intervals = [t_interval(row.tolist()) for row in draws]
    held = np.mean([abs(i.mean - 0.5) <= i.half_width for i in intervals])
    assert 0.935 <= held <= 0.965
