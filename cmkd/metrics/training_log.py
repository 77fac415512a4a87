"""The log of the training steps."""

from collections.abc import Mapping

from lightning.pytorch import LightningModule
from torch import Tensor

from cmkd.metrics.running import RunningMeans


class TrainingLog:
    """Logs means over the trainer's ``log_every_n_steps`` batches under ``train/``.

    What is left at the end of an epoch is logged through Lightning, where callbacks see it. Under
    DDP they are the first rank's: its part of the batches, and what terms gather of all ranks.
    """

    def __init__(self) -> None:
        self._means = RunningMeans()

    def add(self, values: Mapping[str, Tensor], module: LightningModule) -> None:
        """Add one step's scalars and log where it is time."""
        self._means.add(values)
        trainer = module.trainer
        step = trainer.fit_loop.total_batch_idx + 1
        if trainer.is_last_batch:
            means = self._means.pop("train/")
            module.log_dict(means, on_step=False, on_epoch=True, batch_size=1)
        elif step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            means = self._means.pop("train/")
            for logger in trainer.loggers:
                logger.log_metrics(means, step=step)
