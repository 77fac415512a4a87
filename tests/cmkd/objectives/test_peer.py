import math
from functools import partial

import pytest
import torch

from cmkd.objectives.categorical import knowledge_distillation
from cmkd.objectives.peer import (
    HardPeerDistillation,
    PeerDistillation,
    hard_peer_advantage,
    peer_advantage,
)
from tests.cmkd.objectives import checks
from tests.cmkd.objectives.checks import ObjectiveContract, every
from tests.cmkd.objectives.function_checks import assert_equals_loop
from tests.cmkd.objectives.helpers import SIZES, batch, pulled, representations
from tests.cmkd.objectives.neighbours import representations_with_teacher_ahead


@every(
    soft=partial(PeerDistillation, target="teacher"),
    hard=partial(HardPeerDistillation, target="teacher", temperature=3.0),
)
class TestContract(ObjectiveContract):
    @pytest.fixture(autouse=True)
    def _teacher_ahead(self, monkeypatch):
        """Where the teacher is not ahead it teaches nothing."""
        monkeypatch.setattr(checks, "representations", representations_with_teacher_ahead)


@pytest.mark.parametrize("rows", [1, 3, 20])
@pytest.mark.parametrize("scale", [0.3, 1.0, 10.0])
def test_the_weight_is_that_of_a_plain_loop(rows, scale):
    torch.manual_seed(rows)
    own, peer = 3 * torch.rand(2, rows, dtype=torch.float64)
    assert_equals_loop(
        partial(peer_advantage, scale=scale),
        lambda own, peer: [
            min(max(math.exp(scale * (a - b)), 0.01), 100) for a, b in zip(own, peer, strict=True)
        ],
        own,
        peer,
    )


def test_the_weight_is_clipped_finite_and_without_gradient():
    own = torch.tensor([1e4, 0.0, 2.0], requires_grad=True)
    weight = peer_advantage(own, torch.tensor([0.0, 1e4, 2.0]))
    assert weight.tolist() == [100.0, pytest.approx(0.01), 1.0]
    assert not weight.requires_grad
    assert hard_peer_advantage(own, torch.tensor([0.0, 1e4, 2.0])).tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("hard", [False, True])
def test_the_loss_is_that_of_a_plain_loop_over_rows(temperature, hard):
    given, data = representations(rows=6), batch(6)
    objective = HardPeerDistillation if hard else partial(PeerDistillation, scale=2.0)
    output = objective(SIZES, target="teacher", temperature=temperature)(given, data)
    s, t = (given[role].logits.detach() for role in ("student", "teacher"))
    weights, losses = [], []
    for row, label in enumerate(data["label"].tolist()):
        own, peer = (-float(z[row].log_softmax(0)[label]) for z in (s, t))
        advantage = own - peer
        weights.append(float(advantage > 0) if hard else math.exp(2 * advantage))
        kd = knowledge_distillation(s[row : row + 1], t[row : row + 1], temperature)
        losses.append(weights[-1] * float(kd))
    assert {0.0, 1.0} == set(weights) if hard else min(weights) < 1 < max(weights)
    assert float(output.loss.detach()) == pytest.approx(sum(losses) / 6, rel=1e-5)
    assert float(output.logs["weight"]) == pytest.approx(sum(weights) / 6, rel=1e-5)
    output.loss.backward()
    assert pulled(given["student"], given["teacher"]) == [True, False]


def test_two_equal_peers_teach_each_other_nothing():
    given = representations()
    given["teacher"] = given["student"]
    both = [
        PeerDistillation(SIZES, source=a, target=b)(given, batch()).loss
        for a, b in (("student", "teacher"), ("teacher", "student"))
    ]
    torch.testing.assert_close(torch.stack(both), torch.zeros(2))


def test_a_masked_row_needs_no_label_and_a_batch_without_classes_is_refused():
    given, data = representations(), batch()
    given["student"].valid[2] = False
    objective = PeerDistillation(SIZES, target="teacher")
    before = objective(given, data).loss
    data["label"][2] = -1
    assert objective(given, data).loss == before
    with pytest.raises(ValueError, match=r"PeerDistillation needs .* got torch\.float32"):
        objective(given, data | {"label": torch.zeros(5)})
    del data["label"]
    with pytest.raises(ValueError, match="got none"):
        objective(given, data)


@pytest.mark.parametrize("arguments", [{"scale": 0.0}, {"temperature": -1.0}])
def test_arguments_out_of_range_are_refused(arguments):
    name = next(iter(arguments))
    with pytest.raises(ValueError, match=rf"PeerDistillation\.{name} must be"):
        PeerDistillation(SIZES, target="teacher", **arguments)
