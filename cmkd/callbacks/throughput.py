"""How fast a run is, and how much of its time it waits for data."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from cmkd.batch import Batch
from cmkd.callbacks.step_values import is_logged, log_values


class Throughput(Callback):
    """Logs ``throughput/samples_per_second`` and ``throughput/loader_wait`` of the training.

    Samples are those of all ranks. The wait is the share of the time between the end of one step
    and the beginning of the next: for the loader, the transfer to the device and whatever other
    callbacks do there. Validation and checkpoints between epochs do not count. On a GPU the process
    runs ahead of the device, so that a wait need not mean that the device was idle: it is an upper
    bound.

    Both are means since the last logged step: every ``log_every_n_steps``-th is, and the last of an
    epoch. A step costs two looks at the clock.
    """

    def __init__(self) -> None:
        self._ended = 0.0
        self._began = 0.0
        self._reset()

    def _reset(self) -> None:
        self._waited, self._stepped, self._samples = 0.0, 0.0, 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock: the epoch's first batch is waited for, too."""
        self._ended = time.perf_counter()

    def on_train_batch_start(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        batch: Batch,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Take the time at which the batch is there."""
        self._began = time.perf_counter()
        if self._ended:
            self._waited += self._began - self._ended

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Batch,
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Add the step, and log where it is time."""
        self._ended = time.perf_counter()
        self._stepped += self._ended - self._began
        self._samples += len(batch["index"])
        if is_logged(trainer):
            spent = self._waited + self._stepped
            values = {
                "throughput/samples_per_second": self._samples * trainer.world_size / spent,
                "throughput/loader_wait": self._waited / spent,
            }
            self._reset()
            log_values(trainer, values)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stop the clock."""
        self._ended = 0.0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock again, for a validation within an epoch."""
        self._ended = time.perf_counter()
