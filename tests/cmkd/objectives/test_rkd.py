import math
from functools import partial

import pytest
import torch

from cmkd.objectives import RKD, angle_relation_loss, distance_relation_loss
from tests.cmkd.objectives.checks import ObjectiveContract, every
from tests.cmkd.objectives.function_checks import assert_equals_loop
from tests.cmkd.objectives.helpers import SIZES, batch, representations


@every(distances=partial(RKD, angle_weight=0.0), angles=partial(RKD, distance_weight=0.0))
class TestContract(ObjectiveContract):
    pass


def huber(x, y):
    difference = abs(x - y)
    return difference**2 / 2 if difference < 1 else difference - 0.5


def distances(source, target):
    """Every row's loss of distances by a plain double loop."""
    n = len(source)

    def relative(rows):
        found = [[math.dist(a, b) for b in rows] for a in rows]
        mean = sum(map(sum, found)) / max(1, n * (n - 1))
        return [[d / (mean or 1) for d in row] for row in found]

    s, t = relative(source), relative(target)
    return [sum(huber(s[i][j], t[i][j]) for j in range(n)) / n for i in range(n)]


def angles(source, target):
    """Every row's loss of the angles at it by a plain triple loop."""
    n = len(source)

    def cosine(rows, i, j, k):
        if j in (i, k) or i == k:
            return 0
        first = [a - b for a, b in zip(rows[i], rows[j], strict=True)]
        second = [a - b for a, b in zip(rows[k], rows[j], strict=True)]
        dot = sum(a * b for a, b in zip(first, second, strict=True))
        return dot / (math.hypot(*first) * math.hypot(*second))

    return [
        sum(
            huber(cosine(source, i, j, k), cosine(target, i, j, k))
            for i in range(n)
            for k in range(n)
        )
        / n**2
        for j in range(n)
    ]


@pytest.mark.parametrize(
    ("rows", "source_dim", "target_dim"), [(1, 3, 2), (2, 2, 5), (4, 3, 3), (9, 8, 4)]
)
@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
@pytest.mark.parametrize(
    ("loss", "loop"), [(distance_relation_loss, distances), (angle_relation_loss, angles)]
)
def test_the_losses_are_those_of_plain_loops(rows, source_dim, target_dim, scale, loss, loop):
    torch.manual_seed(rows)
    s = scale * torch.randn(rows, source_dim, dtype=torch.float64)
    t = torch.randn(rows, target_dim, dtype=torch.float64)
    assert_equals_loop(loss, loop, s, t)


def test_the_module_sums_both_by_weight():
    given = representations()
    s, t = given["student"].embedding, given["teacher"].embedding
    expected = 3 * distance_relation_loss(s, t).mean() + 7 * angle_relation_loss(s, t).mean()
    found = RKD(SIZES, distance_weight=3.0, angle_weight=7.0)(given, batch()).loss
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("distance", "angle"), [(0.0, 0.0), (-1.0, 2.0), (float("nan"), 1.0)])
def test_weights_that_leave_nothing_are_refused(distance, angle):
    with pytest.raises(ValueError, match="finite and not negative, nor both 0"):
        RKD(SIZES, distance_weight=distance, angle_weight=angle)


def test_angles_within_tight_clusters_are_right_in_float32():
    torch.manual_seed(0)
    centres, target = torch.randn(4, 16), torch.randn(32, 16)
    source = (centres.repeat(8, 1) + 0.01 * torch.randn(32, 16)).double()
    losses, gradients = [], []
    for dtype in (torch.float32, torch.float64):
        x = source.to(dtype).requires_grad_()
        loss = angle_relation_loss(x, target.to(dtype))
        losses.append(loss.detach().double())
        gradients.append(torch.autograd.grad(loss.sum(), x)[0].double())
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)
    assert (gradients[0] - gradients[1]).norm() < 1e-4 * gradients[1].norm()
