"""Large galleries, of which each query's scores are looked at by themselves."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from cmkd.metrics import retrieval
from cmkd.metrics.retrieval import rank_queries, retrieval_metrics
from tests.cmkd.metrics.test_retrieval import assert_equal, draw, naive


@pytest.fixture(autouse=True)
def _every_gallery_is_large(monkeypatch):
    monkeypatch.setattr(retrieval, "_LONG", 1)


@pytest.mark.parametrize("few_left", [0.0, 0.75, 1.0], ids=["taken out", "either", "all sorted"])
@pytest.mark.parametrize("whole_numbers", [False, True])
@pytest.mark.parametrize(("queries", "items", "classes"), [(1, 1, 1), (7, 40, 3), (30, 25, 9)])
def test_a_search_equals_the_double_loop(
    queries, items, classes, whole_numbers, few_left, monkeypatch
):
    monkeypatch.setattr(retrieval, "_FEW_LEFT", few_left)
    query, query_label, gallery, gallery_label = draw(queries, items, classes, 0, whole_numbers)
    for exclude in (False, True):
        given = (query, query_label, gallery, gallery_label)
        given = (gallery, gallery_label, gallery, gallery_label) if exclude else given
        assert_equal(retrieval_metrics(*given, exclude_self=exclude), naive(*given, exclude))


def test_of_good_embeddings_few_scores_are_sorted_and_the_ranks_stay_the_same(monkeypatch):
    torch.manual_seed(0)
    label = torch.arange(2000) % 20
    x = normalize(5 * torch.randn(20, 16)[label] + torch.randn(2000, 16), dim=1)
    lengths = []

    def ordered(scores, relevant, original=np.searchsorted):
        lengths.append(len(scores))
        return original(scores, relevant)

    monkeypatch.setattr(retrieval.np, "searchsorted", ordered)
    found = rank_queries(x, label, x, label, exclude_self=True)
    assert len(lengths) == 2000
    assert sum(lengths) < 0.05 * 2000 * 2000
    monkeypatch.setattr(retrieval, "_LONG", 10**9)
    expected = rank_queries(x, label, x, label, exclude_self=True)
    assert torch.equal(found.first, expected.first)
    assert torch.equal(found.average_precision, expected.average_precision)
