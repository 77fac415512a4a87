import math
from functools import partial

import pytest
import torch

from cmkd.objectives import DKD, decoupled_knowledge_distillation, knowledge_distillation
from cmkd.representation import Sizes
from tests.cmkd.objectives.checks import ObjectiveContract, every
from tests.cmkd.objectives.function_checks import (
    assert_computed_in_float32,
    assert_equals_loop,
    assert_gradient_is_exact,
)
from tests.cmkd.objectives.helpers import SIZES, batch, pulled, representations


@every(dkd=DKD, dkd_true_class=partial(DKD, alpha=2.0, beta=0.1))
class TestContract(ObjectiveContract):
    pass


def loops(temperature):
    """TCKD and NCKD of every row by plain loops."""

    def softened(logits):
        odds = [math.exp(z / temperature) for z in logits]
        return [o / sum(odds) for o in odds]

    def divergence(p, q):
        return temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))

    def both(source, target, label):
        pairs = []
        for s, t, y in zip(source, target, label, strict=True):
            q, p = softened(s), softened(t)
            two_way = divergence([p[y], 1 - p[y]], [q[y], 1 - q[y]])
            others = [c for c in range(len(p)) if c != y]
            among = divergence(
                [p[c] / (1 - p[y]) for c in others], [q[c] / (1 - q[y]) for c in others]
            )
            pairs.append([two_way, among])
        return pairs

    return both


def stacked(temperature):
    return lambda s, t, y: torch.stack(decoupled_knowledge_distillation(s, t, y, temperature), 1)


def inputs(rows, classes, scale=3.0):
    torch.manual_seed(rows)
    s, t = scale * torch.randn(2, rows, classes, dtype=torch.float64)
    return s, t, torch.randint(classes, (rows,))


@pytest.mark.parametrize(("rows", "classes"), [(1, 2), (3, 4), (6, 10)])
@pytest.mark.parametrize("temperature", [1.0, 4.0, 10.0])
def test_both_parts_are_those_of_a_plain_loop(rows, classes, temperature):
    assert_equals_loop(stacked(temperature), loops(temperature), *inputs(rows, classes))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_parts_make_up_hintons_loss(temperature):
    s, t, label = inputs(7, 5)
    true_class, others = decoupled_knowledge_distillation(s, t, label, temperature)
    sure = (t / temperature).softmax(1)[torch.arange(7), label]
    torch.testing.assert_close(
        true_class + (1 - sure) * others, knowledge_distillation(s, t, temperature)
    )


def test_the_gradient_is_that_of_finite_differences():
    s, t, label = inputs(4, 5)
    assert_gradient_is_exact(lambda s, t: decoupled_knowledge_distillation(s, t, label, 2.0), s, t)


def test_half_precision_logits_are_raised_to_float32():
    assert_computed_in_float32(stacked(4.0), *inputs(4, 5))


def test_equal_predictions_cost_nothing_and_two_classes_have_no_others():
    s, t, label = inputs(5, 4)
    for part in decoupled_knowledge_distillation(t + 7, t, label):
        torch.testing.assert_close(part, torch.zeros_like(part), atol=1e-9, rtol=0)
    assert all((part > 1e-3).all() for part in decoupled_knowledge_distillation(s, t, label))
    assert not decoupled_knowledge_distillation(s[:, :2], t[:, :2], label % 2)[1].any()


def test_sure_and_wrong_predictions_are_finite():
    s = torch.tensor([[1e4, 0.0, 0.0], [0.0, 1e4, 0.0]], requires_grad=True)
    t = torch.tensor([[0.0, 1e4, 0.0], [0.0, 0.0, 1e4]])
    loss = torch.stack(decoupled_knowledge_distillation(s, t, torch.tensor([0, 1]), 1.0))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert s.grad.isfinite().all()


def test_the_module_weighs_the_parts_and_logs_them():
    given, data = representations(), batch()
    parts = decoupled_knowledge_distillation(
        given["student"].logits, given["teacher"].logits, data["label"], 2.0
    )
    first, second = (part.mean().detach() for part in parts)
    output = DKD(SIZES, alpha=0.5, beta=3.0, temperature=2.0)(given, data)
    torch.testing.assert_close(output.loss.detach(), 0.5 * first + 3 * second)
    torch.testing.assert_close(output.logs, {"true_class": first, "other_classes": second})
    output.loss.backward()
    assert pulled(given["student"], given["teacher"]) == [True, False]


def test_a_masked_row_needs_no_label():
    given, data = representations(), batch()
    given["student"].valid[2] = False
    before = DKD(SIZES)(given, data).loss
    data["label"][2] = -1
    assert DKD(SIZES)(given, data).loss == before


@pytest.mark.parametrize(
    ("label", "message"), [(None, "got none"), (torch.zeros(5), r"got torch\.float32")]
)
def test_labels_that_are_no_classes_are_refused(label, message):
    data = batch()
    del data["label"]
    if label is not None:
        data["label"] = label
    with pytest.raises(ValueError, match=message):
        DKD(SIZES)(representations(), data)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0.0}, r"DKD\.alpha must be a finite number above 0"),
        ({"beta": -1.0}, r"DKD\.beta must be"),
        ({"temperature": float("nan")}, r"DKD\.temperature must be"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DKD(SIZES, **arguments)


@pytest.mark.parametrize(("student", "teacher"), [(3, 4), (1, 1)])
def test_other_or_too_few_classes_are_refused(student, teacher):
    sizes = {"student": Sizes(4, student), "teacher": Sizes(4, teacher)}
    with pytest.raises(ValueError, match=f"student has {student} logits and the teacher {teacher}"):
        DKD(sizes)
