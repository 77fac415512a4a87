import numpy as np
import pytest

from datamodules.feature_arrays import Feature
from datamodules.standardise import Statistics


def vectors(values, present=None):
    values = np.asarray(values)
    return Feature(values, np.ones(len(values), bool) if present is None else present, None)


def test_standardised_training_vectors_have_zero_mean_and_unit_variance():
    feature = vectors(np.random.default_rng(0).normal([-65, 1e-3, 4e5], [8, 1e-4, 2e3], (500, 3)))
    scaled = Statistics.of(feature).apply(feature)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(0), 1, rtol=1e-5)


@pytest.mark.parametrize("constant", [0.0, 0.1, -3.7e8])
def test_a_constant_feature_becomes_zero_and_stays_finite_on_other_rows(constant):
    values = np.full((1000, 1), constant)  # the mean of 1000 times 0.1 is not quite 0.1
    statistics = Statistics.of(vectors(values))
    assert statistics.std.tolist() == [1.0]
    np.testing.assert_allclose(statistics.apply(vectors(values)), 0, atol=1e-6)
    unseen = statistics.apply(vectors(values + 2))
    assert np.abs(unseen).max() <= 2.01 + abs(constant) * 1e-6


def test_only_valid_frames_count_and_padding_stays_zero():
    values = np.array([[[2.0], [4.0], [0.0]], [[6.0], [0.0], [0.0]]])
    feature = Feature(values, np.ones(2, bool), np.array([2, 1]))
    statistics = Statistics.of(feature)
    assert statistics.mean.tolist() == [4.0]
    np.testing.assert_allclose(statistics.std, np.std([2, 4, 6]))
    scaled = statistics.apply(feature)
    assert scaled[0, 2] == 0
    assert (scaled[1, 1:] == 0).all()
    assert scaled[0, 0] < 0 < scaled[1, 0]


def test_absent_rows_do_not_count_and_stay_zero():
    feature = vectors([[1.0], [3.0], [0.0]], present=np.array([True, True, False]))
    statistics = Statistics.of(feature)
    assert statistics.mean.tolist() == [2.0]
    assert statistics.apply(feature).tolist() == [[-1.0], [1.0], [0.0]]
