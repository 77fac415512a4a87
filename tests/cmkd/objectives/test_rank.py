import math
from functools import partial

import pytest
import torch
from scipy.stats import rankdata, spearmanr

from cmkd.objectives.rank import TopKRank, soft_ranks, top_k_rank_loss, union_of_top_k
from cmkd.representation import Sizes
from tests.cmkd.objectives.checks import ObjectiveContract, every
from tests.cmkd.objectives.function_checks import (
    assert_computed_in_float32,
    assert_equals_loop,
    assert_gradient_is_exact,
)
from tests.cmkd.objectives.helpers import SIZES


@every(all_classes=TopKRank, two_classes=partial(TopKRank, k=2, temperature=0.5))
class TestContract(ObjectiveContract):
    pass


def by_hand(k, temperature):
    """Every row's loss by plain loops over the union."""

    def ranks(x):
        return [0.5 + sum(1 / (1 + math.exp(-(a - b) / temperature)) for b in x) for a in x]

    def top(x):
        return set(sorted(range(len(x)), key=lambda c: -x[c])[:k])

    def loss(s, t):
        union = sorted(top(s) | top(t))
        x, y = (ranks([z[c] for c in union]) for z in (s, t))
        x, y = ([r - sum(z) / len(z) for r in z] for z in (x, y))
        if math.hypot(*y) == 0:
            return 0.0
        return 1 - sum(a * b for a, b in zip(x, y, strict=True)) / (math.hypot(*x) * math.hypot(*y))

    return lambda source, target: [loss(s, t) for s, t in zip(source, target, strict=True)]


def logits(rows=4, classes=9, scale=3.0):
    torch.manual_seed(rows + classes)
    return scale * torch.randn(2, rows, classes, dtype=torch.float64)


@pytest.mark.parametrize(("rows", "classes", "k"), [(1, 2, 2), (3, 4, 9), (6, 10, 3), (5, 30, 5)])
@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
def test_the_loss_is_that_of_plain_loops(rows, classes, k, temperature):
    assert_equals_loop(
        lambda s, t: top_k_rank_loss(s, t, k, temperature),
        by_hand(k, temperature),
        *logits(rows, classes),
    )


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (5, 40)])
def test_soft_ranks_become_scipys_as_the_temperature_goes_to_0(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = (5 * x).round()  # with ties
    expected = torch.from_numpy(rankdata(x.numpy(), axis=1))
    errors = [float((soft_ranks(x, tau) - expected).abs().max()) for tau in (1.0, 0.1, 0.01)]
    assert errors[2] < 1e-6
    assert errors == sorted(errors, reverse=True)


def test_at_low_temperature_the_loss_is_one_minus_scipys_spearman():
    s, t = logits(rows=6, classes=7)
    expected = [1 - spearmanr(a, b).statistic for a, b in zip(s.numpy(), t.numpy(), strict=True)]
    found = top_k_rank_loss(s, t, k=7, temperature=1e-4)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_ranks_among_members_are_those_without_the_others():
    x = torch.tensor([[3.0, 9.0, 1.0, -5.0, 2.0]])
    members = torch.tensor([[True, False, True, False, True]])
    found = soft_ranks(x, 1.0, members)[:, [0, 2, 4]]
    torch.testing.assert_close(found, soft_ranks(x[:, [0, 2, 4]], 1.0))


def test_the_union_holds_the_largest_of_both():
    first = torch.tensor([[5.0, 4.0, 0.0, 0.0, 0.0], [5.0, 4.0, 0.0, 0.0, 0.0]])
    second = torch.tensor([[0.0, 0.0, 5.0, 4.0, 0.0], [0.0, 5.0, 4.0, 0.0, 0.0]])
    index, members = union_of_top_k(first, second, 2)
    unions = [set(i[m].tolist()) for i, m in zip(index, members, strict=True)]
    assert unions == [{0, 1, 2, 3}, {0, 1, 2}]


def test_classes_that_neither_ranks_high_do_not_matter():
    s, t = logits(classes=9)
    loss = top_k_rank_loss(s, t, 3)
    index, members = union_of_top_k(s, t, 3)
    outside = torch.ones_like(s, dtype=torch.bool)
    for row in range(len(s)):
        outside[row, index[row][members[row]]] = False
    assert outside.any()
    torch.testing.assert_close(top_k_rank_loss(s - 5 * outside, t - 9 * outside, 3), loss)


def test_the_gradient_is_that_of_finite_differences():
    assert_gradient_is_exact(lambda s, t: top_k_rank_loss(s, t, 3), *logits())


def test_half_precision_is_raised_to_float32():
    assert_computed_in_float32(partial(top_k_rank_loss, k=3), *logits())


def test_the_same_order_and_spacing_cost_nothing_the_reverse_most():
    _, t = logits()
    torch.testing.assert_close(top_k_rank_loss(t + 3, t), torch.zeros(4).double())
    assert (top_k_rank_loss(-t, t, k=9) > 1.9).all()


def test_a_target_without_an_order_costs_nothing():
    s = torch.randn(3, 5, requires_grad=True)
    loss = top_k_rank_loss(s, torch.zeros(3, 5))
    loss.sum().backward()
    assert not loss.any()
    assert not s.grad.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"k": 0}, r"TopKRank\.k must be at least 1"), ({"temperature": 0.0}, r"\.temperature must")],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TopKRank(SIZES, **arguments)


def test_a_single_output_has_no_order():
    with pytest.raises(ValueError, match="at least 2"):
        TopKRank({"student": Sizes(4, 1), "teacher": Sizes(4, 1)})
