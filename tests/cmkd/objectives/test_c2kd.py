import math
from functools import partial
from pathlib import Path

import pytest
import torch
from scipy.stats import kendalltau

from cmkd.objectives import C2KD, kendall_tau, knowledge_distillation, non_target_divergence
from cmkd.representation import Sizes
from tests.cmkd.objectives.checks import ObjectiveContract, every
from tests.cmkd.objectives.function_checks import (
    assert_computed_in_float32,
    assert_equals_loop,
    assert_gradient_is_exact,
)
from tests.cmkd.objectives.helpers import SIZES, batch, pulled, representations
from tests.cmkd.objectives.ranks import assert_ranks_equal_one_process


@every(c2kd=C2KD, c2kd_all=partial(C2KD, threshold=-1.0))
class TestContract(ObjectiveContract):
    pass


def loop(source, target, label):
    values = []
    for s, t, y in zip(source, target, label, strict=True):
        odds = [[1.0 if c == y else math.exp(z) for c, z in enumerate(row)] for row in (s, t)]
        q, p = ([o / sum(row) for o in row] for row in odds)
        values.append(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)))
    return values


def inputs(rows, classes):
    torch.manual_seed(rows)
    s, t = 3 * torch.randn(2, rows, classes, dtype=torch.float64)
    return s, t, torch.randint(classes, (rows,))


@pytest.mark.parametrize(("rows", "classes"), [(1, 2), (3, 4), (6, 10)])
def test_the_divergence_without_the_true_class_is_that_of_a_plain_loop(rows, classes):
    assert_equals_loop(non_target_divergence, loop, *inputs(rows, classes))


def test_the_gradient_is_that_of_finite_differences_and_none_reaches_the_true_class():
    s, t, label = inputs(4, 5)
    assert_gradient_is_exact(lambda s, t: non_target_divergence(s, t, label), s, t)
    s.requires_grad_()
    non_target_divergence(s, t, label).sum().backward()
    assert not s.grad.gather(1, label[:, None]).any()


def test_half_precision_logits_are_raised_to_float32():
    assert_computed_in_float32(non_target_divergence, *inputs(4, 5))


def test_predictions_that_differ_in_the_true_class_alone_cost_nothing():
    s, t, label = inputs(5, 4)
    true = label[:, None]
    found = non_target_divergence(t.scatter(1, true, s.gather(1, true)), t, label)
    torch.testing.assert_close(found, torch.zeros_like(found), atol=1e-12, rtol=0)
    assert (non_target_divergence(s, t, label) > 1e-3).all()


@pytest.mark.parametrize("classes", [2, 3, 8, 51])
@pytest.mark.parametrize("ties", [False, True])
def test_the_rank_correlation_is_scipys(classes, ties):
    torch.manual_seed(classes)
    x, y = torch.randn(2, 12, classes)
    y = y + 0.5 * x
    if ties:
        x, y = x.round(), y.round()
    expected = [kendalltau(a, b).statistic for a, b in zip(x.numpy(), y.numpy(), strict=True)]
    torch.testing.assert_close(
        kendall_tau(x, y), torch.tensor(expected).nan_to_num(nan=0.0), check_dtype=False
    )


def test_where_nothing_varies_the_correlation_is_0():
    x = torch.tensor([[1.0, 1.0, 1.0], [1.0, 2.0, 3.0]])
    assert kendall_tau(x, x).tolist() == [0, 1]
    assert kendall_tau(x, -x).tolist() == [0, -1]


def by_parts(objective, given, data):
    """The authors' sum of six divergences, with the proxies' samples chosen by scipy."""
    s, t = given["student"].logits, given["teacher"].logits
    s_proxy = objective.source_proxy(given["student"].embedding)
    t_proxy = objective.target_proxy(given["teacher"].embedding)

    def kl(follows, leads):
        return knowledge_distillation(follows, leads.detach(), 1.0)

    losses = kl(s, s_proxy) + kl(s_proxy, s) + kl(t, t_proxy) + kl(t_proxy, t)
    chosen = [
        float(kendalltau(a, b).statistic > objective.threshold)
        for a, b in zip(s_proxy.detach().numpy(), t_proxy.detach().numpy(), strict=True)
    ]
    for follows, leads in ((s_proxy, t_proxy), (t_proxy, s_proxy)):
        between = non_target_divergence(follows, leads.detach(), data["label"])
        losses = losses + torch.tensor(chosen) * between
    return losses.mean(), chosen


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.5])
def test_the_module_adds_both_networks_parts_and_pulls_both(threshold):
    torch.manual_seed(0)
    objective = C2KD(SIZES, threshold=threshold)
    given, data = representations(rows=12), batch(12)
    expected, chosen = by_parts(objective, given, data)
    expected.backward()
    wanted = [given[role].embedding.grad.clone() for role in ("student", "teacher")]

    fresh = representations(rows=12)
    output = objective(fresh, data)
    output.loss.backward()
    torch.testing.assert_close(output.loss, expected)
    found = [fresh[role].embedding.grad for role in ("student", "teacher")]
    torch.testing.assert_close(found, wanted)
    assert output.logs["agreement"] == pytest.approx(sum(chosen) / 12)
    assert threshold == -1 or 0 < sum(chosen) < 12
    assert pulled(fresh["student"], fresh["teacher"], fresh["auxiliary"]) == [True, True, False]
    assert objective.roles() == {"student", "teacher"}


def test_a_frozen_teacher_stays_and_its_proxy_learns_from_it():
    torch.manual_seed(0)
    objective = C2KD(SIZES)
    given = representations()
    objective(given | {"teacher": given["teacher"].detach()}, batch()).loss.backward()
    assert pulled(given["student"], given["teacher"]) == [True, False]
    assert all(p.grad.any() for p in objective.target_proxy.parameters())


def test_networks_and_proxies_that_all_predict_the_same_cost_nothing():
    torch.manual_seed(0)
    objective = C2KD({role: Sizes(4, 4) for role in ("student", "teacher")})
    objective.target_proxy.load_state_dict(objective.source_proxy.state_dict())
    r = representations()["auxiliary"]
    same = type(r)(r.embedding, objective.source_proxy(r.embedding), {}, r.valid)
    loss = objective({"student": same, "teacher": same}, batch()).loss
    torch.testing.assert_close(loss, torch.tensor(0.0), atol=1e-6, rtol=0)


def test_a_masked_row_needs_no_label():
    given, data = representations(), batch()
    torch.manual_seed(0)
    objective = C2KD(SIZES)
    given["student"].valid[2] = False
    before = objective(given, data).loss
    data["label"][2] = -1
    assert objective(given, data).loss == before


@pytest.mark.parametrize("threshold", [-1.1, 1.0, float("nan")])
def test_a_threshold_out_of_range_is_refused(threshold):
    with pytest.raises(ValueError, match=r"C2KD\.threshold must be from -1 to below 1"):
        C2KD(SIZES, threshold=threshold)


def test_other_or_too_few_classes_and_missing_labels_are_refused():
    with pytest.raises(ValueError, match="student has 3 logits and the teacher 4"):
        C2KD({"student": Sizes(4, 3), "teacher": Sizes(4, 4)})
    data = batch()
    del data["label"]
    with pytest.raises(ValueError, match="C2KD needs the batch's 'label'"):
        C2KD(SIZES)(representations(), data)


@pytest.mark.slow
def test_two_ranks_give_value_and_gradient_of_the_joint_batch(tmp_path: Path):
    assert_ranks_equal_one_process({"c2kd": C2KD}, tmp_path)
