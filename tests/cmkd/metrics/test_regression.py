"""The figures of regression against plain loops."""

import statistics

import pytest
import torch

from cmkd.metrics.regression import regression_metrics


def weighted_f1(target, prediction):
    total = 0.0
    for kind in (True, False):
        hits = sum(t == p == kind for t, p in zip(target, prediction, strict=True))
        said, there = prediction.count(kind), target.count(kind)
        precision = hits / said if said else 0.0
        recall = hits / there if there else 0.0
        f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
        total += f1 * there / len(target)
    return total


def share(first, second):
    return statistics.fmean(a == b for a, b in zip(first, second, strict=True))


def naive(prediction, target, low, high, neutral):
    p, t = prediction.double().tolist(), target.double().tolist()
    pairs = [(a, b) for a, b in zip(p, t, strict=True) if b != neutral]
    at_least = [x >= neutral for x in t], [x >= neutral for x in p]
    above = [b > neutral for _, b in pairs], [a > neutral for a, _ in pairs]
    grades = [[round(min(max(x, low), high)) for x in values] for values in (p, t)]
    return {
        "mae": statistics.fmean(abs(a - b) for a, b in zip(p, t, strict=True)),
        "pearson": statistics.correlation(p, t),
        "binary_accuracy": share(*at_least),
        "binary_f1": weighted_f1(*at_least),
        "binary_accuracy_nonzero": share(*above),
        "binary_f1_nonzero": weighted_f1(*above),
        f"accuracy_{high - low + 1}": share(*grades),
    }


@pytest.mark.parametrize(("low", "high", "neutral"), [(-3, 3, 0.0), (-2, 2, 0.0), (1, 5, 3.0)])
@pytest.mark.parametrize("samples", [2, 7, 200])
def test_the_figures_equal_plain_loops(samples, low, high, neutral):
    g = torch.Generator().manual_seed(samples)
    # Thirds, as annotators' means are, neutral ones among them; predictions beyond the range.
    target = torch.randint(3 * low, 3 * high + 1, (samples,), generator=g) / 3
    target[0] = neutral
    prediction = target + torch.randn(samples, generator=g) * 2
    expected = naive(prediction, target, low, high, neutral)
    values = regression_metrics(prediction, target, low, high, neutral)
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        assert float(values[name]) == pytest.approx(value, rel=1e-4, abs=1e-5), name


def test_halves_are_rounded_to_even_as_numpy_does():
    values = regression_metrics(torch.tensor([0.5, 1.5, -2.5]), torch.tensor([0.0, 2.0, -2.0]))
    assert values["accuracy_7"] == 1


def test_signs_without_any_sign_are_nan():
    neutral = regression_metrics(torch.arange(3), torch.zeros(3))
    assert neutral["binary_accuracy_nonzero"].isnan()
    assert neutral["binary_f1_nonzero"].isnan()


def test_a_constant_that_cannot_be_held_exactly_has_no_correlation():
    values = regression_metrics(torch.full((7,), 0.1), torch.randn(7))
    assert values["pearson"].isnan()
    one = regression_metrics(torch.tensor([1.0]), torch.tensor([2.0]))
    assert one["pearson"].isnan()
    assert one["mae"] == 1
