"""One command that starts a run, stops when it is told to, and goes on when given again."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_only

from cmkd.callbacks import StageCheckpoint, StopOnSignal
from cmkd.cli import run
from cmkd.runs import AppendingCSVLogger, RunOptions, checkpoint_to_resume
from tests.cmkd.setting import assert_same, make_amid, make_data, make_trainer, weights

TINY = str(Path(__file__).with_name("tiny.yaml"))


class Term(Callback):
    """Sends SIGTERM to this process in one batch."""

    def __init__(self, epoch, batch):
        self.at = (epoch, batch)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == self.at:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if (trainer.current_epoch, "validation") == self.at and batch_idx == 1:
            os.kill(os.getpid(), signal.SIGTERM)


def fit(folder, *callbacks, accumulate=1, ckpt_path=None):
    model = make_amid(dropout=0.2, accumulate=accumulate)
    checkpoint = StageCheckpoint(dirpath=str(folder))
    trainer = make_trainer(
        folder,
        enable_checkpointing=True,
        num_sanity_val_steps=0,
        callbacks=[checkpoint, *callbacks],
    )
    trainer.fit(model, datamodule=make_data(batch_size=4), ckpt_path=ckpt_path)
    return weights(model)


@pytest.mark.parametrize(
    ("epoch", "batch", "accumulate", "epoch_saved", "steps"),
    [
        # Epochs of 8 batches; asked in front of every second step.
        (2, 2, 1, 2, 2 * 8 + 4),
        # In front of the next epoch, where the last one's checkpoint says it all.
        (1, 6, 1, 1, 2 * 8),
        # Windows of 3, 3 and 2 batches: the next that may be stopped at begins with batch 6.
        (2, 1, 3, 2, 2 * 3 + 2),
        (1, "validation", 1, 1, 2 * 8),
    ],
)
def test_a_run_told_to_stop_ends_in_front_of_a_step_and_goes_on_exactly(
    tmp_path, epoch, batch, accumulate, epoch_saved, steps
):
    handler = signal.getsignal(signal.SIGTERM)
    whole = fit(tmp_path / "whole", accumulate=accumulate)
    with pytest.raises(SystemExit) as stopped, pytest.warns(UserWarning, match="SIGTERM"):
        fit(tmp_path, Term(epoch, batch), StopOnSignal(every_n_batches=2), accumulate=accumulate)
    assert stopped.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is handler
    last = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert (last["epoch"], last["global_step"]) == (epoch_saved, steps)
    resumed = fit(tmp_path, accumulate=accumulate, ckpt_path=str(tmp_path / "last.ckpt"))
    assert_same(whole, resumed)


def test_the_distance_between_questions_is_at_least_a_batch():
    with pytest.raises(ValueError, match="every_n_batches must be at least 1, got 0"):
        StopOnSignal(every_n_batches=0)


def test_the_same_command_starts_a_run_continues_it_and_then_has_nothing_to_do(tmp_path):
    command = ["fit", "--config", TINY, "--run.dir", str(tmp_path / "run"), "--run.resume", "true"]
    first = run([*command, "--trainer.max_epochs", "3"])
    assert first.trainer.ckpt_path is None
    second = run(command)
    assert Path(second.trainer.ckpt_path).name == "last.ckpt"
    assert second.trainer.global_step == 16
    third = run(command)
    assert third.trainer.global_step == 16
    assert_same(weights(second.model), weights(third.model))
    whole = run(["fit", "--config", TINY, "--run.dir", str(tmp_path / "whole")])
    assert_same(weights(whole.model), weights(second.model))


def test_resuming_needs_to_know_where(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    here = RunOptions(dir=str(tmp_path), resume=True)
    assert checkpoint_to_resume(here, None, None) is None
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.touch()
    assert checkpoint_to_resume(here, None, None) == str(last)
    assert checkpoint_to_resume(here, None, str(tmp_path / "elsewhere")) is None
    assert checkpoint_to_resume(RunOptions(dir=str(tmp_path)), None, None) is None
    with pytest.raises(ValueError, match=r"name it by run\.dir"):
        checkpoint_to_resume(RunOptions(resume=True), None, None)
    with pytest.raises(ValueError, match="leave one of them out"):
        checkpoint_to_resume(here, "other.ckpt", None)


def test_only_rank_0_moves_an_earlier_metrics_file_aside(tmp_path, monkeypatch):
    (tmp_path / "metrics.csv").write_text("epoch\n0\n")
    look = partial(getattr, AppendingCSVLogger(tmp_path), "experiment")
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    look()
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]
    monkeypatch.setattr(rank_zero_only, "rank", 0)
    look()
    assert (tmp_path / "metrics-1.csv").read_text() == "epoch\n0\n"
