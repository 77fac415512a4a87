"""A run that was interrupted ends where the uninterrupted one ends."""

import time

import pytest
import torch
from lightning.pytorch import Callback

from cmkd.callbacks import ResultsTable, StageCheckpoint
from tests.cmkd.setting import (
    assert_same,
    make_amid,
    make_data,
    make_trainer,
    mlp_encoders,
    weights,
)


class Stop(Callback):
    """Raises in the middle of an epoch, as a pulled plug or Ctrl-C would."""

    def __init__(self, epoch, batch):
        self.at = (epoch, batch)

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == self.at:
            raise RuntimeError("pulled the plug")


def model_and_data(num_workers=0):
    # Dropout, so that the test sees whether the random numbers continue.
    return make_amid(dropout=0.2, gradient_clip_norm=1.0), make_data(num_workers=num_workers)


def state(model, trainer):
    optimizers = [o.state_dict()["state"] for o in trainer.optimizers]
    tensors = {
        f"optimizer {number}.{index}.{key}": torch.as_tensor(value)
        for number, state in enumerate(optimizers)
        for index, values in state.items()
        for key, value in values.items()
    }
    return weights(model) | tensors | {"step": torch.tensor(trainer.global_step)}


def fit(folder, num_workers=0, ckpt_path=None, callbacks=(), max_epochs=4):
    model, data = model_and_data(num_workers)
    checkpoint = StageCheckpoint(dirpath=str(folder / "checkpoints"))
    trainer = make_trainer(
        folder, max_epochs, enable_checkpointing=True, callbacks=[checkpoint, *callbacks]
    )
    trainer.fit(model, datamodule=data, ckpt_path=ckpt_path)
    return model, trainer


@pytest.mark.parametrize("num_workers", [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("epoch", "batch"), [(1, 0), (1, 2), (2, 0), (2, 3), (3, 1)])
def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path, epoch, batch, num_workers):
    whole = state(*fit(tmp_path / "whole"))
    with pytest.raises(RuntimeError, match="plug"):
        fit(tmp_path / "cut", num_workers, callbacks=[Stop(epoch, batch)])
    last = tmp_path / "cut" / "checkpoints" / "last.ckpt"
    resumed = state(*fit(tmp_path / "cut", num_workers, ckpt_path=str(last)))
    assert_same(whole, resumed)


def test_the_best_student_survives_an_interruption(tmp_path):
    _, whole = fit(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="plug"):
        fit(tmp_path / "cut", callbacks=[Stop(3, 1)])
    last = tmp_path / "cut" / "checkpoints" / "last.ckpt"
    _, resumed = fit(tmp_path / "cut", ckpt_path=str(last))
    first, second = whole.checkpoint_callback, resumed.checkpoint_callback
    assert first.best_model_score == second.best_model_score
    states = [torch.load(c.best_model_path, weights_only=True) for c in (first, second)]
    assert states[0]["epoch"] == states[1]["epoch"]
    assert_same(states[0]["state_dict"], states[1]["state_dict"])
    assert sorted(p.name for p in last.parent.iterdir()) == ["best.ckpt", "last.ckpt"]


def test_the_best_teacher_travels_in_the_checkpoint(tmp_path):
    with pytest.raises(RuntimeError, match="plug"):
        fit(tmp_path, callbacks=[Stop(1, 2)])
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["cmkd"]["progress"]["stage"] == "teacher"
    assert last["cmkd"]["progress"]["kept"]["teacher"]["epoch"] == 0
    assert last["cmkd"]["progress"]["kept"]["teacher"]["states"].keys() == {"teacher", "auxiliary"}


def test_a_resumed_run_takes_the_learning_rate_of_the_config(tmp_path):
    model, data = model_and_data()
    trainer = make_trainer(tmp_path, 3)
    trainer.fit(model, datamodule=data)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    slow = make_amid(optimizer=lambda p: torch.optim.AdamW(p, lr=1e-6), encoders=mlp_encoders())
    trainer = make_trainer(tmp_path, 4)
    trainer.fit(slow, datamodule=data, ckpt_path=tmp_path / "a.ckpt")
    assert trainer.optimizers[1].param_groups[0]["lr"] == 1e-6


def test_an_interrupted_run_says_how_to_go_on(tmp_path, caplog):
    caplog.set_level("INFO", logger="lightning.pytorch")
    with pytest.raises(RuntimeError, match="plug"):
        fit(tmp_path, callbacks=[Stop(1, 2)])
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert f"go on with --ckpt_path {last}" in caplog.text


def test_the_time_of_a_stage_counts_from_the_resume(tmp_path):
    with pytest.raises(RuntimeError, match="plug"):
        fit(tmp_path, callbacks=[Stop(1, 2)])
    results = ResultsTable()
    begun = time.perf_counter()
    fit(tmp_path, ckpt_path=str(tmp_path / "checkpoints" / "last.ckpt"), callbacks=[results])
    assert 0 < sum(results.seconds.values()) <= time.perf_counter() - begun
