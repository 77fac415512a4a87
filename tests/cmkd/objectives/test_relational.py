"""What the objectives that compare samples with each other have in common."""

import pytest
import torch

from cmkd.objectives import (
    PKT,
    RKD,
    CorrelationCongruence,
    SimilarityPreserving,
    angle_relation_loss,
    correlation_congruence_loss,
    distance_relation_loss,
    masked_mean,
    probabilistic_knowledge_transfer,
    similarity_preserving_loss,
)
from tests.cmkd.objectives.checks import ObjectiveContract, every
from tests.cmkd.objectives.function_checks import (
    assert_computed_in_float32,
    assert_gradient_is_exact,
)
from tests.cmkd.objectives.helpers import SIZES, batch, pulled, representations

LOSSES = {
    "pkt": probabilistic_knowledge_transfer,
    "similarity": similarity_preserving_loss,
    "distance": distance_relation_loss,
    "angle": angle_relation_loss,
    "congruence": lambda s, t, mask=None: correlation_congruence_loss(s, t, mask=mask),
}
OBJECTIVES = {
    "pkt": PKT,
    "similarity": SimilarityPreserving,
    "rkd": RKD,
    "congruence": CorrelationCongruence,
}


@every(**OBJECTIVES)
class TestContract(ObjectiveContract):
    pass


@pytest.fixture(params=LOSSES)
def loss(request):
    return LOSSES[request.param]


def pair(rows, source_dim=3, target_dim=2):
    torch.manual_seed(rows)
    return (
        torch.randn(rows, source_dim, dtype=torch.float64),
        torch.randn(rows, target_dim, dtype=torch.float64),
    )


def test_the_gradient_is_that_of_finite_differences(loss):
    assert_gradient_is_exact(loss, *pair(5))
    mask = torch.tensor([True, False, True, True, True])
    assert_gradient_is_exact(lambda s, t: masked_mean(loss(s, t, mask), mask), *pair(5))


def test_the_same_relations_cost_nothing_and_others_something(loss):
    s, _ = pair(6)
    # Turned and scaled: no distance's ratio, no angle and no cosine changes.
    turned = 3 * s @ torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    torch.testing.assert_close(loss(s, turned), torch.zeros(6, dtype=torch.float64))
    assert (loss(*pair(6)) > 1e-3).all()


def test_half_precision_and_autocast_change_nothing_but_the_inputs(loss):
    s, t = pair(6)
    assert_computed_in_float32(loss, s, t)


def test_masked_rows_are_related_with_nobody(loss):
    s, t = pair(6)
    mask = torch.tensor([True, True, False, True, False, True])
    expected = loss(s[mask], t[mask])
    s[2], t[4] = float("nan"), float("inf")
    torch.testing.assert_close(loss(s, t, mask)[mask], expected)


def test_a_lone_row_has_nothing_to_learn_from(loss):
    s, t = pair(1)
    s.requires_grad_()
    value = loss(s, t)
    value.sum().backward()
    assert float(value.detach()) == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(s.grad, torch.zeros_like(s), atol=1e-12, rtol=0)


def test_identical_source_rows_give_no_gradient_of_rounding(loss):
    s, t = pair(5)
    s = (s[:1].float().repeat(5, 1) / 3).requires_grad_()
    loss(s, t.float()).sum().backward()
    assert s.grad.abs().max() < 10


def test_rows_that_do_not_pair_up_are_refused(loss):
    with pytest.raises(
        ValueError, match=r"\(B, D\) and target \(B, E\), got \(4, 3\) and \(5, 3\)"
    ):
        loss(torch.randn(4, 3), torch.randn(5, 3))
    with pytest.raises(ValueError, match=r"got \(4, 3, 2\) and \(4, 3\)"):
        loss(torch.randn(4, 3, 2), torch.randn(4, 3))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_only_the_source_is_pulled_and_two_rows_are_asked_for(name):
    objective, given = OBJECTIVES[name](SIZES), representations()
    objective(given, batch()).loss.backward()
    assert pulled(given["student"], given["teacher"]) == [True, False]
    assert objective.minimum_rows == 2
