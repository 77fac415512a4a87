"""Checkpoints of a run in stages."""

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from cmkd.distillation import CrossModalDistillation
from cmkd.stages import STUDENT_STAGE


class StageCheckpoint(ModelCheckpoint):
    """Writes ``last.ckpt`` after every epoch and ``best.ckpt`` for the best student.

    The best student is looked for in the student stage alone: a co-trained student of the teacher
    stage is another one. The best teacher needs no file of its own, it is inside each checkpoint.

    Args:
        monitor: validation metric that chooses the student; None: what the task says.
        mode: ``max`` or ``min``; None: what the task says.
        dirpath: folder; by default ``checkpoints`` in the run's folder.
        save_top_k: how many of the best to keep.
        save_on_exception: write a checkpoint when the run is interrupted.
    """

    def __init__(
        self,
        monitor: str | None = None,
        mode: str | None = None,
        dirpath: str | None = None,
        save_top_k: int = 1,
        save_on_exception: bool = True,
    ) -> None:
        super().__init__(
            dirpath=dirpath,
            filename="best" if save_top_k == 1 else "{epoch}",
            monitor=monitor or "what the task says",  # Lightning wants one for several best
            mode=mode or "max",
            save_top_k=save_top_k,
            save_last=True,
            save_on_exception=save_on_exception,
        )
        self._given = (monitor, mode)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ask the task what to monitor, where the config does not say."""
        monitor, mode = self._given
        if isinstance(pl_module, CrossModalDistillation):
            self.monitor = monitor or f"val/student_{pl_module.task.monitor}"
            self.mode = mode or pl_module.task.mode
            self.kth_value = torch.tensor(torch.inf if self.mode == "min" else -torch.inf)
        super().setup(trainer, pl_module, stage)

    def _save_topk_checkpoint(
        self, trainer: Trainer, monitor_candidates: dict[str, Tensor]
    ) -> None:
        module = trainer.lightning_module
        if isinstance(module, CrossModalDistillation) and module.stage.name != STUDENT_STAGE:
            return
        super()._save_topk_checkpoint(trainer, monitor_candidates)

    def on_exception(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        exception: BaseException,  # noqa: ARG002
    ) -> None:
        """Write ``last.ckpt`` and say how to go on; ``best.ckpt`` stays the best one."""
        if self._should_save_on_exception(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))
        if self.last_model_path:
            rank_zero_info(f"interrupted; go on with --ckpt_path {self.last_model_path}")
