import math
from functools import partial

import pytest
import torch

from cmkd.objectives import DIST, dist_loss, pearson_distance
from cmkd.representation import Sizes
from tests.cmkd.objectives.checks import ObjectiveContract, every
from tests.cmkd.objectives.function_checks import (
    assert_computed_in_float32,
    assert_equals_loop,
    assert_gradient_is_exact,
)
from tests.cmkd.objectives.helpers import SIZES, batch, pulled, representations


@every(dist=DIST, dist_soft=partial(DIST, temperature=4.0, beta=0.5, gamma=2.0))
class TestContract(ObjectiveContract):
    pass


def distance(x, y):
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    product = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    square = sum((a - mean_x) ** 2 for a in x) * sum((b - mean_y) ** 2 for b in y)
    return 1 - product / math.sqrt(square)


def softened(logits, temperature):
    odds = [math.exp(z / temperature) for z in logits]
    return [o / sum(odds) for o in odds]


def samples(temperature, s, t):
    return [
        temperature**2 * distance(softened(a, temperature), softened(b, temperature))
        for a, b in zip(s, t, strict=True)
    ]


def classes(temperature, s, t):
    q, p = ([softened(row, temperature) for row in rows] for rows in (s, t))
    return [
        temperature**2 * distance([row[c] for row in q], [row[c] for row in p])
        for c in range(len(s[0]))
    ]


def logits(rows, width):
    torch.manual_seed(rows)
    return 2 * torch.randn(2, rows, width, dtype=torch.float64)


@pytest.mark.parametrize(("rows", "width"), [(2, 2), (3, 5), (7, 4)])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_both_parts_are_those_of_plain_loops(rows, width, temperature):
    for part, loop in enumerate((samples, classes)):
        assert_equals_loop(
            lambda s, t, part=part: dist_loss(s, t, temperature)[part],
            partial(loop, temperature),
            *logits(rows, width),
        )


def test_the_gradient_is_that_of_finite_differences():
    mask = torch.tensor([True, True, False, True, True])
    for given in (None, mask):
        assert_gradient_is_exact(lambda s, t, m=given: dist_loss(s, t, 2.0, m), *logits(5, 3))


def test_half_precision_logits_are_raised_to_float32():
    assert_computed_in_float32(lambda s, t: torch.cat(dist_loss(s, t)), *logits(5, 4))


def test_a_shifted_and_scaled_row_is_at_distance_0_its_mirror_at_2():
    x = torch.randn(4, 6)
    torch.testing.assert_close(pearson_distance(3 * x + 2, x), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(pearson_distance(-x, x), torch.full((4,), 2.0))


def test_a_constant_target_costs_nothing_a_constant_source_one_without_gradient():
    x = torch.randn(2, 5)
    constant = torch.full((2, 5), 0.1).requires_grad_()
    assert pearson_distance(x, constant).tolist() == [0, 0]
    distances = pearson_distance(constant, x)
    distances.sum().backward()
    assert distances.tolist() == [1, 1]
    assert not constant.grad.any()


def test_masked_rows_are_left_out_of_every_class():
    s, t = logits(6, 3)
    mask = torch.tensor([True, False, True, True, False, True])
    expected = dist_loss(s[mask], t[mask], 2.0)
    s[1], t[4] = float("nan"), float("inf")
    found = dist_loss(s, t, 2.0, mask)
    torch.testing.assert_close((found[0][mask], found[1]), expected)


def test_the_module_weighs_the_parts_and_logs_them():
    given = representations()
    parts = dist_loss(given["student"].logits, given["teacher"].logits, 2.0)
    first, second = (part.mean().detach() for part in parts)
    output = DIST(SIZES, beta=0.5, gamma=3.0, temperature=2.0)(given, batch())
    torch.testing.assert_close(output.loss.detach(), 0.5 * first + 3 * second)
    torch.testing.assert_close(output.logs, {"classes": first, "batch": second})
    output.loss.backward()
    assert pulled(given["student"], given["teacher"]) == [True, False]


def test_equal_predictions_cost_nothing():
    _, t = logits(6, 4)
    for part in dist_loss(t + 5, t):
        torch.testing.assert_close(part, torch.zeros_like(part))


@pytest.mark.parametrize("argument", ["beta", "gamma", "temperature"])
def test_arguments_out_of_range_are_refused(argument):
    with pytest.raises(ValueError, match=rf"DIST\.{argument} must be a finite number above 0"):
        DIST(SIZES, **{argument: 0.0})


def test_a_single_output_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        DIST({"student": Sizes(4, 1), "teacher": Sizes(4, 1)})
