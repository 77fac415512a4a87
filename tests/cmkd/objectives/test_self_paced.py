from functools import partial

import pytest
import torch

from cmkd.objectives.categorical import knowledge_distillation
from cmkd.objectives.class_groups import ClassGroupDistillation, ClassGroupTask
from cmkd.objectives.self_paced import SelfPacedDistillation, self_paced_weight
from tests.cmkd.objectives.checks import ObjectiveContract, every, run, with_garbage
from tests.cmkd.objectives.function_checks import assert_equals_loop
from tests.cmkd.objectives.helpers import SIZES, batch, pulled, representations


@every(
    self_paced=SelfPacedDistillation,
    class_group=partial(ClassGroupDistillation, classes=[0, 2, 1], target="teacher"),
)
class TestContract(ObjectiveContract):
    pass


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.9])
def test_the_weight_is_the_formula(threshold):
    def loop(students, experts):
        weights = []
        for s, e in zip(students, experts, strict=True):
            behind = s < threshold * e
            weights.append(1 if behind else max(0, (e - s) / ((1 - threshold) * e)))
        return weights

    torch.manual_seed(0)
    student, expert = torch.rand(2, 200, dtype=torch.float64)
    assert_equals_loop(partial(self_paced_weight, threshold=threshold), loop, student, expert)


def test_an_expert_without_skill_teaches_nothing():
    weight = self_paced_weight(torch.tensor([0.0, 0.5]), torch.tensor([0.0, 0.0]))
    assert weight.tolist() == [0, 0]


def test_the_weight_follows_the_validation_metrics_of_both_and_is_saved():
    objective = SelfPacedDistillation(SIZES)
    given, data = representations(), batch()
    full = objective(given, data)
    s, t = (given[role].logits.detach() for role in ("student", "teacher"))
    torch.testing.assert_close(full.loss.detach(), knowledge_distillation(s, t).mean())
    objective.observe({"teacher": 0.8})
    assert objective.weight == 1
    objective.observe({"teacher": 0.8, "student": 0.52, "auxiliary": 0.1})
    output = objective(given, data)
    torch.testing.assert_close(output.loss, full.loss * 0.5)
    torch.testing.assert_close(output.logs["weight"], torch.tensor(0.5))
    output.loss.backward()
    assert pulled(given["student"], given["teacher"]) == [True, False]
    resumed = SelfPacedDistillation(SIZES)
    resumed.load_state_dict(objective.state_dict())
    torch.testing.assert_close(resumed(given, data).loss, output.loss)
    objective.observe({"teacher": 0.8, "student": 0.9})
    assert objective(given, data).loss == 0


def test_scores_below_zero_are_refused():
    with pytest.raises(ValueError, match=r"such as the accuracy, got -0\.2 and 0\.8"):
        SelfPacedDistillation(SIZES).observe({"teacher": 0.8, "student": -0.2})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"threshold": 1.0}, r"\.threshold must lie in \[0, 1\)"), ({"temperature": 0.0}, "above 0")],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    for objective in (
        SelfPacedDistillation,
        partial(ClassGroupDistillation, classes=[0, 1], target="teacher"),
    ):
        with pytest.raises(ValueError, match=message):
            objective(SIZES, **arguments)


GROUP = [3, 1]


def test_an_expert_learns_its_group_on_the_rows_of_the_group_alone():
    given, data = representations(rows=6), batch(6)
    task = ClassGroupTask(SIZES, GROUP, source="teacher")
    assert task.roles() == {"teacher"}
    output = task(given, data)
    logits = given["teacher"].logits
    losses, hits = [], []
    for row, label in enumerate(data["label"].tolist()):
        if label in GROUP:
            among = logits[row, GROUP]
            losses.append(-among.log_softmax(0)[GROUP.index(label)])
            hits.append(GROUP[int(among.argmax())] == label)
    assert len(losses) == 3
    torch.testing.assert_close(output.loss, torch.stack(losses).mean())
    assert float(output.logs["accuracy"]) == pytest.approx(sum(hits) / 3)
    output.loss.backward()
    touched = {(r, c) for r, c in logits.grad.nonzero().tolist()}
    assert touched == {(r, c) for r in (1, 3, 5) for c in GROUP}


def test_a_batch_without_the_group_or_with_its_rows_masked_costs_nothing():
    data = batch(2)
    data["label"] = torch.tensor([0, 2])
    given = representations(rows=2)
    task = ClassGroupTask(SIZES, GROUP, source="teacher")
    assert task(given, data).loss == 0
    given = representations()
    expected = task({"teacher": given["teacher"]}, batch()).loss
    given["teacher"] = with_garbage(given["teacher"], [0, 2, 4], float("nan"))
    torch.testing.assert_close(task(given, batch()).loss, expected)
    given["teacher"] = with_garbage(given["teacher"], [1, 3], float("nan"))
    loss, _ = run(task, given)
    assert loss == 0
    assert not given["teacher"].logits.grad.any()


def test_an_expert_teaches_the_logits_of_its_group():
    given, data = representations(rows=6), batch(6)
    expert = ClassGroupDistillation(SIZES, GROUP, target="teacher", temperature=2.0)
    s, t = (given[role].logits.detach()[1::2][:, GROUP] for role in ("student", "teacher"))
    output = expert(given, data)
    torch.testing.assert_close(output.loss.detach(), knowledge_distillation(s, t, 2.0).mean())
    output.loss.backward()
    assert not given["student"].logits.grad[::2].any()
    assert given["teacher"].logits.grad is None


def test_the_group_weight_is_that_of_the_accuracies_of_the_epoch_before():
    given, data = representations(rows=8), batch(8)
    for role, right in (("teacher", [1, 3, 5, 7]), ("student", [1, 3])):
        logits = given[role].logits
        with torch.no_grad():
            logits.zero_()
            for row in (1, 3, 5, 7):
                label = int(data["label"][row])
                other = GROUP[1 - GROUP.index(label)]
                logits[row, label if row in right else other] = 1.0
                # Outside the group: no matter.
                logits[row, 0] = 9.0
    expert = ClassGroupDistillation(SIZES, GROUP, target="teacher")
    for epoch in (0.0, 0.5):
        expert.set_epoch(epoch, 8)
        assert expert(given, data).logs["weight"] == 1
    expert.set_epoch(1.0, 8)
    resumed = ClassGroupDistillation(SIZES, GROUP, target="teacher")
    resumed.load_state_dict(expert.state_dict())
    resumed.set_epoch(1.0, 8)
    for objective in (expert, resumed):
        weight = objective(given, data).logs["weight"]
        torch.testing.assert_close(weight, torch.tensor((1 - 0.5) / 0.7))
        assert objective.counts.tolist() == [2, 4, 4]


def test_an_epoch_without_the_group_keeps_the_weight():
    expert = ClassGroupDistillation(SIZES, GROUP, target="teacher")
    expert.weight.fill_(0.4)
    for epoch in (1.0, 2.0):
        expert.set_epoch(epoch, 8)
    assert expert.weight == pytest.approx(0.4)


@pytest.mark.parametrize("classes", [[], [1], [1, 1], [0, 4], [-1, 0]])
def test_classes_that_make_no_group_are_refused(classes):
    with pytest.raises(ValueError, match=r"ClassGroupTask\.classes must be two or more .* 0 to 3"):
        ClassGroupTask(SIZES, classes, source="teacher")
