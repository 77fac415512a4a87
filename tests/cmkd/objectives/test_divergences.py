import math

import pytest
import torch

from cmkd.objectives.categorical import knowledge_distillation
from cmkd.objectives.divergences import (
    JensenShannon,
    ReverseKnowledgeDistillation,
    TotalVariation,
    jensen_shannon_divergence,
    reverse_knowledge_distillation,
    total_variation,
)
from cmkd.representation import Sizes
from tests.cmkd.objectives.checks import ObjectiveContract, every
from tests.cmkd.objectives.function_checks import (
    assert_computed_in_float32,
    assert_equals_loop,
    assert_gradient_is_exact,
)
from tests.cmkd.objectives.helpers import SIZES, batch, pulled, representations


@every(reverse=ReverseKnowledgeDistillation, jensen_shannon=JensenShannon, variation=TotalVariation)
class TestContract(ObjectiveContract):
    pass


def of_predictions(divergence, power):
    """Every row's divergence of softened predictions, times tau to a power, by plain loops."""

    def with_temperature(temperature):
        def softened(logits):
            odds = [math.exp(z / temperature) for z in logits]
            return [o / sum(odds) for o in odds]

        return lambda source, target: [
            temperature**power * divergence(softened(s), softened(t))
            for s, t in zip(source, target, strict=True)
        ]

    return with_temperature


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def js(q, p):
    mean = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    return (kl(p, mean) + kl(q, mean)) / 2


CASES = [
    (reverse_knowledge_distillation, of_predictions(kl, 2)),
    (jensen_shannon_divergence, of_predictions(js, 2)),
    (
        total_variation,
        of_predictions(lambda q, p: sum(abs(a - b) for a, b in zip(p, q, strict=True)) / 2, 1),
    ),
]
FUNCTIONS = [function for function, _ in CASES]


def logits(rows=4, classes=5, scale=3.0):
    torch.manual_seed(rows)
    return scale * torch.randn(2, rows, classes, dtype=torch.float64)


@pytest.mark.parametrize(("rows", "classes"), [(1, 2), (3, 4), (6, 10)])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize(("function", "loop"), CASES)
def test_the_divergences_are_those_of_plain_loops(function, loop, rows, classes, temperature):
    assert_equals_loop(
        lambda s, t: function(s, t, temperature), loop(temperature), *logits(rows, classes)
    )


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_gradient_is_that_of_finite_differences(function):
    assert_gradient_is_exact(lambda s, t: function(s, t, 2.0), *logits())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_half_precision_is_raised_to_float32(function):
    assert_computed_in_float32(function, *logits())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_equal_predictions_cost_nothing_and_all_others_something(function):
    s, t = logits()
    torch.testing.assert_close(function(s + 3, s), torch.zeros(4).double(), atol=1e-12, rtol=0)
    assert (function(s, t) > 1e-3).all()


def test_opposite_sure_predictions_reach_the_upper_bounds_with_finite_gradients():
    s = torch.tensor([[1e4, 0.0]], requires_grad=True)
    t = torch.tensor([[0.0, 1e4]])
    values = [jensen_shannon_divergence(s, t), total_variation(s, t)]
    torch.testing.assert_close(torch.cat(values), torch.tensor([math.log(2), 1.0]))
    sum(values).sum().backward()
    assert s.grad.isfinite().all()


def test_both_kl_divergences_differ_where_the_student_takes_one_of_two_peaks():
    two_peaks = torch.tensor([[4.0, 4.0, -4.0]])
    one_peak = torch.tensor([[4.0, -4.0, -4.0]])
    # Leaving a peak out costs the reverse divergence log 2, and the forward one far more.
    reverse = reverse_knowledge_distillation(one_peak, two_peaks)
    assert reverse < 0.75
    assert knowledge_distillation(one_peak, two_peaks, 1.0) > 4 * reverse


@pytest.mark.parametrize("objective", [ReverseKnowledgeDistillation, JensenShannon, TotalVariation])
def test_only_the_source_is_pulled_at_the_temperature_given(objective):
    losses = {}
    for temperature in (1.0, 3.0):
        given = representations()
        loss = objective(SIZES, temperature=temperature)(given, batch()).loss
        loss.backward()
        assert pulled(given["student"], given["teacher"]) == [True, False]
        losses[temperature] = float(loss.detach())
    assert losses[1.0] != losses[3.0]


def test_other_classes_and_temperatures_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"JensenShannon\.temperature must be"):
        JensenShannon(SIZES, temperature=0.0)
    with pytest.raises(ValueError, match="student has 3 logits and the teacher 4"):
        TotalVariation({"student": Sizes(4, 3), "teacher": Sizes(4, 4)})
