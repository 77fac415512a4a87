import math

import pytest
import torch

from cmkd.objectives import similarity_preserving_loss
from tests.cmkd.objectives.function_checks import assert_equals_loop


def by_hand(source, target):
    """The squared difference of every row of similarities by a plain double loop."""

    def similarities(rows, i):
        products = [sum(a * b for a, b in zip(rows[i], other, strict=True)) for other in rows]
        length = math.sqrt(sum(p * p for p in products))
        return [p / length for p in products]

    return [
        sum(
            (a - b) ** 2
            for a, b in zip(similarities(source, i), similarities(target, i), strict=True)
        )
        / len(source)
        for i in range(len(source))
    ]


@pytest.mark.parametrize(
    ("rows", "source_dim", "target_dim"), [(1, 3, 2), (2, 2, 5), (4, 3, 3), (9, 8, 4)]
)
@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_the_loss_is_that_of_a_plain_double_loop(rows, source_dim, target_dim, scale):
    torch.manual_seed(rows)
    s = scale * torch.randn(rows, source_dim, dtype=torch.float64)
    t = torch.randn(rows, target_dim, dtype=torch.float64)
    assert_equals_loop(similarity_preserving_loss, by_hand, s, t)


def test_the_mean_over_rows_is_the_papers_norm_over_the_squared_batch_size():
    torch.manual_seed(0)
    s, t = torch.randn(2, 6, 4, dtype=torch.float64)

    def matrix(x):
        product = x @ x.T
        return product / product.norm(dim=1, keepdim=True)

    expected = (matrix(t) - matrix(s)).norm() ** 2 / 6**2
    torch.testing.assert_close(similarity_preserving_loss(s, t).mean(), expected)
