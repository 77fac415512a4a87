"""The figures of classification against plain loops."""

import statistics

import pytest
import torch

from cmkd.metrics.classification import classification_metrics


def naive(prediction, target):
    scores, labels = prediction.tolist(), target.tolist()
    classes = range(len(scores[0]))
    guesses = [max(classes, key=row.__getitem__) for row in scores]
    recalls, f1s = [], []
    for c in classes:
        hits = sum(g == t == c for g, t in zip(guesses, labels, strict=True))
        there, said = labels.count(c), guesses.count(c)
        if there:
            recalls.append(hits / there)
        if there or said:
            f1s.append(2 * hits / (there + said))
    expected = {
        "accuracy": statistics.fmean(g == t for g, t in zip(guesses, labels, strict=True)),
        "unweighted_accuracy": statistics.fmean(recalls),
        "macro_f1": statistics.fmean(f1s),
    }
    if len(classes) > 5:
        first = [sorted(classes, key=lambda c: -row[c])[:5] for row in scores]
        hits = [t in five for t, five in zip(labels, first, strict=True)]
        expected["top5_accuracy"] = statistics.fmean(hits)
    return expected


@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (5, 3), (300, 4), (4, 51), (300, 7)])
def test_the_figures_equal_plain_loops(samples, classes):
    g = torch.Generator().manual_seed(samples)
    prediction = torch.randn(samples, classes, generator=g)
    target = torch.randint(classes, (samples,), generator=g)
    values = classification_metrics(prediction, target)
    expected = naive(prediction, target)
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        assert float(values[name]) == pytest.approx(value, abs=1e-6), name


def test_a_class_without_samples_does_not_lower_the_mean_recall():
    # The first sample is taken for a class that has none.
    prediction = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    values = classification_metrics(prediction, torch.tensor([0, 1]))
    assert values["unweighted_accuracy"] == 0.5
