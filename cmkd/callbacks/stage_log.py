"""What a logger has to know of a run in stages."""

from lightning.pytorch import Callback, LightningModule, Trainer

from cmkd.batch import Batch
from cmkd.callbacks.step_values import log_values
from cmkd.distillation import CrossModalDistillation
from cmkd.wandb_logger import PanelLogger


class StageLog(Callback):
    """Logs ``stage/number``, from 0, at the beginning of each epoch.

    W&B is also told the networks' names, by which it sorts what is logged, and to keep the best
    value of each network's monitored metric in the run's summary instead of the last.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell W&B of the networks and their metrics."""
        if not isinstance(pl_module, CrossModalDistillation):
            return
        for logger in trainer.loggers:
            if isinstance(logger, PanelLogger):
                logger.roles = tuple(pl_module.networks)
                for role in logger.roles:
                    logger.summarise(f"val/{role}_{pl_module.task.monitor}", pl_module.task.mode)

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Batch,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Log the stage at an epoch's first batch: the module changes it just before."""
        if batch_idx == 0 and isinstance(pl_module, CrossModalDistillation):
            number = pl_module.progress.stages.index(pl_module.stage)
            log_values(trainer, {"stage/number": number})
