"""The search of a gallery against a plain double loop in float64."""

import statistics

import pytest
import torch

from cmkd.metrics import retrieval
from cmkd.metrics.retrieval import rank_queries, retrieval_metrics

KS = (1, 5, 10, 20)


def naive(query, query_label, gallery, gallery_label, exclude_self):
    """Sort the whole gallery for each query; of equal scores other labels come first."""
    firsts, precisions, unmatched = [], [], 0
    for i, asked in enumerate(query.double().tolist()):
        items = []
        for j, item in enumerate(gallery.double().tolist()):
            if exclude_self and i == j:
                continue
            score = sum(a * b for a, b in zip(asked, item, strict=True))
            items.append((-score, bool(gallery_label[j] == query_label[i])))
        places = [place for place, (_, hit) in enumerate(sorted(items), start=1) if hit]
        unmatched += not places
        firsts.append((places[0] if places else max(len(items), 1), bool(places)))
        found = [number / place for number, place in enumerate(places, start=1)]
        precisions.append(sum(found) / len(found) if found else 0.0)
    return {f"recall_at_{k}": statistics.fmean(hit and f <= k for f, hit in firsts) for k in KS} | {
        "median_rank": statistics.median(first for first, _ in firsts),
        "mean_average_precision": statistics.fmean(precisions),
        "queries_without_match": unmatched,
    }


def draw(queries, items, classes, seed, whole_numbers):
    """Return query, its label, gallery, its label; whole numbers in few dimensions make ties."""
    g = torch.Generator().manual_seed(seed)
    if whole_numbers:
        query = torch.randint(-1, 2, (queries, 3), generator=g).double()
        gallery = torch.randint(-1, 2, (items, 3), generator=g).double()
    else:
        query = torch.randn(queries, 8, generator=g, dtype=torch.float64)
        gallery = torch.randn(items, 8, generator=g, dtype=torch.float64)
    labels = (torch.randint(classes, (n,), generator=g) for n in (queries, items))
    return query, next(labels), gallery, next(labels)


def assert_equal(values, expected):
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        assert float(values[name]) == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("whole_numbers", [False, True])
@pytest.mark.parametrize(
    ("queries", "items", "classes"), [(1, 1, 1), (9, 30, 3), (30, 9, 12), (25, 60, 1), (40, 40, 8)]
)
def test_a_search_equals_the_double_loop(queries, items, classes, whole_numbers):
    for seed in range(3):
        drawn = draw(queries, items, classes, seed, whole_numbers)
        expected = naive(*drawn, exclude_self=False)
        for chunk in (None, 1, 4):
            assert_equal(retrieval_metrics(*drawn, chunk=chunk), expected)


@pytest.mark.parametrize("whole_numbers", [False, True])
@pytest.mark.parametrize(("items", "classes"), [(1, 1), (2, 1), (30, 3), (30, 25)])
def test_a_search_without_self_equals_the_double_loop(items, classes, whole_numbers):
    for seed in range(3):
        _, _, gallery, label = draw(1, items, classes, seed, whole_numbers)
        expected = naive(gallery, label, gallery, label, exclude_self=True)
        for chunk in (None, 1, 7):
            values = retrieval_metrics(
                gallery, label, gallery, label, exclude_self=True, chunk=chunk
            )
            assert_equal(values, expected)


def test_the_gallerys_order_does_not_matter_even_with_ties():
    query, query_label, gallery, label = draw(20, 50, 4, 0, whole_numbers=True)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    values = retrieval_metrics(query, query_label, gallery, label)
    assert values == retrieval_metrics(query, query_label, gallery[order], label[order])


def test_one_embedding_for_everything_finds_nothing():
    same, label = torch.ones(40, 4), torch.arange(40) % 2
    values = retrieval_metrics(same, label, same, label, exclude_self=True)
    # 20 items of the other class come first.
    assert values["median_rank"] == 21
    assert [float(values[f"recall_at_{k}"]) for k in KS] == [0, 0, 0, 0]


def test_ranks_come_in_the_order_of_the_queries():
    gallery = torch.eye(3)
    query = torch.tensor([[0.1, 0.2, 0.3], [1.0, 0.5, 0.0], [0.0, 1.0, 0.0]])
    ranks = rank_queries(query, torch.tensor([2, 7, 0]), gallery, torch.tensor([0, 0, 2]))
    assert ranks.first.tolist() == [1, 3, 1]
    assert ranks.relevant.tolist() == [1, 0, 2]
    # The third query's second item shares its score with another label's, which comes first.
    assert ranks.average_precision.tolist() == pytest.approx([1, 0, (1 + 2 / 3) / 2])


def test_all_relevant_items_stand_in_the_denominator():
    # The only label-0 item a published script would find among its first is at place 1.
    query, gallery = torch.tensor([[1.0]]), torch.tensor([[9.0], [8.0], [7.0], [1.0]])
    values = retrieval_metrics(query, torch.zeros(1).long(), gallery, torch.tensor([0, 1, 1, 0]))
    assert values["mean_average_precision"] == pytest.approx((1 + 2 / 4) / 2)


def test_a_k_beyond_the_gallery_does_not_count_what_is_not_there():
    query, gallery = torch.ones(2, 1), torch.ones(3, 1)
    labels = torch.tensor([0, 5]), torch.tensor([0, 1, 2])
    values = retrieval_metrics(query, labels[0], gallery, labels[1], ks=[100])
    assert values["recall_at_100"] == 0.5
    assert values["queries_without_match"] == 1


def test_no_more_scores_are_held_than_allowed(monkeypatch):
    held = []
    mm = torch.mm

    def measured(*args, **kwargs):
        scores = mm(*args, **kwargs)
        held.append(scores.numel())
        return scores

    drawn = draw(100, 50, 5, 0, whole_numbers=False)
    monkeypatch.setattr(retrieval, "_SCORES", 500)
    expected = retrieval_metrics(*drawn)
    monkeypatch.setattr(torch, "mm", measured)
    assert retrieval_metrics(*drawn) == expected
    assert held == [500] * 10


def test_the_arguments_stay_as_they_are():
    drawn = draw(10, 20, 3, 0, whole_numbers=False)
    before = [x.clone() for x in drawn]
    retrieval_metrics(*drawn)
    _, _, gallery, label = drawn
    retrieval_metrics(gallery, label, gallery, label, exclude_self=True)
    assert all(torch.equal(x, y) for x, y in zip(drawn, before, strict=True))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("side", ["query", "gallery"])
def test_embeddings_of_a_diverged_network_score_nan(side, bad):
    query, query_label, gallery, label = draw(5, 9, 2, 0, whole_numbers=False)
    {"query": query, "gallery": gallery}[side][3, 2] = bad
    values = retrieval_metrics(query, query_label, gallery, label)
    assert values.pop("queries_without_match") == 0
    assert all(value.isnan() for value in values.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": torch.zeros(0, 4), "query_label": torch.zeros(0).long()}, "query embeddings"),
        ({"gallery": torch.zeros(0, 4), "gallery_label": torch.zeros(0).long()}, "gallery embed"),
        ({"gallery": torch.zeros(3, 5)}, "one width"),
        ({"query_label": torch.zeros(3).long()}, "query embeddings"),
        ({"exclude_self": True}, "labels differ"),
        ({"ks": [0]}, "k of at least 1"),
        ({"chunk": 0}, "chunk must be at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    fitting = {
        "query": torch.zeros(2, 4),
        "query_label": torch.zeros(2).long(),
        "gallery": torch.zeros(3, 4),
        "gallery_label": torch.zeros(3).long(),
    }
    with pytest.raises(ValueError, match=message):
        retrieval_metrics(**(fitting | change))
