"""A loss or gradient that is NaN stops the run, or costs one step and nothing else."""

import csv
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.strategies import DDPStrategy

from cmkd.callbacks import StageCheckpoint
from cmkd.callbacks.nonfinite import NonFiniteError, NonFiniteGuard
from tests.cmkd.setting import assert_same, make_data, make_trainer, mlp_encoders, weights
from tests.cmkd.survival.run import fit, last, model


class Poison(Callback):
    """Puts a value into a modality of some batches, as a broken feature file would.

    Args:
        at: (epoch, batch) of each.
        rank: the only rank that has them.
    """

    def __init__(self, *at, value=float("nan"), rank=0):
        self.at, self.value, self.rank = at, value, rank
        self.indices = []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) in self.at and trainer.global_rank == self.rank:
            batch["face"][1] = self.value
            self.indices.append(batch["index"].tolist())


class Watch(Callback):
    """Keeps weights and optimizer states around the steps of one epoch."""

    def __init__(self, epoch):
        self.epoch, self.before, self.after = epoch, {}, {}

    def states(self, trainer, module):
        optimizers = {
            f"optimizer {number}.{key}.{name}": torch.as_tensor(value).clone()
            for number, optimizer in enumerate(trainer.optimizers)
            for key, state in optimizer.state_dict()["state"].items()
            for name, value in state.items()
        }
        return weights(module) | optimizers

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.current_epoch == self.epoch:
            self.before[batch_idx] = self.states(trainer, module)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if trainer.current_epoch == self.epoch:
            self.after[batch_idx] = self.states(trainer, module)


def written(folder):
    with (folder / "nonfinite.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_the_run_stops_before_the_step_and_names_the_samples(tmp_path, value):
    poison, watch = Poison((1, 2), value=value), Watch(1)
    with pytest.raises(NonFiniteError, match=r"in batch 2 of epoch 1: samples .*nonfinite\.csv"):
        fit(tmp_path, [poison, watch, NonFiniteGuard()])
    [row] = written(tmp_path)
    assert row["indices"].split() == [str(index) for index in poison.indices[0]]
    assert (row["epoch"], row["batch"]) == ("1", "2")
    assert not torch.tensor(float(row["loss"])).isfinite()


def test_the_checkpoint_after_a_stop_is_from_before_and_the_run_goes_on_from_it(tmp_path):
    with pytest.raises(NonFiniteError):
        fit(tmp_path / "run", [Poison((1, 8)), NonFiniteGuard()], max_epochs=2)
    saved = torch.load(last(tmp_path / "run"), weights_only=True)
    # Of step 18, the sixth batch of the second epoch: the last that was written regularly.
    assert saved["global_step"] == 18
    assert all(value.isfinite().all() for value in saved["state_dict"].values())
    resumed = fit(tmp_path / "run", [NonFiniteGuard()], max_epochs=2).lightning_module
    whole = fit(tmp_path / "whole", max_epochs=2).lightning_module
    assert_same(weights(whole), weights(resumed))


# The batch is in the teacher's stage, then in the student's, which has a critic.
@pytest.mark.parametrize("epoch", [1, 4])
def test_a_skipped_step_leaves_weights_buffers_and_optimizers_alone(tmp_path, epoch):
    watch = Watch(epoch)
    with pytest.warns(UserWarning, match=rf"in batch 2 of epoch {epoch}.*the step is skipped"):
        fit(tmp_path, [Poison((epoch, 2)), watch, NonFiniteGuard("skip")], max_epochs=epoch + 1)
    assert_same(watch.before[2], watch.after[2])
    assert any(not torch.equal(x, watch.after[3][name]) for name, x in watch.before[3].items())
    saved = torch.load(last(tmp_path), weights_only=True)
    assert all(value.isfinite().all() for value in saved["state_dict"].values())


def test_without_the_guard_the_same_batch_ruins_the_run(tmp_path):
    fit(tmp_path, [Poison((1, 2))], max_epochs=2)
    saved = torch.load(last(tmp_path), weights_only=True)
    assert any(value.isnan().any() for value in saved["state_dict"].values())


def test_a_window_of_accumulated_batches_is_skipped_as_a_whole(tmp_path):
    watch, poison = Watch(1), Poison((1, 4))
    with pytest.warns(UserWarning, match="the step is skipped"):
        fit(tmp_path, [poison, watch, NonFiniteGuard("skip")], max_epochs=2, accumulate=3)
    # Batches 3 to 5; in the last of them the queue has the NaN.
    assert_same(watch.before[3], watch.after[5])
    rows = written(tmp_path)
    assert [row["batch"] for row in rows] == ["4", "5"]
    assert rows[0]["indices"].split() == [str(index) for index in poison.indices[0]]


def test_a_finite_loss_with_a_nan_gradient_stops_the_run(tmp_path):
    class Root(Callback):
        """Gives a parameter the gradient of a square root at 0."""

        def on_after_backward(self, trainer, module):
            if trainer.current_epoch == 1:
                module.network("teacher").head[1].weight.grad[0, 0] = float("inf")

    with pytest.raises(NonFiniteError, match="a gradient is NaN or infinite in batch 0 of epoch 1"):
        fit(tmp_path, [Root(), NonFiniteGuard()])


def test_a_run_that_skips_and_skips_is_stopped(tmp_path):
    poison = Poison(*((1, batch) for batch in range(12)))
    guard = NonFiniteGuard("skip", max_skipped_in_a_row=4)
    with (
        pytest.warns(UserWarning, match="skipped"),
        pytest.raises(NonFiniteError, match=r"batch 4 of epoch 1.*after 4 skipped in a row"),
    ):
        fit(tmp_path, [poison, guard])
    assert len(written(tmp_path)) == 5


def test_a_run_without_such_a_loss_is_the_same_with_the_guard(tmp_path):
    states = []
    for name, callbacks in (("with", [NonFiniteGuard("skip")]), ("without", [])):
        states.append(weights(fit(tmp_path / name, callbacks, max_epochs=4).lightning_module))
    assert_same(*states)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"policy": "ignore"}, "'stop' or 'skip'"), ({"max_skipped_in_a_row": 0}, "1 or more")],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        NonFiniteGuard(**arguments)


class SameOnBothRanks(Callback):
    """Fails, in the process of a rank, unless both hold the same finite weights."""

    def on_fit_end(self, trainer, module):
        for name, value in weights(module).items():
            values = [torch.empty_like(value) for _ in range(2)]
            torch.distributed.all_gather(values, value)
            assert torch.equal(*values), name
            assert value.isfinite().all(), name


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_ranks_decide_alike_when_one_of_them_has_the_batch(tmp_path, policy):
    strategy = DDPStrategy(start_method="spawn", process_group_backend="gloo")
    checkpoint = StageCheckpoint(dirpath=str(tmp_path / "checkpoints"))
    trainer = make_trainer(
        tmp_path,
        4,
        devices=2,
        strategy=strategy,
        num_sanity_val_steps=0,
        enable_checkpointing=True,
        callbacks=[
            Poison((1, 2), rank=1),
            SameOnBothRanks(),
            NonFiniteGuard(policy),
            checkpoint,
        ],
    )
    sgd = partial(torch.optim.SGD, lr=0.05)
    # BatchNorm's statistics are each rank's own.
    run = model(optimizer=sgd, encoders=mlp_encoders(), teacher_epochs=2)
    if policy == "stop":
        with pytest.raises(Exception, match=r"NonFiniteError.*in batch 2 of epoch 1 on rank 0, 1"):
            trainer.fit(run, datamodule=make_data(samples=96))
    else:
        trainer.fit(run, datamodule=make_data(samples=96))
    # Each scores its rows against those of both.
    assert [(row["rank"], row["batch"]) for row in written(tmp_path)] == [("0", "2"), ("1", "2")]
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert all(value.isfinite().all() for value in saved["state_dict"].values())
