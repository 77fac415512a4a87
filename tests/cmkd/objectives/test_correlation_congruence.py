import math

import pytest
import torch

from cmkd.objectives import CorrelationCongruence, correlation_congruence_loss
from tests.cmkd.objectives.function_checks import assert_equals_loop
from tests.cmkd.objectives.helpers import SIZES, batch, representations


def by_hand(gamma, order):
    def kernel(x, y):
        dot = sum(a * b for a, b in zip(x, y, strict=True))
        cosine = dot / math.sqrt(sum(a * a for a in x) * sum(b * b for b in y))
        powers = [(2 * gamma * cosine) ** p / math.factorial(p) for p in range(order + 1)]
        return math.exp(-2 * gamma) * sum(powers)

    def losses(source, target):
        rows = range(len(source))
        return [
            sum((kernel(source[i], source[j]) - kernel(target[i], target[j])) ** 2 for j in rows)
            / len(rows)
            for i in rows
        ]

    return losses


@pytest.mark.parametrize(
    ("rows", "source_dim", "target_dim"), [(1, 3, 2), (2, 2, 5), (4, 3, 3), (9, 8, 4)]
)
@pytest.mark.parametrize(("gamma", "order"), [(0.4, 2), (0.1, 1), (1.5, 5)])
def test_the_loss_is_that_of_a_plain_double_loop(rows, source_dim, target_dim, gamma, order):
    torch.manual_seed(rows)
    s = torch.randn(rows, source_dim, dtype=torch.float64)
    t = torch.randn(rows, target_dim, dtype=torch.float64)
    assert_equals_loop(
        lambda s, t: correlation_congruence_loss(s, t, gamma, order), by_hand(gamma, order), s, t
    )


def test_a_long_expansion_is_the_gaussian_kernel():
    torch.manual_seed(0)
    s, t = torch.nn.functional.normalize(torch.randn(2, 5, 3, dtype=torch.float64), dim=2)
    s_kernel, t_kernel = (torch.exp(-0.4 * torch.cdist(x, x).square()) for x in (s, t))
    torch.testing.assert_close(
        correlation_congruence_loss(s, t, 0.4, order=20),
        (s_kernel - t_kernel).square().mean(dim=1),
    )


def test_the_module_maps_the_source_alone_and_linearly():
    objective, given = CorrelationCongruence(SIZES, gamma=0.3, order=3), representations()
    (linear,) = objective.projection.layers
    s = given["student"].embedding @ linear.weight.T + linear.bias
    expected = correlation_congruence_loss(s, given["teacher"].embedding, 0.3, 3).mean()
    torch.testing.assert_close(objective(given, batch()).loss, expected)


@pytest.mark.parametrize("arguments", [{"gamma": 0.0}, {"order": 0}])
def test_arguments_out_of_range_are_refused(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=rf"CorrelationCongruence\.{name} must be"):
        CorrelationCongruence(SIZES, **arguments)
