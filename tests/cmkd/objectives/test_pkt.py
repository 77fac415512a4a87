import math

import pytest
import torch

from cmkd.objectives import probabilistic_knowledge_transfer
from tests.cmkd.objectives.function_checks import assert_equals_loop


def cosine(x, y):
    dot = sum(a * b for a, b in zip(x, y, strict=True))
    return dot / math.sqrt(sum(a * a for a in x) * sum(b * b for b in y))


def by_hand(source, target):
    """The divergence of every row by a plain double loop."""

    def neighbours(rows, i):
        affinities = [(cosine(rows[i], other) + 1) / 2 for other in rows]
        return [a / sum(affinities) for a in affinities]

    losses = []
    for i in range(len(source)):
        p, q = neighbours(target, i), neighbours(source, i)
        losses.append(sum(p[j] * math.log(p[j] / q[j]) for j in range(len(p))))
    return losses


@pytest.mark.parametrize(
    ("rows", "source_dim", "target_dim"), [(1, 3, 2), (2, 2, 5), (4, 3, 3), (9, 8, 4)]
)
@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_the_loss_is_that_of_a_plain_double_loop(rows, source_dim, target_dim, scale):
    torch.manual_seed(rows)
    s = scale * torch.randn(rows, source_dim, dtype=torch.float64)
    t = torch.randn(rows, target_dim, dtype=torch.float64)
    assert_equals_loop(probabilistic_knowledge_transfer, by_hand, s, t)


def test_opposite_neighbours_have_a_finite_divergence():
    s = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    t = torch.tensor([[1.0, 0.0], [1.0, 0.1]])
    losses = probabilistic_knowledge_transfer(s, t)
    losses.sum().backward()
    assert (losses > 1).all()
    assert losses.isfinite().all()
    assert s.grad.isfinite().all()
