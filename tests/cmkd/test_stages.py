"""The two stages: who learns when, and what the student learns from."""

import pytest
import torch
from lightning.pytorch import Callback

from cmkd import Term
from cmkd.objectives import KnowledgeDistillation
from cmkd.stages import stage_at
from tests.cmkd.setting import (
    assert_same,
    batch_norm_encoders,
    changed,
    kd_terms,
    make_amid,
    make_data,
    make_model,
    make_trainer,
    weights,
)


class Recorder(Callback):
    """Keeps the stage, the weights and which networks ran in train mode, epoch by epoch."""

    def __init__(self):
        self.stages, self.before, self.training, self.after = [], [], [], []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if batch_idx == 0:
            self.stages.append(module.stage.name)
            self.before.append(weights(module))
            self.training.append({role for role, net in module.networks.items() if net.training})

    def on_train_epoch_end(self, trainer, module):
        self.after.append(weights(module))


def fit(model, tmp_path, max_epochs=4, **overrides):
    recorder = Recorder()
    trainer = make_trainer(tmp_path, max_epochs, callbacks=[recorder], **overrides)
    trainer.fit(model, datamodule=make_data())
    return recorder


def networks_changed(recorder, epoch):
    names = changed(recorder.before[epoch], recorder.after[epoch])
    return {name.split(".")[1] for name in names if name.startswith("networks.")}


def test_the_teacher_stage_is_followed_by_the_student_stage_in_one_fit(tmp_path):
    recorder = fit(make_amid(), tmp_path)
    assert recorder.stages == ["teacher", "teacher", "student", "student"]


def test_the_teacher_stage_trains_all_networks_its_terms_name_and_the_student_stage_one(tmp_path):
    recorder = fit(make_amid(), tmp_path)
    assert networks_changed(recorder, 0) == {"teacher", "auxiliary", "student"}
    assert networks_changed(recorder, 3) == {"student"}


def test_without_teacher_terms_the_teacher_learns_by_itself(tmp_path):
    recorder = fit(make_model(student_terms=kd_terms()), tmp_path)
    assert networks_changed(recorder, 0) == {"teacher"}


def test_a_frozen_teacher_keeps_its_batch_norm_statistics_and_eval_mode(tmp_path):
    model = make_amid(encoders=batch_norm_encoders())
    recorder = fit(model, tmp_path)
    assert recorder.training[0] == {"teacher", "auxiliary", "student"}
    assert recorder.training[3] == {"student"}
    frozen = {
        name
        for name in changed(recorder.before[2], recorder.after[3])
        if name.startswith(("networks.teacher.", "networks.auxiliary."))
    }
    assert frozen == set()
    moved = changed(recorder.before[0], recorder.after[0])
    assert any("teacher" in name and "running_mean" in name for name in moved)


def test_a_frozen_teacher_has_no_gradient(tmp_path):
    model = make_amid()
    fit(model, tmp_path)
    for role in ("teacher", "auxiliary"):
        for parameter in model.networks[role].parameters():
            assert parameter.grad is None
            assert not parameter.requires_grad


def test_what_a_users_encoder_froze_stays_frozen_in_both_stages(tmp_path):
    def frozen_encoder():
        encoder = batch_norm_encoders()["face"]()
        encoder.layers[0].requires_grad_(False)
        return encoder

    encoders = batch_norm_encoders() | {"face": frozen_encoder}
    recorder = fit(make_model(encoders=encoders, student_terms=kd_terms()), tmp_path)
    names = changed(recorder.before[0], recorder.after[3])
    assert not any("encoders.face.layers.0." in name for name in names)
    assert any("student.encoders.face.layers.1." in name for name in names)


def test_the_student_learns_from_the_best_teacher_not_the_last(tmp_path):
    class Spoil(Callback):
        """Makes the teacher guess one class before its second validation."""

        def on_validation_start(self, trainer, module):
            if trainer.current_epoch == 0 and not trainer.sanity_checking:
                self.best = weights(module.networks["teacher"])
            elif module.stage.name == "teacher" and trainer.current_epoch == 1:
                with torch.no_grad():
                    module.networks["teacher"].head[-1].weight.zero_()

    spoil, model = Spoil(), make_amid()
    trainer = make_trainer(tmp_path, callbacks=[spoil])
    trainer.fit(model, datamodule=make_data())
    assert model.progress.best("teacher").epoch == 0
    assert_same(spoil.best, weights(model.networks["teacher"]))


def test_the_student_stage_starts_from_a_new_student_unless_told_otherwise(tmp_path):
    start = weights(make_amid().networks["student"])
    for keep in (False, True):
        recorder = fit(make_amid(keep_cotrained_student=keep), tmp_path)
        prefix = "networks.student."
        begun = {n.removeprefix(prefix): v for n, v in recorder.before[2].items() if prefix in n}
        assert (changed(start, begun) == set()) is not keep


def test_teacher_and_student_share_no_storage():
    model = make_amid()
    pointers = {
        role: {p.data_ptr() for p in net.state_dict().values()}
        for role, net in model.networks.items()
    }
    assert not pointers["teacher"] & pointers["student"]
    assert not pointers["teacher"] & pointers["auxiliary"]


def test_a_given_teacher_leads_to_the_same_student_as_the_run_that_trained_it(tmp_path):
    whole = make_model(student_terms=kd_terms())
    trainer = make_trainer(tmp_path)
    trainer.fit(whole, datamodule=make_data())
    trainer.save_checkpoint(tmp_path / "whole.ckpt")

    given = make_model(student_terms=kd_terms(), teacher_checkpoint=str(tmp_path / "whole.ckpt"))
    recorder = fit(given, tmp_path)
    assert recorder.stages == ["student", "student"]
    assert_same(weights(whole.networks), weights(given.networks))


def test_a_resumed_run_needs_the_teacher_checkpoint_no_more(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.fit(make_model(student_terms=kd_terms()), datamodule=make_data())
    teacher = tmp_path / "teacher.ckpt"
    trainer.save_checkpoint(teacher)
    begun = make_trainer(tmp_path)
    given = make_model(student_terms=kd_terms(), teacher_checkpoint=str(teacher))
    begun.fit(given, datamodule=make_data())
    begun.save_checkpoint(tmp_path / "student.ckpt")

    # Another teacher under its name is not mixed in, and none is missed.
    for change in (lambda: teacher.write_bytes(b"another"), teacher.unlink):
        change()
        resumed = make_model(student_terms=kd_terms(), teacher_checkpoint=str(teacher))
        make_trainer(tmp_path).fit(
            resumed, datamodule=make_data(), ckpt_path=tmp_path / "student.ckpt"
        )
        assert_same(weights(given.networks), weights(resumed.networks))


def test_a_checkpoint_of_the_teacher_stage_gives_its_best_teacher(tmp_path):
    model = make_model(student_terms=kd_terms(), teacher_epochs=3)
    trainer = make_trainer(tmp_path, max_epochs=3)
    trainer.fit(model, datamodule=make_data())
    best = {"teacher": {n: v + 1 for n, v in weights(model.networks["teacher"]).items()}}
    best["auxiliary"] = weights(model.networks["auxiliary"])
    model.progress.best("teacher").states = best
    trainer.save_checkpoint(tmp_path / "teacher.ckpt")
    given = make_model(student_terms=kd_terms(), teacher_checkpoint=str(tmp_path / "teacher.ckpt"))
    fit(given, tmp_path)
    assert_same(best["teacher"], weights(given.networks["teacher"]))


def test_the_student_alone_starts_and_is_ordered_like_a_distilled_one(tmp_path):
    """With a term of no weight worth mentioning both runs are the same run."""
    alone = make_model(student_alone=True)
    recorder = fit(alone, tmp_path)
    assert recorder.stages == ["student", "student"]
    tiny = {"kd": Term(KnowledgeDistillation, weight=1e-30)}
    distilled = make_model(student_terms=tiny)
    fit(distilled, tmp_path)
    assert_same(weights(alone.networks["student"]), weights(distilled.networks["student"]))


def test_terms_of_weight_zero_are_not_built():
    model = make_model(student_terms={"kd": Term(KnowledgeDistillation, weight=0.0), "x": None})
    assert list(model.stage_terms["student"].weights) == ["entropy"]


def test_adding_a_term_does_not_change_the_first_weights_of_anything_else():
    plain, full = weights(make_model(student_terms=kd_terms())), weights(make_amid())
    shared = plain.keys() & full.keys()
    assert any("networks.student" in name for name in shared)
    assert all(torch.equal(plain[name], full[name]) for name in shared)


def test_a_term_that_needs_an_untrained_teacher_is_refused():
    with pytest.raises(ValueError, match=r"student stage \(kd\).*never trained.*teacher_epochs"):
        make_model(student_terms=kd_terms(), teacher_epochs=0)
    with pytest.raises(ValueError, match="student_alone"):
        make_model(student_terms=kd_terms(), student_alone=True)


def test_a_run_that_ends_before_the_student_stage_says_so(tmp_path):
    with pytest.warns(UserWarning, match="ends the run before the student stage"):
        fit(make_amid(teacher_epochs=4), tmp_path)


def test_a_teacher_that_is_never_validated_is_reported_and_used(tmp_path):
    with pytest.warns(UserWarning, match="never validated"):
        recorder = fit(make_amid(), tmp_path, limit_val_batches=0)
    teacher = {n for n in changed(recorder.after[1], recorder.before[2]) if "teacher" in n}
    assert teacher == set()


def test_the_stage_of_an_epoch_is_the_last_one_begun():
    model = make_amid(teacher_epochs=3)
    assert [stage_at(model.progress.stages, epoch).name for epoch in (0, 2, 3, 99)] == [
        "teacher",
        "teacher",
        "student",
        "student",
    ]
