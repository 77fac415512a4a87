import math
import re
from functools import partial

import pytest
import torch

from cmkd.objectives import VID, Layer, variational_information_loss
from tests.cmkd.objectives.checks import (
    ObjectiveContract,
    assert_absent_modality_changes_nothing,
    every,
)
from tests.cmkd.objectives.function_checks import (
    assert_computed_in_float32,
    assert_equals_loop,
    assert_gradient_is_exact,
)
from tests.cmkd.objectives.helpers import SIZES, batch, pulled, representations

HIDDEN = partial(VID, source_layer=Layer("video", 0), target_layer=Layer("audio", -1), width=7)


@every(vid=VID, vid_linear=partial(VID, depth=0, initial_variance=0.5), vid_hidden=HIDDEN)
class TestContract(ObjectiveContract):
    pass


def by_hand(mean, variance, target):
    return [
        sum(((t - m) ** 2 / v + math.log(v)) / 2 for m, v, t in zip(row, variance, ts, strict=True))
        / len(row)
        for row, ts in zip(mean, target, strict=True)
    ]


def inputs(rows, dim):
    torch.manual_seed(rows)
    mean, target = torch.randn(2, rows, dim, dtype=torch.float64)
    return mean, torch.rand(dim, dtype=torch.float64) + 0.1, target


@pytest.mark.parametrize(("rows", "dim"), [(1, 1), (3, 4), (6, 2)])
def test_the_loss_is_that_of_a_plain_double_loop(rows, dim):
    assert_equals_loop(variational_information_loss, by_hand, *inputs(rows, dim))


def test_the_gradient_is_that_of_finite_differences():
    assert_gradient_is_exact(variational_information_loss, *inputs(3, 4))


def test_half_precision_is_raised_to_float32():
    assert_computed_in_float32(variational_information_loss, *inputs(3, 4))


def test_agreement_costs_half_the_log_variance_and_nothing_costs_less():
    mean, variance, target = inputs(5, 3)
    agreed = variational_information_loss(target, variance, target)
    torch.testing.assert_close(agreed, (variance.log().mean() / 2).expand(5))
    assert (variational_information_loss(mean, variance, target) > agreed).all()


@pytest.mark.parametrize("variance", [1e-3, 0.5, 5.0, 200.0])
def test_the_variance_starts_where_it_was_set(variance):
    objective = VID(SIZES, initial_variance=variance)
    torch.testing.assert_close(objective.variance(), torch.full((5,), variance))


def test_the_variance_becomes_the_squared_error_and_stays_above_its_bound():
    torch.manual_seed(0)
    objective, given = VID(SIZES, depth=0, min_variance=0.01), representations(rows=64)
    for p in objective.predictor.parameters():
        torch.nn.init.zeros_(p).requires_grad_(False)
    with torch.no_grad():
        given["teacher"].embedding.mul_(torch.tensor([0.0, 0.5, 1.0, 2.0, 3.0]))
    optimizer = torch.optim.Adam([objective.rho], lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        objective(given, batch(64)).loss.backward()
        optimizer.step()
    variance = objective.variance().detach()
    errors = given["teacher"].embedding.detach().square().mean(dim=0)
    torch.testing.assert_close(variance[1:], errors[1:], rtol=0.05, atol=0)
    assert 0.01 < variance[0] < 0.03


def test_the_module_is_the_function_of_its_layers():
    torch.manual_seed(0)
    objective, given = HIDDEN(SIZES), representations()
    mean = objective.predictor(given["student"].hidden["video"][0].mean(dim=(2, 3)))
    target = given["teacher"].hidden["audio"][-1].mean(dim=(2, 3))
    expected = variational_information_loss(mean, objective.variance(), target).mean()
    output = objective(given, batch())
    torch.testing.assert_close(output.loss, expected)
    output.loss.backward()
    assert pulled(given["student"], given["teacher"]) == [True, False]


def test_rows_in_which_a_layers_modality_is_absent_are_masked():
    torch.manual_seed(0)
    assert_absent_modality_changes_nothing(HIDDEN(SIZES), "audio")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source_layer": Layer("audio", 0)}, "VID.source_layer: the student has no hidden layer"),
        ({"target_layer": Layer("video", 2)}, "VID.target_layer: the teacher has no hidden layer"),
        ({"depth": -1}, "VID.depth must be 0 or more"),
        ({"width": 0}, "VID.width must be"),
        ({"initial_variance": 1e-5}, "VID.initial_variance must be above min_variance"),
        ({"min_variance": 0.0}, "VID.min_variance must be"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        VID(SIZES, **arguments)
