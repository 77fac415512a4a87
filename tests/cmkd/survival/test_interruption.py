"""A run that is interrupted wherever it is ends where the whole run ends."""

import os
import signal

import pytest
from lightning.pytorch import Callback

from datamodules.media import MediaError
from tests.cmkd.setting import SHAPES, assert_same, weights
from tests.cmkd.survival.run import (
    BATCHES,
    TEACHER_EPOCHS,
    assert_equal,
    carried,
    fit,
    last,
    without_buffers,
)
from tests.fake_data import FakeData


class Stop(Callback):
    """Raises in front of a batch, as Ctrl-C may do."""

    def __init__(self, epoch, batch, validating=False):
        self.at, self.validating = (epoch, batch), validating

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if not self.validating:
            self.stop(trainer, batch_idx)

    def on_validation_batch_start(self, trainer, module, batch, batch_idx):
        if self.validating and not trainer.sanity_checking:
            self.stop(trainer, batch_idx)

    def stop(self, trainer, batch_idx):
        if (trainer.current_epoch, batch_idx) == self.at:
            raise RuntimeError("stopped")


def gone_on_with(folder):
    """Return what a run's last checkpoint carries, but for the state of torch's generator.

    Every step seeds it anew. In between loaders draw from it when their workers begin, which in a
    run that was interrupted is at another moment.
    """
    everything = carried(last(folder))
    return {name: value for name, value in everything.items() if name != "/callbacks/rng/torch"}


# In the stage of the teacher, then of the student.
@pytest.mark.parametrize("epoch", [1, TEACHER_EPOCHS + 1])
def test_an_interrupted_validation_begins_again(tmp_path, epoch):
    arguments = {"every": None, "max_epochs": epoch + 1}
    fit(tmp_path / "whole", **arguments)
    with pytest.raises(RuntimeError, match="stopped"):
        fit(tmp_path / "cut", [Stop(epoch, 2, validating=True)], **arguments)
    fit(tmp_path / "cut", **arguments)
    assert_equal(gone_on_with(tmp_path / "whole"), gone_on_with(tmp_path / "cut"))


def test_the_batches_since_the_last_step_are_run_again(tmp_path):
    # Without a queue and BatchNorm, which a batch that is run again moves again.
    arguments = {"every": None, "max_epochs": 2, "accumulate": 3} | without_buffers()
    whole = fit(tmp_path / "whole", **arguments).lightning_module
    with pytest.raises(RuntimeError, match="stopped"):
        fit(tmp_path / "cut", [Stop(1, 5)], **arguments)
    cut = fit(tmp_path / "cut", **arguments)
    assert cut.global_step == 2 * BATCHES // 3
    assert_same(weights(whole), weights(cut.lightning_module))


class Breaks(FakeData):
    """Data of which one sample does something when it is read the first time in training.

    Args:
        marker: a file that is there from then on.
        sample: the sample's number.
        error: what it raises; None: its loader worker is killed.
    """

    def __init__(self, marker, sample, error=None, **kwargs):
        super().__init__(
            ["face"], ["audio"], shapes=SHAPES, samples=8 * BATCHES, num_workers=1, **kwargs
        )
        self.marker, self.sample, self.error = marker, sample, error

    def build_dataset(self, split, modalities):
        dataset = super().build_dataset(split, modalities)
        if split != "train":
            return dataset
        read, owner = type(dataset).__getitem__, self

        class Breaking(type(dataset)):
            def __getitem__(self, key):
                if key == (owner.sample, 1) and not owner.marker.exists():
                    owner.marker.touch()
                    if owner.error is not None:
                        raise owner.error
                    os.kill(os.getpid(), signal.SIGKILL)
                return read(self, key)

        dataset.__class__ = Breaking
        return dataset


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (
            None,
            # Which of them it is depends on what the worker was doing.
            (RuntimeError, ConnectionResetError),
            r"DataLoader worker .* (is killed by signal|exited unexpectedly)|Connection reset",
        ),
        (MediaError("a.mp4: cannot be decoded"), MediaError, r"a\.mp4: cannot be decoded"),
    ],
    ids=["a worker is killed", "a file is corrupt"],
)
def test_a_failure_of_the_loader_leaves_a_checkpoint_to_go_on_from(
    tmp_path, caplog, error, raised, message
):
    caplog.set_level("INFO", logger="lightning.pytorch")

    def run(folder):
        data = Breaks(tmp_path / f"{folder}-broken", 5, error)
        return fit(tmp_path / folder, every=None, max_epochs=2, data=data)

    (tmp_path / "whole-broken").touch()
    run("whole")
    with pytest.raises(raised, match=message):
        run("cut")
    assert f"go on with --ckpt_path {last(tmp_path / 'cut')}" in caplog.text
    run("cut")
    assert_equal(gone_on_with(tmp_path / "whole"), gone_on_with(tmp_path / "cut"))
