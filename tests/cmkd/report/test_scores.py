"""Intervals over samples."""

import pytest
import torch
from scipy.stats import binomtest
from torch.nn.functional import normalize, one_hot

from cmkd.metrics.retrieval import retrieval_metrics
from cmkd.report.evaluation import Outputs
from cmkd.report.scores import scores, wilson
from cmkd.tasks import Classification, Regression, Retrieval


def outputs(count=60, classes=3, right=0.7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    target = torch.arange(count) % classes
    wrong = torch.rand(count, generator=generator) > right
    prediction = one_hot((target + wrong.long()) % classes, classes).float()
    embedding = prediction + 0.8 * torch.randn(count, classes, generator=generator)
    return Outputs(prediction, embedding, target, torch.arange(count), left_out=0)


@pytest.mark.parametrize(("hits", "count"), [(0, 5), (3, 7), (40, 50), (9, 9)])
def test_wilsons_interval_is_that_of_scipy(hits, count):
    expected = binomtest(hits, count).proportion_ci(0.95, "wilson")
    assert wilson(hits, count) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_the_interval_of_an_accuracy_is_about_the_binomial_one():
    of = outputs(count=200)
    score = scores(Classification(3), of)["accuracy"]
    hits = int((of.prediction.argmax(1) == of.target).sum())
    assert score.value == pytest.approx(hits / 200)
    assert (score.low, score.high) == pytest.approx(wilson(hits, 200), abs=0.02)


def test_retrieval_has_the_values_of_the_metric_and_intervals_around_them():
    queries, gallery = outputs(30), outputs(40, seed=1)
    found = scores(Retrieval(3, ks=(1, 5)), queries, gallery)
    expected = retrieval_metrics(
        normalize(queries.embedding, dim=1),
        queries.target,
        normalize(gallery.embedding, dim=1),
        gallery.target,
        ks=(1, 5),
    )
    for name in ("recall_at_1", "recall_at_5", "median_rank", "mean_average_precision"):
        assert found[name].value == pytest.approx(float(expected[name]), abs=1e-6)
        assert found[name].low <= found[name].value <= found[name].high
    assert found["recall_at_1"].low < found["recall_at_1"].high
    assert "accuracy" in found


def test_without_a_gallery_no_query_finds_itself():
    alone = Outputs(torch.eye(2), torch.eye(2), torch.tensor([0, 1]), torch.arange(2), 0)
    assert scores(Retrieval(2, ks=(1,)), alone)["recall_at_1"].value == 0


def test_regression_has_intervals_too():
    target = torch.linspace(-3, 3, 40)
    generator = torch.Generator().manual_seed(0)
    prediction = target + torch.randn(40, generator=generator)
    of = Outputs(prediction, torch.zeros(40, 2), target, torch.arange(40), 0)
    found = scores(Regression(), of)
    assert found["mae"].value == pytest.approx(float((prediction - target).abs().mean()))
    assert 0 < found["mae"].low < found["mae"].value < found["mae"].high
