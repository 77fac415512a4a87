import math
from functools import partial

import pytest
import torch

from cmkd.objectives.branches import BestBranch, MutualRelation, best_branch, mutual_relation_loss
from cmkd.objectives.rkd import distance_relation_loss
from cmkd.representation import Sizes
from tests.cmkd.objectives import checks
from tests.cmkd.objectives.checks import ObjectiveContract, every
from tests.cmkd.objectives.function_checks import assert_computed_in_float32, assert_equals_loop
from tests.cmkd.objectives.helpers import SIZES, batch, pulled, representations
from tests.cmkd.objectives.neighbours import representations_with_teacher_ahead
from tests.cmkd.objectives.test_rkd import distances


@every(
    mutual_relation=partial(MutualRelation, target="teacher"),
    best_of_two=BestBranch,
)
class TestContract(ObjectiveContract):
    @pytest.fixture(autouse=True)
    def _teacher_ahead(self, monkeypatch):
        """Where the teacher is not ahead it teaches nothing."""
        monkeypatch.setattr(checks, "representations", representations_with_teacher_ahead)


def by_hand(first, second):
    """RKD's loop over distances of unit vectors, which is the same both ways."""
    a, v = ([[x / math.hypot(*row) for x in row] for row in rows] for rows in (first, second))
    return [x + y for x, y in zip(distances(a, v), distances(v, a), strict=True)]


@pytest.mark.parametrize(("rows", "first", "second"), [(1, 3, 2), (2, 2, 5), (7, 4, 4)])
@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_the_mutual_loss_is_that_of_plain_loops_whatever_the_scale(rows, first, second, scale):
    torch.manual_seed(rows)
    a = scale * torch.randn(rows, first, dtype=torch.float64)
    v = torch.randn(rows, second, dtype=torch.float64)
    assert_equals_loop(mutual_relation_loss, by_hand, a, v)


def test_each_side_gets_the_gradient_of_its_own_half():
    torch.manual_seed(0)
    a, v = torch.nn.functional.normalize(torch.randn(2, 5, 4).double(), dim=2)
    found = [x.clone().requires_grad_() for x in (a, v)]
    mutual_relation_loss(*found).sum().backward()
    for x, own, other in ((found[0], a, v), (found[1], v, a)):
        alone = own.clone().requires_grad_()
        unit = torch.nn.functional.normalize(alone, dim=1)
        distance_relation_loss(unit, other).sum().backward()
        torch.testing.assert_close(x.grad, alone.grad)


def test_the_same_relations_cost_nothing():
    a = torch.randn(5, 4)
    turned = a @ torch.linalg.qr(torch.randn(4, 4))[0]
    torch.testing.assert_close(mutual_relation_loss(a, 3 * turned), torch.zeros(5))
    assert (mutual_relation_loss(a, torch.randn(5, 4)) > 1e-3).all()


def test_half_precision_is_raised_to_float32():
    assert_computed_in_float32(mutual_relation_loss, *torch.randn(2, 5, 4))


def test_both_networks_are_pulled_towards_each_other():
    given = representations()
    MutualRelation(SIZES)(given, batch()).loss.backward()
    assert pulled(given["student"], given["auxiliary"], given["teacher"]) == [True, True, False]


def test_the_best_branch_is_that_of_a_plain_loop():
    torch.manual_seed(0)
    logits, label = torch.randn(3, 8, 5), torch.randint(5, (8,))
    valid = torch.rand(3, 8) < 0.6
    valid[:, 0] = False
    chosen, best = best_branch(logits, label, valid)
    for row in range(8):
        sure = {
            branch: float(logits[branch, row].softmax(0)[label[row]])
            for branch in range(3)
            if valid[branch, row]
        }
        expected = max(sure, key=sure.get) if sure else 0
        assert int(best[row]) == expected
        torch.testing.assert_close(chosen[row], logits[expected, row])
    assert len(set(best.tolist())) == 3


def test_each_row_learns_from_the_branch_that_is_surest_of_its_class():
    given, data = representations(rows=6), batch(6)
    names = ["student", "teacher", "auxiliary"]
    output = BestBranch(SIZES, others=["auxiliary"])(given, data)
    losses, taught = [], 0
    for row, label in enumerate(data["label"].tolist()):
        logits = [given[name].logits[row].detach() for name in names]
        best = max(range(3), key=lambda b: float(logits[b].softmax(0)[label]))
        losses.append(float((logits[0] - logits[best]).square().mean()))
        taught += best > 0
    assert 0 < taught < 6
    assert float(output.loss.detach()) == pytest.approx(sum(losses) / 6)
    assert float(output.logs["taught"]) == pytest.approx(taught / 6)
    output.loss.backward()
    assert pulled(*(given[name] for name in names)) == [True, False, False]
    ahead = [row for row, loss in enumerate(losses) if loss == 0]
    assert not given["student"].logits.grad[ahead].any()


def test_an_absent_branch_teaches_nothing_and_a_row_without_any_other_is_masked():
    given, data = representations(rows=4), batch(4)
    alone = BestBranch(SIZES)(given, data).loss
    given["auxiliary"].valid[:] = False
    given["auxiliary"].logits.data.fill_(float("nan"))
    both = BestBranch(SIZES, others=["auxiliary"])
    torch.testing.assert_close(both(given, data).loss, alone)
    given["teacher"].valid[:] = False
    assert both(given, data).loss == 0


def test_branches_that_are_unknown_or_have_other_classes_are_refused():
    with pytest.raises(ValueError, match="there is no network 'expert'"):
        BestBranch(SIZES, others=["expert"])
    sizes = SIZES | {"auxiliary": Sizes(4, 7)}
    with pytest.raises(ValueError, match="student has 4 logits and the auxiliary 7"):
        BestBranch(sizes, others=["auxiliary"])
