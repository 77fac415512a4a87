"""Steps: what counts as one, accumulation, clipping, rates, and one forward and backward each."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from cmkd.optimization import accumulation_window
from cmkd.schedules import Cosine, MultiStep, Schedule
from tests.cmkd.setting import (
    assert_same,
    kd_terms,
    make_amid,
    make_data,
    make_model,
    make_trainer,
    weights,
)


class Steps(Callback):
    def __init__(self):
        self.global_steps, self.rates = [], []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.global_steps.append(trainer.global_step)
        main = module._stepper.stages[module.stage.name].main
        self.rates.append(main.param_groups[0]["lr"])


def test_global_step_counts_batches_although_the_discriminator_has_its_own_optimizer(tmp_path):
    steps, model = Steps(), make_amid()
    make_trainer(tmp_path, callbacks=[steps]).fit(model, datamodule=make_data())
    assert len(model.optimizers()) == 3  # teacher stage: networks; student stage: networks, critics
    assert steps.global_steps == list(range(1, 17))


def test_max_steps_stops_after_as_many_batches(tmp_path):
    steps = Steps()
    make_trainer(tmp_path, max_steps=6, callbacks=[steps]).fit(make_amid(), datamodule=make_data())
    assert len(steps.global_steps) == 6


def test_the_discriminator_learns_in_the_student_stage(tmp_path):
    model = make_amid()
    before = weights(model.stage_terms["student"].objectives["h_ts"])
    make_trainer(tmp_path).fit(model, datamodule=make_data())
    after = weights(model.stage_terms["student"].objectives["h_ts"])
    critics = [name for name in before if name.startswith("discriminator")]
    assert critics
    assert all(not torch.equal(before[name], after[name]) for name in critics)


@pytest.mark.parametrize("samples", [32, 28])
def test_n_batches_accumulated_equal_one_batch_n_times_as_large(tmp_path, samples):
    students = []
    for batch_size, accumulate in ((8, 1), (2, 4)):
        torch.manual_seed(0)
        # No dropout and no noise, whose numbers would differ; KD is a mean over rows.
        model = make_model(student_terms=kd_terms(), accumulate=accumulate)
        data = make_data(batch_size=batch_size, samples=samples)
        make_trainer(tmp_path).fit(model, datamodule=data)
        students.append(weights(model.networks))
    for name, value in students[0].items():
        torch.testing.assert_close(value, students[1][name], rtol=1e-4, atol=1e-5)


def test_accumulation_counts_a_step_a_window_and_flushes_at_the_end_of_the_epoch(tmp_path):
    steps = Steps()
    model = make_amid(accumulate=3)
    make_trainer(tmp_path, callbacks=[steps]).fit(model, datamodule=make_data())
    assert steps.global_steps[:8] == [0, 0, 1, 2, 2, 2, 3, 4]


def test_the_last_window_of_an_epoch_is_divided_by_its_own_length():
    windows = [accumulation_window(batch, batches=5, accumulate=3) for batch in range(5)]
    assert windows == [
        (3, True, False),
        (3, False, False),
        (3, False, True),
        (2, True, False),
        (2, False, True),
    ]
    assert accumulation_window(7, float("inf"), 3) == (3, False, False)


def test_gradients_of_networks_and_critics_are_clipped_apart(tmp_path):
    class Norms(Callback):
        main, critic = [], []

        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            optimizers = module._stepper.stages[module.stage.name]
            for kept, optimizer in ((self.main, optimizers.main), (self.critic, optimizers.critic)):
                if optimizer is not None:
                    grads = [p.grad for g in optimizer.param_groups for p in g["params"]]
                    kept.append(float(nn.utils.get_total_norm(grads)))

    norms, limit = Norms(), 1e-3
    model = make_amid(gradient_clip_norm=limit, entropy_probe=False)
    make_trainer(tmp_path, callbacks=[norms]).fit(model, datamodule=make_data())
    assert norms.main == pytest.approx([limit] * 16, rel=1e-2)
    assert norms.critic == pytest.approx([limit] * 8, rel=1e-2)


def test_every_network_runs_forward_once_and_backward_once_a_step(tmp_path):
    model = make_amid()
    forwards = dict.fromkeys(model.networks, 0)
    for role, network in model.networks.items():

        def count(module, inputs, output, role=role):
            forwards[role] += model.training

        network.register_forward_hook(count)
    backwards = []
    backward = model.manual_backward
    model.manual_backward = lambda loss: (backwards.append(1), backward(loss))
    make_trainer(tmp_path).fit(model, datamodule=make_data())
    # The auxiliary model has no part in the student stage's terms.
    assert forwards == {"student": 16, "teacher": 16, "auxiliary": 8}
    assert len(backwards) == 16


def test_each_stage_has_the_whole_schedule(tmp_path):
    steps = Steps()
    model = make_amid(schedule=Cosine(warmup_epochs=1), teacher_epochs=2)
    make_trainer(tmp_path, callbacks=[steps]).fit(model, datamodule=make_data())
    teacher, student = steps.rates[:8], steps.rates[8:]
    assert teacher == student
    assert teacher[:4] == pytest.approx([0, 0.0025, 0.005, 0.0075])
    assert teacher[4] == pytest.approx(0.01)
    assert 0 < teacher[7] < teacher[5] < 0.01


def test_schedules_warm_up_and_decay_as_they_say():
    assert Schedule(warmup_epochs=2).factor(0.5, 10) == 0.25
    assert Schedule().factor(0, 10) == 1
    assert Cosine().factor(5, 10) == pytest.approx(0.5)
    assert Cosine(final=0.1).factor(10, 10) == pytest.approx(0.1)
    assert Cosine().factor(5, float("inf")) == 1
    steps = MultiStep([150, 225])
    assert [steps.factor(e, 300) for e in (0, 149, 150, 225)] == pytest.approx([1, 1, 0.1, 0.01])
    with pytest.raises(ValueError, match="warmup_epochs"):
        Schedule(-1)


def test_the_weight_of_a_term_warms_up(tmp_path):
    """In the first step of a stage a term that warms up pulls nothing."""
    students = []
    for terms in ({}, kd_terms()):
        for term in terms.values():
            term.warmup_epochs = 1
        model = make_model(student_terms=terms, teacher_epochs=1)
        trainer = make_trainer(tmp_path, 2, limit_train_batches=1)
        trainer.fit(model, datamodule=make_data())
        students.append(weights(model.networks["student"]))
    assert_same(*students)


def test_the_entropy_probe_does_not_touch_the_networks(tmp_path):
    students = []
    for probe in (True, False):
        model = make_model(student_terms=kd_terms(), entropy_probe=probe, gradient_clip_norm=0.1)
        make_trainer(tmp_path).fit(model, datamodule=make_data())
        students.append(weights(model.networks))
    assert_same(*students)


class Backwards(Callback):
    """Keeps the gradient of the first loss with respect to a parameter, and what it should be."""

    def __init__(self, parameter):
        self.parameter, self.expected, self.found = parameter, None, None

    def on_before_backward(self, trainer, module, loss):
        if self.expected is None:
            with torch.autocast("cpu", enabled=False):
                (self.expected,) = torch.autograd.grad(loss, self.parameter, retain_graph=True)

    def on_after_backward(self, trainer, module):
        if self.found is None:
            self.found = self.parameter.grad.clone()


def test_under_bf16_the_backward_rounds_no_product_that_was_computed_in_float32(tmp_path):
    """Its three digits would show in the weights in front of InfoNCE's logits."""
    model = make_amid()
    objective = next(iter(model.stage_terms["teacher"].by_name().values()))
    backwards = Backwards(next(objective.source_projection.parameters()))
    trainer = make_trainer(tmp_path, precision="bf16-mixed", callbacks=[backwards], max_epochs=1)
    trainer.fit(model, datamodule=make_data())
    torch.testing.assert_close(backwards.found, backwards.expected, rtol=1e-6, atol=0)


def test_bf16_trains_both_stages_with_losses_in_float32(tmp_path):
    model = make_amid()
    make_trainer(tmp_path, precision="bf16-mixed").fit(model, datamodule=make_data())
    assert all(torch.isfinite(value).all() for value in weights(model).values())


def test_a_batch_of_one_is_refused_by_a_contrastive_term(tmp_path):
    with pytest.raises(ValueError, match=r"term 'mi_\w+' \(InfoNCE\).*data.batch_size"):
        make_trainer(tmp_path).fit(make_amid(), datamodule=make_data(batch_size=1))


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match="accumulate"):
        make_model(accumulate=0)
    terms = kd_terms()
    terms["kd"].weight = -1
    with pytest.raises(ValueError, match=r"student_terms\.kd: weight"):
        make_model(student_terms=terms)


def test_optimizers_hold_every_learnable_parameter_of_their_stage_once():
    model = make_amid()
    optimizers = model.configure_optimizers()
    for optimizer in optimizers:
        ids = [id(p) for group in optimizer.param_groups for p in group["params"]]
        assert len(ids) == len(set(ids))
    held = {id(p) for o in optimizers for g in o.param_groups for p in g["params"]}
    assert held == {id(p) for p in model.parameters()}


def test_the_critics_optimizer_can_be_another_one():
    model = make_amid(critic_optimizer=partial(torch.optim.SGD, lr=0.5))
    assert [type(o).__name__ for o in model.configure_optimizers()] == ["AdamW", "AdamW", "SGD"]
