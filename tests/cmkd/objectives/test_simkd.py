import pytest
import torch
from torch import nn

from cmkd.objectives import SimKD
from cmkd.representation import Sizes
from tests.cmkd.objectives.checks import ObjectiveContract, every
from tests.cmkd.objectives.helpers import EMBEDDING, SIZES, batch, pulled, representations
from tests.cmkd.objectives.stateful import context


@pytest.fixture(autouse=True)
def _equal_widths(monkeypatch):
    """It cannot be built for embeddings of different widths."""
    monkeypatch.setitem(EMBEDDING, "teacher", EMBEDDING["student"])
    monkeypatch.setitem(SIZES, "teacher", Sizes(EMBEDDING["student"], 4, SIZES["teacher"].hidden))


@every(simkd=SimKD)
class TestContract(ObjectiveContract):
    pass


def test_the_loss_is_the_mean_squared_difference_of_the_embeddings():
    given = representations()
    given["student"].valid[1] = False
    s, t = (given[role].embedding.tolist() for role in ("student", "teacher"))
    rows = [sum((a - b) ** 2 for a, b in zip(s[i], t[i], strict=True)) / 6 for i in (0, 2, 3, 4)]
    output = SimKD(SIZES)(given, batch())
    assert output.loss.item() == pytest.approx(sum(rows) / 4, rel=1e-6)
    output.loss.backward()
    assert pulled(given["student"], given["teacher"]) == [True, False]


def test_identical_embeddings_cost_nothing():
    given = representations()
    assert SimKD(SIZES)(given | {"teacher": given["student"]}, batch()).loss == 0


def test_when_the_stage_begins_the_student_gets_the_teachers_head_and_a_copy_of_its_own():
    networks = context().networks
    student, teacher = networks["student"], networks["teacher"]
    embedding = torch.randn(3, 6)
    assert not torch.equal(student.head(embedding), teacher.head(embedding))
    objective = SimKD(SIZES)
    objective.begin_stage(context(seed=1))
    objective.begin_stage(type(context())(networks, 8, 4))
    torch.testing.assert_close(student.head(embedding), teacher.head(embedding), atol=0, rtol=0)
    with torch.no_grad():
        teacher.head[1].weight.zero_()
    assert student.head[1].weight.any()


def test_it_has_nothing_of_its_own_to_learn_or_to_save():
    objective = SimKD(SIZES)
    objective.begin_stage(context())
    assert not list(objective.parameters())
    assert not objective.state_dict()


def test_embeddings_of_different_widths_are_refused():
    with pytest.raises(ValueError, match="embeddings have widths 6 and 4; make them equal"):
        SimKD(SIZES, target="auxiliary")


@pytest.mark.parametrize("head", [nn.Linear(6, 4, bias=False), nn.Identity()])
def test_heads_that_are_not_built_alike_are_refused(head):
    given = context()
    given.networks["student"].head = nn.Sequential(nn.Dropout(), head)
    with pytest.raises(ValueError, match="copies the teacher's head into the student's"):
        SimKD(SIZES).begin_stage(given)
