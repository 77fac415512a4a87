"""Schemes that are more than a loss: further networks, stages, and objectives with a memory."""

from functools import partial

import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - its usual name

from cmkd import Term
from cmkd.networks.roles import NetworkConfig
from cmkd.objectives import KnowledgeDistillation
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.stages import StageConfig
from cmkd.subsets import subset_role
from tests.cmkd.setting import assert_same, make_data, make_model, make_trainer, weights
from tests.cmkd.test_stages import fit, networks_changed


def distil(source, target):
    return Term(partial(KnowledgeDistillation, source=source, target=target))


def assistant(**overrides):
    """Teacher, then an assistant that learns from it, then the student from the assistant."""
    stages = {
        "teacher": StageConfig(["teacher"], share=0.5),
        "assistant": StageConfig(["assistant"], {"kd": distil("assistant", "teacher")}, share=0.5),
        "student": StageConfig(["student"], {"kd": distil("student", "assistant")}),
    }
    networks = {"assistant": NetworkConfig()}
    return make_model(stages=stages, networks=networks, teacher_epochs=2, **overrides)


def test_an_assistant_learns_in_a_stage_of_its_own(tmp_path):
    recorder = fit(assistant(), tmp_path)
    assert recorder.stages == ["teacher", "assistant", "student", "student"]
    assert [networks_changed(recorder, epoch) for epoch in range(4)] == [
        {"teacher"},
        {"assistant"},
        {"student"},
        {"student"},
    ]


def test_each_stage_goes_on_from_the_best_networks_of_those_before(tmp_path):
    model = assistant()
    fit(model, tmp_path)
    for stage in ("teacher", "assistant"):
        kept = model.progress.best(stage)
        assert kept.states.keys() == {stage}
        assert_same(kept.states[stage], weights(model.networks[stage]))
        assert model.progress.scores[stage] == kept.score


def test_two_peers_learn_from_each_other(tmp_path):
    terms = {"to_peer": distil("peer", "student"), "to_student": distil("student", "peer")}
    model = make_model(
        stages={"student": StageConfig(["student", "peer"], terms)},
        networks={"peer": NetworkConfig()},
        teacher_epochs=0,
    )
    assert not torch.equal(
        model.networks["peer"].head[1].weight, model.networks["student"].head[1].weight
    )
    recorder = fit(model, tmp_path, max_epochs=1)
    assert networks_changed(recorder, 0) == {"student", "peer"}


def test_a_teacher_can_go_on_learning_beside_the_student(tmp_path):
    stages = {
        "teacher": StageConfig(["teacher"], share=1.0),
        "student": StageConfig(["student", "teacher"], {"kd": distil("student", "teacher")}),
    }
    recorder = fit(make_model(stages=stages), tmp_path)
    assert networks_changed(recorder, 3) == {"student", "teacher"}


def test_a_further_network_can_see_other_modalities():
    model = make_model(networks={"expert": NetworkConfig("teacher", ["audio"])})
    assert model.networks["expert"].modalities == ["audio"]


def test_a_frozen_part_keeps_its_weights_and_a_task_weight_of_zero_leaves_the_task_out(tmp_path):
    stages = {
        "teacher": StageConfig(["teacher"], share=1.0),
        "student": StageConfig(
            ["student"],
            {"kd": distil("student", "teacher")},
            frozen=["student.head"],
            task_weights={"student": 0.0},
        ),
    }
    model = make_model(stages=stages, entropy_probe=False)
    recorder = fit(model, tmp_path)
    before, after = recorder.before[2], recorder.after[3]
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("networks.student.encoders") for name in moved)
    assert not any(name.startswith("networks.student.head") for name in moved)

    def end(**changes):
        without = {name: StageConfig(**(vars(c) | changes)) for name, c in stages.items()}
        model = make_model(stages=without, entropy_probe=False)
        fit(model, tmp_path)
        return weights(model.networks["student"])["projections.face.1.weight"]

    assert not torch.equal(end(), end(task_weights={}))


class Watcher(Objective):
    """Counts what it is told, remembers a row a sample, and reads the teacher's audio alone."""

    def __init__(self, sizes):
        super().__init__(sizes)
        self.epochs, self.told, self.begun = [], [], 0
        self.register_buffer("rows", torch.zeros(0))

    def roles(self):
        return super().roles() | {subset_role("teacher", ["audio"])}

    def allocate(self, context):
        if self.rows.numel() != context.train_samples:
            self.rows = torch.zeros(context.train_samples)

    def begin_stage(self, context):
        assert context.networks.keys() >= {"student", "teacher"}
        assert context.num_classes == 3
        self.begun += 1

    def set_epoch(self, epoch, length):
        self.epochs.append(epoch)
        assert length in (1, 2)

    def observe(self, scores):
        self.told.append(dict(scores))

    def forward(self, representations, batch):
        self.rows[batch["index"]] += 1
        alone = representations["teacher@audio"]
        assert not torch.equal(alone.logits, representations["teacher"].logits)
        assert not alone.logits.requires_grad
        values = F.mse_loss(representations["student"].logits, alone.logits, reduction="none")
        return ObjectiveOutput(masked_mean(values.mean(1), alone.valid))


def watching(**overrides):
    return make_model(student_terms={"watch": Term(Watcher)}, **overrides)


def test_an_objective_is_told_the_data_the_epoch_and_the_scores(tmp_path):
    model = watching()
    fit(model, tmp_path)
    objective = model.stage_terms["student"].by_name()["watch"]
    assert objective.begun == 1
    assert objective.epochs[:4] == [0, 0.25, 0.5, 0.75]
    assert len(objective.epochs) == 8
    assert [scores.keys() for scores in objective.told] == 2 * [{"teacher", "student"}]
    assert objective.told[-1]["teacher"] == model.progress.best("teacher").score
    assert objective.rows.tolist() == 32 * [2.0]


def test_a_memory_is_saved_and_goes_on_after_a_resume(tmp_path):
    straight = watching()
    fit(straight, tmp_path)
    stopped = watching()
    trainer = make_trainer(tmp_path, 3)
    trainer.fit(stopped, datamodule=make_data())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    resumed = watching()
    make_trainer(tmp_path, 4).fit(
        resumed, datamodule=make_data(), ckpt_path=str(tmp_path / "a.ckpt"), weights_only=True
    )
    assert_same(weights(straight), weights(resumed))
    objective = resumed.stage_terms["student"].by_name()["watch"]
    assert objective.begun == 0  # it had begun before the interruption
    assert objective.rows.tolist() == 32 * [2.0]
    # A test needs no training data to read such a checkpoint.
    fresh = watching()
    make_trainer(tmp_path).test(
        fresh, make_data(), ckpt_path=str(tmp_path / "a.ckpt"), verbose=False, weights_only=True
    )


def test_modality_dropout_changes_training_alone(tmp_path):
    def stages(probability):
        return {
            "teacher": StageConfig(
                ["teacher"], share=1.0, modality_dropout={"teacher": probability}
            ),
            "student": StageConfig(["student"]),
        }

    plain, dropped = (make_model(stages=stages(p), entropy_probe=False) for p in (0.0, 0.5))
    batch = next(iter(make_data().val_dataloader()))
    for model in (plain, dropped):
        model.eval()
    first = [model.networks["teacher"](batch).logits for model in (plain, dropped)]
    assert torch.equal(*first)
    fit(plain, tmp_path, max_epochs=1)
    fit(dropped, tmp_path, max_epochs=1)
    name = "projections.face.1.weight"
    assert not torch.equal(
        weights(plain.networks["teacher"])[name], weights(dropped.networks["teacher"])[name]
    )


@pytest.mark.parametrize(
    ("stages", "networks", "message"),
    [
        ({"teacher": StageConfig(["teacher"], share=1.0)}, None, "last stage has to be 'student'"),
        (
            {"a": StageConfig(["teacher"], share=0.5), "student": StageConfig(["student"])},
            None,
            r"shares .* have to add up to 1 \(they make 0.5\)",
        ),
        (
            {"a": StageConfig(["teacher"]), "student": StageConfig(["student"])},
            None,
            "needs a share of model.teacher_epochs",
        ),
        ({"student": StageConfig(["student", "peer"])}, None, "no network peer; this run has"),
        (
            {"student": StageConfig(["student"], frozen=["teachr.head"])},
            None,
            "no network teachr",
        ),
        (
            {"student": StageConfig(["student"])},
            {"teacher": NetworkConfig()},
            "model.networks.teacher: choose another name",
        ),
        ({"student": StageConfig(["student"])}, {"a": NetworkConfig("b")}, "like: .* 'b'"),
        (
            {"student": StageConfig(["student"])},
            {"a": NetworkConfig("student", ["smell"])},
            "model.networks.a.modalities: model.encoders has none for smell",
        ),
    ],
)
def test_stages_and_networks_that_do_not_fit_are_named(stages, networks, message):
    with pytest.raises(ValueError, match=message):
        make_model(stages=stages, networks=networks)


def test_terms_beside_stages_are_refused():
    with pytest.raises(
        ValueError, match=r"set model.teacher_terms and model.student_terms to null"
    ):
        make_model(
            stages={"student": StageConfig(["student"])},
            student_terms={"kd": distil("student", "teacher")},
        )


def test_a_term_on_a_network_that_is_not_there_names_it():
    with pytest.raises(ValueError, match=r"student_terms.kd: .*no network 'auxiliary'"):
        make_model(
            auxiliary_modalities=[],
            encoders={"face": make_model().roles._encoders["student"]["face"]},
            student_terms={"kd": distil("student", "auxiliary")},
        )


def test_without_auxiliary_modalities_the_student_learns_alone_or_from_its_like(tmp_path):
    encoders = {"face": make_model().roles._encoders["student"]["face"]}
    model = make_model(
        auxiliary_modalities=[],
        encoders=encoders,
        student_terms={"kd": distil("student", "teacher")},
    )
    assert model.networks.keys() == {"student", "teacher"}
    recorder = fit(model, tmp_path)
    assert networks_changed(recorder, 3) == {"student"}
