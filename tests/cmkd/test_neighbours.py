"""Schemes of several networks in whole runs: peers, branches, experts, an assistant."""

from functools import partial

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser

from cmkd import CrossModalDistillation, Term
from cmkd.callbacks import StageCheckpoint
from cmkd.cli import run
from cmkd.networks.roles import NetworkConfig
from cmkd.objectives import (
    PKT,
    ClassGroupDistillation,
    ClassGroupTask,
    InformationFlow,
    InstanceCurriculum,
    InstanceWeighting,
    LearnedWeighting,
    ModalitySpecificKD,
    ObjectiveFactory,
    PeerDistillation,
    PopulationWeighting,
    SelfPacedDistillation,
    TopKRank,
)
from cmkd.stages import StageConfig
from tests.cmkd.objectives.helpers import SIZES
from tests.cmkd.setting import (
    SHAPES,
    assert_same,
    changed,
    make_data,
    make_model,
    make_trainer,
    weights,
)
from tests.cmkd.test_cli import TINY
from tests.cmkd.test_resume import Stop, state
from tests.fake_data import FakeData

TEACHER = StageConfig(["teacher", "auxiliary"], share=1.0)


def staged(student, *before, networks=None, **overrides):
    """A model of the stages given, the teacher's in front unless told otherwise."""
    names = [config.trains[0] for config in before] or ["teacher"]
    stages = dict(zip(names, before or (TEACHER,), strict=True)) | {"student": student}
    return make_model(networks=networks, stages=stages, **overrides)


def fit(model, folder, max_epochs=4, **overrides):
    trainer = make_trainer(folder, max_epochs, **overrides)
    trainer.fit(model, datamodule=make_data())
    return trainer


def learned(model, folder, **overrides):
    """Return the networks that a run changed in its student stage."""
    before = []

    def remember(trainer, module, batch, batch_idx):
        if module.stage.name == "student" and not before:
            before.append(weights(model.networks))

    callback = StageCheckpoint(dirpath=str(folder))
    callback.on_train_batch_start = remember
    fit(model, folder, callbacks=[callback], enable_checkpointing=True, **overrides)
    return {name.split(".")[0] for name in changed(before[0], weights(model.networks))}


def test_two_peers_begin_differently_and_learn_from_each_other(tmp_path):
    terms = {
        "own": Term(PeerDistillation),
        "other": Term(partial(PeerDistillation, source="peer", target="student")),
    }
    model = staged(
        StageConfig(["student", "peer"], terms), networks={"peer": NetworkConfig("student")}
    )
    student, peer = (weights(model.networks[role]) for role in ("student", "peer"))
    assert changed(student, peer)
    assert learned(model, tmp_path) == {"student", "peer"}


def test_an_assistant_learns_from_the_teacher_and_the_student_from_the_assistant(tmp_path):
    pkt = partial(PKT, source="assistant")
    model = staged(
        StageConfig(["student"], {"flow": Term(InformationFlow, 0.01)}),
        StageConfig(["teacher"], share=0.5),
        StageConfig(["assistant"], {"pkt": Term(pkt)}, share=0.5),
        networks={"assistant": NetworkConfig("student")},
    )
    assert learned(model, tmp_path) == {"student"}
    flow = model.stage.terms.by_name()["flow"]
    # Two of four epochs are the student's: the critical period is in its second.
    assert flow._weight == pytest.approx(70)


@pytest.mark.parametrize("weighting", [InstanceWeighting, PopulationWeighting, LearnedWeighting])
def test_each_modality_of_a_student_is_taught_by_itself(tmp_path, weighting):
    modality = Term(partial(ModalitySpecificKD, weighting=weighting))
    teacher = StageConfig(["teacher"], share=1.0, modality_dropout={"teacher": 0.3})
    model = staged(
        StageConfig(["student"], {"modality": modality}),
        teacher,
        student_modalities=["face", "audio"],
        auxiliary_modalities=[],
    )
    trainer = make_trainer(tmp_path)
    trainer.fit(model, datamodule=FakeData(["face", "audio"], [], shapes=SHAPES))
    logs = trainer.callback_metrics
    total = logs["train/modality_weight_face"] + logs["train/modality_weight_audio"]
    torch.testing.assert_close(total, torch.tensor(1.0))
    kept = model.stage.terms.by_name()["modality"].weighting
    if weighting is PopulationWeighting:
        assert kept.rows.tolist() == [64, 64]
    if weighting is LearnedWeighting:
        assert any(p.any() for p in kept.parameters())


def self_paced():
    terms = {
        "curriculum": Term(InstanceCurriculum),
        "teacher": Term(SelfPacedDistillation),
        "auxiliary": Term(partial(SelfPacedDistillation, target="auxiliary")),
    }
    return staged(StageConfig(["student"], terms, task_weights={"student": 0}))


def test_experts_are_weighed_by_the_latest_validation_and_samples_remembered(tmp_path):
    model = self_paced()
    fit(model, tmp_path)
    scores, terms = model.progress.scores, model.stage.terms.by_name()
    for role in ("teacher", "auxiliary"):
        expected = (scores[role] - scores["student"]) / (0.7 * scores[role])
        assert float(terms[role].weight) == pytest.approx(min(1, max(0, expected)), abs=1e-6)
    confidence = terms["curriculum"].confidence
    assert confidence.shape == (33,)
    assert (confidence[:-1] >= 0).all()


def test_a_resumed_curriculum_equals_the_uninterrupted_one(tmp_path):
    def go(folder, ckpt_path=None, callbacks=()):
        model = self_paced()
        checkpoint = StageCheckpoint(dirpath=str(folder))
        trainer = make_trainer(
            folder, 5, enable_checkpointing=True, callbacks=[checkpoint, *callbacks]
        )
        trainer.fit(model, datamodule=make_data(), ckpt_path=ckpt_path)
        return state(model, trainer)

    whole = go(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="plug"):
        go(tmp_path / "cut", callbacks=[Stop(3, 2)])
    resumed = go(tmp_path / "cut", ckpt_path=str(tmp_path / "cut" / "last.ckpt"))
    assert_same(whole, resumed)


def test_experts_of_class_groups_learn_their_group_and_teach_it(tmp_path):
    groups = {"head": [0, 1], "tail": [1, 2]}
    experts = StageConfig(
        list(groups),
        {name: Term(partial(ClassGroupTask, classes=c, source=name)) for name, c in groups.items()},
        share=1.0,
        task_weights=dict.fromkeys(groups, 0.0),
    )
    lessons = {
        name: Term(partial(ClassGroupDistillation, classes=c, target=name))
        for name, c in groups.items()
    }
    model = staged(
        StageConfig(["student"], lessons),
        experts,
        networks={name: NetworkConfig("teacher") for name in groups},
        entropy_probe=False,
        teacher_epochs=6,
        # Without decay, which moves what no loss does.
        optimizer=partial(torch.optim.AdamW, lr=0.01, weight_decay=0.0),
    )
    started = weights(model.networks)
    trainer = fit(model, tmp_path, max_epochs=12)
    after = weights(model.networks)
    assert {name.split(".")[0] for name in changed(started, after)} == {"head", "tail", "student"}
    # A logit outside the group is never trained.
    key = "head.head.1.bias"
    assert after[key][2] == started[key][2]
    assert (after[key][:2] != started[key][:2]).all()
    assert 0 <= trainer.callback_metrics["train/head_weight"] < 1


def test_every_argument_is_plain_yaml():
    def parse(text):
        parser = ArgumentParser()
        parser.add_argument("--term", type=ObjectiveFactory)
        config = parser.parse_object({"term": yaml.safe_load(text)})
        return parser.instantiate(config)["term"](SIZES)

    rank = parse("{class_path: cmkd.objectives.TopKRank, init_args: {k: 3, temperature: 2.0}}")
    assert isinstance(rank, TopKRank)
    assert (rank.k, rank.temperature) == (3, 2.0)
    best = parse("{class_path: cmkd.objectives.BestBranch, init_args: {others: [auxiliary]}}")
    assert best.branches == ["student", "teacher", "auxiliary"]
    task = parse(
        """
        class_path: cmkd.objectives.ClassGroupTask
        init_args: {classes: [0, 3], source: teacher}
        """
    )
    assert task.group.classes.tolist() == [0, 3]
    learned = parse(
        """
        class_path: cmkd.objectives.ModalitySpecificKD
        init_args:
          weighting: {class_path: cmkd.objectives.LearnedWeighting, init_args: {strength: 2.5}}
        """
    )
    assert learned.weighting.strength == 2.5
    default = parse("class_path: cmkd.objectives.ModalitySpecificKD")
    assert type(default.weighting).__name__ == "UniformWeighting"


def test_a_checkpoint_of_a_run_with_a_weighting_loads_by_itself(tmp_path):
    config = tmp_path / "msd.yaml"
    config.write_text(
        """
        model:
          teacher_terms: null
          student_terms: null
          stages:
            teacher: {trains: [teacher], share: 1.0}
            student:
              trains: [student]
              terms:
                modality:
                  objective:
                    class_path: cmkd.objectives.ModalitySpecificKD
                    init_args: {weighting: {class_path: cmkd.objectives.InstanceWeighting}}
                curriculum:
                  objective: {class_path: cmkd.objectives.InstanceCurriculum}
        """
    )
    files = ["--config", TINY, "--config", str(config)]
    cli = run(["fit", *files, "--run.dir", str(tmp_path / "run"), "--trainer.max_epochs", "3"])
    best = cli.trainer.checkpoint_callback.best_model_path
    loaded = CrossModalDistillation.load_from_checkpoint(best)
    term = loaded.stage_terms["student"].by_name()["modality"]
    assert isinstance(term.weighting, InstanceWeighting)
