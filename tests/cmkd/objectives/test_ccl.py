import math
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from cmkd.objectives import CCL, class_aware_nce, knowledge_distillation
from cmkd.objectives.ccl import Composition
from cmkd.representation import Sizes
from tests.cmkd.objectives.checks import ObjectiveContract, every
from tests.cmkd.objectives.function_checks import (
    assert_computed_in_float32,
    assert_equals_loop,
    assert_gradient_is_exact,
)
from tests.cmkd.objectives.helpers import SIZES, batch, pulled, representations
from tests.cmkd.objectives.ranks import assert_ranks_equal_one_process


@every(ccl=partial(CCL, target="teacher"), ccl_cold=partial(CCL, target="teacher", temperature=0.1))
class TestContract(ObjectiveContract):
    pass


def loop(temperature):
    """The published form by plain loops; classes of anchors and candidates are given."""

    def unit(x):
        length = math.sqrt(sum(a * a for a in x))
        return [a / length for a in x]

    def losses(anchors, candidates, label, candidate_label):
        values = []
        for x, own in zip(map(unit, anchors), label, strict=True):
            odds = [
                math.exp(sum(a * b for a, b in zip(x, unit(y), strict=True)) / temperature)
                for y in candidates
            ]
            p = [o / sum(odds) for o in odds]
            same = [-math.log(q) for q, c in zip(p, candidate_label, strict=True) if c == own]
            other = [-math.log(1 - q) for q, c in zip(p, candidate_label, strict=True) if c != own]
            values.append(sum(sum(part) / len(part) for part in (same, other) if part))
        return values

    return losses


def inputs(rows, candidates, dim, classes):
    torch.manual_seed(rows)
    x = torch.randn(rows, dim, dtype=torch.float64)
    y = torch.randn(candidates, dim, dtype=torch.float64)
    return x, y, torch.arange(rows) % classes, torch.arange(candidates) % classes


@pytest.mark.parametrize(
    ("rows", "candidates", "dim", "classes"),
    [(2, 2, 3, 2), (3, 6, 4, 2), (5, 5, 2, 3), (4, 4, 3, 4), (4, 7, 3, 1)],
    ids=["pairs", "more candidates", "classes of one sample", "all of one sample", "one class"],
)
@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_the_loss_is_that_of_a_plain_loop(rows, candidates, dim, classes, temperature):
    assert_equals_loop(
        lambda *x: class_aware_nce(*x, temperature),
        loop(temperature),
        *inputs(rows, candidates, dim, classes),
    )


def test_the_gradient_is_that_of_finite_differences():
    x, y, label, candidate_label = inputs(4, 6, 3, 3)
    valid = torch.tensor([True, True, False, True, True, True])
    assert_gradient_is_exact(
        lambda x, y: class_aware_nce(x, y, label, candidate_label, 0.4, valid), x, y
    )


def test_half_precision_embeddings_are_raised_to_float32():
    assert_computed_in_float32(
        lambda x, y, a, b: class_aware_nce(x, y, a, b, 0.4), *inputs(4, 6, 3, 3)
    )


def test_candidates_that_are_not_valid_might_as_well_not_be_there():
    x, y, label, candidate_label = inputs(3, 7, 4, 3)
    valid = torch.tensor([True, False, True, True, False, True, True])
    expected = class_aware_nce(x, y[valid], label, candidate_label[valid], 0.3)
    y[~valid] = 1e9
    found = class_aware_nce(x, y, label, candidate_label, 0.3, valid)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("rows", [1, 3])
def test_the_loss_of_one_class_of_identical_rows_is_the_log_of_their_number(rows):
    x = torch.ones(rows, 4, requires_grad=True)
    loss = class_aware_nce(x, x, torch.zeros(rows).long(), torch.zeros(rows).long(), 0.5)
    torch.testing.assert_close(loss, torch.full((rows,), math.log(rows)))
    loss.sum().backward()
    assert x.grad.isfinite().all()


def test_a_wrong_class_of_probability_near_1_still_has_a_finite_loss_and_a_gradient():
    x = torch.tensor([[1.0, 0.02]], requires_grad=True)
    candidates = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    loss = class_aware_nce(x, candidates, torch.tensor([1]), torch.tensor([0, 1]), 0.01)
    loss.sum().backward()
    # -log p of the right one, and as much for the wrong one.
    torch.testing.assert_close(loss, 2 * 200 * normalize(x.detach())[:, 0])
    assert x.grad.abs().max() > 1


def test_the_composition_adds_a_linear_layer_of_both_directions_to_the_auxiliary_embedding():
    torch.manual_seed(0)
    composition = Composition(3, 4)
    a, v = torch.randn(2, 5, 3)
    composed, logits = composition(a, v)
    linear, head = composition.residual.layers[0], composition.classifier.layers[0]
    expected = a + linear(torch.cat([normalize(a), normalize(v)], 1))
    torch.testing.assert_close(composed, expected)
    torch.testing.assert_close(logits, head(expected))


def equal_widths():
    sizes = {role: Sizes(4, 4) for role in ("student", "auxiliary")}
    torch.manual_seed(0)
    given = representations()
    embedding = torch.randn(5, 4, requires_grad=True)
    student = type(given["student"])(embedding, given["student"].logits, {}, given["student"].valid)
    return sizes, {"student": student, "auxiliary": given["auxiliary"]}


def test_the_module_adds_contrasts_divergence_and_the_compositions_own_losses():
    sizes, given = equal_widths()
    objective = CCL(sizes, temperature=0.5)
    data = batch()
    v, a, label = given["student"].embedding, given["auxiliary"].embedding, data["label"]
    c, logits = objective.composition(a, v)

    def contrast(x, y):
        return class_aware_nce(x, y, label, label, 0.5) + class_aware_nce(y, x, label, label, 0.5)

    p = given["student"].logits
    divergence = (knowledge_distillation(p, logits, 1) + knowledge_distillation(logits, p, 1)) / 2
    contrasts = (contrast(v, c) + contrast(v, a)).mean()
    labelled = cross_entropy(logits, label)
    output = objective(given, data)
    torch.testing.assert_close(
        output.loss, contrasts + contrast(c, a).mean() + divergence.mean() + labelled
    )
    torch.testing.assert_close(
        output.logs,
        {
            "contrast": contrasts.detach(),
            "divergence": divergence.mean().detach(),
            "composition_loss": labelled.detach(),
        },
    )


def test_what_the_composition_learns_for_itself_does_not_reach_the_source():
    sizes, given = equal_widths()
    objective = CCL(sizes, temperature=0.5)
    data = batch()
    objective(given, data).loss.backward()
    found = given["student"].embedding.grad.clone()

    v, a, label = given["student"].embedding, given["auxiliary"].embedding, data["label"]
    v.grad = None
    c, logits = objective.composition(a.detach(), v)
    p = given["student"].logits
    parts = [class_aware_nce(x, y, label, label, 0.5) for x, y in ((v, c), (c, v), (v, a), (a, v))]
    parts += [knowledge_distillation(p, logits, 1) / 2, knowledge_distillation(logits, p, 1) / 2]
    sum(part.mean() for part in parts).backward()
    torch.testing.assert_close(found, v.grad)
    assert pulled(given["student"]) == [True]


def test_by_default_the_frozen_auxiliary_model_is_the_target():
    given = representations()
    objective = CCL(SIZES)
    objective(given, batch()).loss.backward()
    assert objective.roles() == {"student", "auxiliary"}
    assert pulled(given["student"], given["auxiliary"]) == [True, False]


def test_only_a_target_of_another_width_is_adapted():
    names = {name for name, _ in CCL(SIZES).named_parameters()}
    assert any(name.startswith("adapter") for name in names)
    assert not any(n.startswith("adapter") for n, _ in CCL(equal_widths()[0]).named_parameters())


def test_a_masked_row_needs_no_label():
    given, data = representations(), batch()
    torch.manual_seed(0)
    objective = CCL(SIZES)
    given["student"].valid[2] = False
    before = objective(given, data).loss
    data["label"][2] = -1
    torch.testing.assert_close(objective(given, data).loss, before)


def test_classes_of_one_sample_have_finite_gradients():
    given = representations(rows=4)
    output = CCL(SIZES)(given, batch(4))
    output.loss.backward()
    assert output.loss.isfinite()
    assert given["student"].embedding.grad.isfinite().all()


@pytest.mark.parametrize("label", [None, torch.zeros(5)])
def test_labels_that_are_no_classes_are_refused(label):
    data = batch()
    del data["label"]
    if label is not None:
        data["label"] = label
    with pytest.raises(ValueError, match=r"CCL needs the batch's 'label' to be classes"):
        CCL(SIZES)(representations(), data)


def test_a_temperature_out_of_range_and_a_single_logit_are_refused():
    with pytest.raises(ValueError, match=r"CCL\.temperature must be"):
        CCL(SIZES, temperature=0.0)
    with pytest.raises(ValueError, match="the student has 1 logit"):
        CCL({"student": Sizes(4, 1), "auxiliary": Sizes(4, 1)})


@pytest.mark.slow
def test_two_ranks_give_value_and_gradient_of_the_joint_batch(tmp_path: Path):
    assert_ranks_equal_one_process({"ccl": CCL}, tmp_path)
