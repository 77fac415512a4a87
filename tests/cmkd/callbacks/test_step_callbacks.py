"""What is measured in the steps of training: gradient norms, throughput, stage, learning rates."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback

from cmkd.callbacks import GradientNorms, StageLog, Throughput
from cmkd.callbacks import throughput as throughput_module
from tests.cmkd.callbacks.recorder import Recorder
from tests.cmkd.setting import make_amid, make_data, make_trainer


class Gradients(Callback):
    """Takes down the norms of every backward, its own way."""

    def __init__(self):
        self.norms = []

    def on_after_backward(self, trainer, pl_module):
        found = {}
        for role, network in pl_module.networks.items():
            squares = [
                float(p.grad.square().sum()) for p in network.parameters() if p.grad is not None
            ]
            if squares:
                found[role] = sum(squares) ** 0.5
        self.norms.append(found)


def fit(tmp_path, *callbacks, model=None, **trainer):
    recorder = Recorder()
    arguments = {"logger": recorder, "callbacks": list(callbacks), "log_every_n_steps": 3}
    trainer = make_trainer(tmp_path, **(arguments | trainer))
    trainer.fit(model or make_amid(), datamodule=make_data())
    return recorder


def test_gradient_norms_are_those_of_the_backward_by_network(tmp_path):
    gradients = Gradients()
    recorder = fit(tmp_path, GradientNorms(), gradients)
    # Epochs of four batches: every third, and the last ones.
    assert list(recorder.values("gradient_norm/teacher")) == [3, 4, 6, 8]
    for role in ("teacher", "student"):
        for step, value in recorder.values(f"gradient_norm/{role}").items():
            assert value == pytest.approx(gradients.norms[step - 1][role], rel=1e-5)


def test_a_frozen_network_has_no_gradient_norm(tmp_path):
    recorder = fit(tmp_path, GradientNorms())
    assert max(recorder.values("gradient_norm/teacher")) == 8
    assert max(recorder.values("gradient_norm/auxiliary")) == 8
    assert max(recorder.values("gradient_norm/student")) == 16


def test_gradient_norms_are_not_clipped(tmp_path):
    recorder = fit(tmp_path, GradientNorms(), model=make_amid(gradient_clip_norm=1e-3))
    assert min(recorder.values("gradient_norm/student").values()) > 1e-2


def test_with_accumulation_the_norm_is_that_of_the_window(tmp_path):
    gradients = Gradients()
    model = make_amid(accumulate=2)
    recorder = fit(tmp_path, GradientNorms(), gradients, model=model, log_every_n_steps=1)
    values = recorder.values("gradient_norm/student")
    assert list(values) == [2, 4, 6, 8, 10, 12, 14, 16]
    assert values[2] == pytest.approx(gradients.norms[1]["student"], rel=1e-5)


def test_the_stage_is_logged_at_each_epochs_first_batch(tmp_path):
    recorder = fit(tmp_path, StageLog())
    assert recorder.values("stage/number") == {1: 0, 5: 0, 9: 1, 13: 1}


def test_each_optimizers_learning_rate_is_logged(tmp_path):
    recorder = fit(tmp_path)
    rates = recorder.values("train/learning_rate")
    assert list(rates.values()) == pytest.approx([0.01] * len(rates))
    # The teacher stage has no critic.
    assert min(recorder.values("train/critic_learning_rate")) > 8


def test_throughput_is_of_all_ranks_and_waiting_is_what_lies_between_the_steps(monkeypatch):
    now, logged = SimpleNamespace(time=100.0), []
    monkeypatch.setattr(throughput_module.time, "perf_counter", lambda: now.time)
    monkeypatch.setattr(throughput_module, "log_values", lambda _, values: logged.append(values))
    monkeypatch.setattr(throughput_module, "is_logged", lambda trainer: trainer.step % 2 == 0)
    callback, batch = Throughput(), {"index": torch.arange(8)}
    trainer = SimpleNamespace(world_size=4, step=0)

    def step(wait, work):
        now.time += wait
        callback.on_train_batch_start(trainer, None, batch, 0)
        now.time += work
        trainer.step += 1
        callback.on_train_batch_end(trainer, None, None, batch, 0)

    callback.on_train_epoch_start(trainer, None)
    step(wait=2.0, work=1.0)
    step(wait=0.0, work=1.0)
    assert logged.pop() == {
        "throughput/samples_per_second": 2 * 8 * 4 / 4,
        "throughput/loader_wait": 0.5,
    }
    # A validation is no part of the training's time.
    callback.on_validation_start(trainer, None)
    now.time += 1000
    callback.on_validation_end(trainer, None)
    now.time += 1000
    callback.on_train_epoch_start(trainer, None)
    step(wait=1.0, work=1.0)
    step(wait=1.0, work=1.0)
    assert logged.pop()["throughput/loader_wait"] == 0.5


def test_a_run_logs_its_throughput(tmp_path):
    recorder = fit(tmp_path, Throughput(), max_epochs=1)
    assert list(recorder.values("throughput/samples_per_second")) == [3, 4]
    assert all(value > 0 for value in recorder.values("throughput/samples_per_second").values())
    assert all(0 < value < 1 for value in recorder.values("throughput/loader_wait").values())
