"""A run that is killed without warning, again and again, ends where the whole run ends."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback

from cmkd.callbacks import StageCheckpoint
from tests.cmkd.setting import make_amid, make_data, make_trainer
from tests.cmkd.survival.run import (
    BATCHES,
    EPOCHS,
    TEACHER_EPOCHS,
    Journal,
    assert_equal,
    batches,
    carried,
    checkpoints,
    fit,
    last,
)

ROOT = Path(__file__).parents[3]


def killed(folder, kills, seed, every):
    """Run with kills in between; return the batch and the files at each of them."""
    arguments = map(str, (folder, kills, seed, every or 0))
    done = subprocess.run(
        [sys.executable, "-m", "tests.cmkd.survival.kill", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def whole(folder, every):
    folder.mkdir(parents=True)
    fit(folder, [Journal(folder / "journal")], every)
    return folder


def in_teacher_stage(record):
    return sum(batch < TEACHER_EPOCHS * BATCHES for batch, _ in record)


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "every"), [(20, 3), (6, None)])
def test_kills_at_random_moments_of_both_stages_change_nothing(tmp_path, kills, every):
    record = killed(tmp_path / "killed", kills, seed=0, every=every)
    assert len(record) == kills
    assert kills // 4 <= in_teacher_stage(record) <= kills - kills // 4
    folder = whole(tmp_path / "whole", every)
    for name in ("last.ckpt", "best.ckpt"):
        assert_equal(
            carried(checkpoints(folder) / name), carried(checkpoints(tmp_path / "killed") / name)
        )
    # Every attempt saw the same samples in the same batch, and drew the same numbers.
    assert batches(tmp_path / "killed") == batches(folder)
    assert len(batches(folder)) == EPOCHS * BATCHES
    # Nothing that the kills left stays.
    names = {path.name for path in last(tmp_path / "killed").parent.iterdir()}
    assert names == {"best.ckpt", "last.ckpt"}


def test_a_checkpoint_is_written_after_every_epoch_of_both_stages(tmp_path):
    class Epochs(Callback):
        """Notes which epoch last.ckpt is of, when the next one begins."""

        def __init__(self):
            self.found = []

        def on_train_epoch_start(self, trainer, module):
            if trainer.current_epoch:
                self.found.append(torch.load(last(tmp_path), weights_only=True)["epoch"])

    epochs = Epochs()
    fit(tmp_path, [epochs], every=None)
    assert epochs.found == list(range(EPOCHS - 1))


def test_a_kill_between_best_and_last_leaves_no_second_best(tmp_path):
    """last.ckpt is then of before the first best.ckpt, and knows nothing of it."""

    class BeforeStudent(Callback):
        """Keeps last.ckpt as it is when the student's stage begins."""

        def on_train_epoch_start(self, trainer, module):
            if trainer.current_epoch == TEACHER_EPOCHS:
                shutil.copy(last(tmp_path), tmp_path / "before.ckpt")

    fit(tmp_path, [BeforeStudent()])
    best = carried(checkpoints(tmp_path) / "best.ckpt")
    (tmp_path / "before.ckpt").replace(last(tmp_path))
    fit(tmp_path)
    assert {path.name for path in checkpoints(tmp_path).iterdir()} == {"best.ckpt", "last.ckpt"}
    assert_equal(best, carried(checkpoints(tmp_path) / "best.ckpt"))


def test_another_run_in_the_same_folder_overwrites_no_checkpoint(tmp_path):
    fit(tmp_path)
    checkpoint = StageCheckpoint(dirpath=str(checkpoints(tmp_path)))
    trainer = make_trainer(tmp_path, 4, enable_checkpointing=True, callbacks=[checkpoint])
    trainer.fit(make_amid(), datamodule=make_data())
    names = {path.name for path in checkpoints(tmp_path).iterdir()}
    assert names == {"best.ckpt", "last.ckpt", "best-v1.ckpt", "last-v1.ckpt"}


def test_a_number_of_steps_below_one_is_refused():
    with pytest.raises(ValueError, match="every_n_train_steps must be 1 or more, got 0"):
        StageCheckpoint(every_n_train_steps=0)
