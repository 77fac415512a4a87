"""The signs of a weak teacher on made-up curves, and the alarm in runs of a simulated world."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from lightning.pytorch import seed_everything

from cmkd import CrossModalDistillation, Term
from cmkd.callbacks import WeakTeacherAlarm
from cmkd.callbacks.weak_teacher import TeacherEpoch, beyond_student, find_sign
from cmkd.networks import MLP
from cmkd.objectives import InfoNCE
from datamodules import LatentWorld
from tests.cmkd.setting import make_trainer


def epochs(**values):
    """Return a history in which I(T;S) rises, with further values by name, an epoch each."""
    length = max(map(len, values.values()))
    rising = [0.5 + 0.5 * number for number in range(length)]
    values = {"mi_student": rising, "metric": [0.7] * length} | values
    return [
        TeacherEpoch(epoch, **dict(zip(values, row, strict=True)))
        for epoch, row in enumerate(zip(*values.values(), strict=True))
    ]


def test_a_metric_that_falls_while_the_information_rises_is_a_sign():
    sign = find_sign(epochs(metric=[0.5, 0.73, 0.7, 0.6, 0.55]))
    assert "validation metric went from 0.73 (epoch 1) to 0.55" in sign
    assert "I(T;S) rose from 1.00 to 2.50 nats" in sign


def test_an_error_that_grows_is_a_fall_where_smaller_is_better():
    history = epochs(metric=[1.0, 0.8, 0.9, 1.0])
    assert find_sign(history, mode="min") is not None
    assert find_sign(history, mode="max") is None


def test_a_fall_of_one_epoch_or_within_the_tolerance_is_none():
    assert find_sign(epochs(metric=[0.5, 0.73, 0.72, 0.55])) is None
    assert find_sign(epochs(metric=[0.5, 0.73, 0.7, 0.68, 0.67])) is None
    assert find_sign(epochs(metric=[0.5, 0.73, 0.7, 0.68, 0.67]), tolerance=0.05) is not None


def test_a_fall_in_which_the_information_falls_too_has_another_reason():
    history = epochs(metric=[0.5, 0.73, 0.6, 0.55])
    falling = [replace(epoch, mi_student=3 - epoch.mi_student) for epoch in history]
    assert find_sign(history) is not None
    assert find_sign(falling) is None


def test_information_about_the_auxiliary_that_falls_is_a_sign():
    assert "I(T;A) went from 2 (epoch 1) to 1.1" in find_sign(
        epochs(mi_auxiliary=[1.0, 2.0, 1.4, 1.1])
    )
    assert find_sign(epochs(mi_auxiliary=[1.0, 2.0, 2.2, 2.3])) is None
    assert find_sign(epochs(mi_auxiliary=[2.0, None, None, None])) is None


def test_an_embedding_that_says_no_more_than_the_students_is_a_sign():
    assert "does not tell went from 0.5 (epoch 0) to 0.04" in find_sign(
        epochs(beyond_student=[0.5, 0.2, 0.08, 0.04])
    )
    assert find_sign(epochs(beyond_student=[0.5, 0.3, 0.2, 0.2])) is None
    assert find_sign(epochs(beyond_student=[0.04, 0.05, 0.06, 0.07])) is None


def test_the_first_epochs_are_compared_with_nothing():
    assert find_sign(epochs(metric=[0.7])) is None
    assert find_sign(epochs(metric=[0.7, 0.1])) is None


def test_what_the_student_does_not_tell_is_measured_up_to_a_linear_map():
    generator = torch.Generator().manual_seed(0)
    student, own = torch.randn(2, 400, 3, generator=generator)
    mixed = student @ torch.randn(3, 3, generator=generator)
    assert beyond_student(mixed, student) < 1e-3
    assert beyond_student(own, student) == pytest.approx(1, abs=0.05)
    assert beyond_student(torch.cat([student, own], 1), student) == pytest.approx(0.5, abs=0.05)
    assert beyond_student(torch.ones(400, 3), student) == 0


def teacher_stage(tmp_path, alarm, epochs=4, resume=None, **weights):
    """Run epochs of the teacher stage in a simulated world, with the terms that have a weight."""
    seed_everything(0)
    terms = {"mi_ts": Term(InfoNCE, weight=weights["mi_ts"], warmup_epochs=1)}
    if "mi_ta" in weights:
        by_auxiliary = partial(InfoNCE, source="auxiliary")
        terms["mi_ta"] = Term(by_auxiliary, weight=weights["mi_ta"], warmup_epochs=1)
    model = CrossModalDistillation(
        student_modalities=["first"],
        auxiliary_modalities=["second"],
        encoders={name: partial(MLP, 32, width=64) for name in ("first", "second")},
        num_classes=6,
        embedding_dim=32,
        teacher_epochs=5,
        teacher_terms=terms,
        optimizer=partial(torch.optim.AdamW, lr=2e-3, weight_decay=0.01),
    )
    data = LatentWorld(["first"], ["second"], batch_size=128, test=1)
    trainer = make_trainer(tmp_path, epochs, callbacks=[alarm], num_sanity_val_steps=0)
    trainer.fit(model, datamodule=data, ckpt_path=resume)
    return trainer


def weak(warnings):
    return [str(w.message) for w in warnings if "weak teacher" in str(w.message)]


def test_a_heavy_term_in_the_teacher_stage_gives_one_alarm_that_names_it(tmp_path, recwarn):
    teacher_stage(tmp_path, WeakTeacherAlarm(), mi_ts=10.0)
    (text,) = weak(recwarn)
    assert "Lower model.teacher_terms.mi_ts.weight (10) or add I(T;A)" in text


def test_a_light_term_gives_none(tmp_path, recwarn):
    alarm = WeakTeacherAlarm()
    teacher_stage(tmp_path, alarm, mi_ts=0.1)
    assert not weak(recwarn)
    history = alarm.state_dict()["history"]["teacher"]
    assert len(history) == 4
    assert history[-1]["beyond_student"] > 0.3


def test_the_cure_gives_none(tmp_path, recwarn):
    alarm = WeakTeacherAlarm()
    teacher_stage(tmp_path, alarm, mi_ts=10.0, mi_ta=10.0)
    assert not weak(recwarn)
    assert alarm.state_dict()["history"]["teacher"][-1]["mi_auxiliary"] > 1


def test_a_resumed_run_goes_on_with_what_it_has_seen(tmp_path, recwarn):
    first = teacher_stage(tmp_path, WeakTeacherAlarm(), epochs=2, mi_ts=10.0)
    assert not weak(recwarn)
    first.save_checkpoint(tmp_path / "two.ckpt")
    alarm = WeakTeacherAlarm()
    teacher_stage(tmp_path, alarm, epochs=3, resume=tmp_path / "two.ckpt", mi_ts=10.0)
    assert [epoch["epoch"] for epoch in alarm.state_dict()["history"]["teacher"]] == [0, 1, 2]
    assert len(weak(recwarn)) == 1


@pytest.mark.parametrize(
    ("argument", "value"), [("tolerance", 1.0), ("least", -0.1), ("patience", 0), ("samples", 3)]
)
def test_an_argument_out_of_its_range_is_named(argument, value):
    with pytest.raises(ValueError, match=rf"WeakTeacherAlarm\.{argument} must"):
        WeakTeacherAlarm(**{argument: value})
