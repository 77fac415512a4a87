"""Checkpoints of a run in stages."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from cmkd.checkpoint_io import AtomicCheckpointIO, CheckpointNotWrittenError, remove_parts
from cmkd.distillation import CrossModalDistillation
from cmkd.loop_state import restart_validation, restart_window
from cmkd.rng_state import rng_state, set_rng_state
from cmkd.stages import STUDENT_STAGE


class StageCheckpoint(ModelCheckpoint):
    """Writes ``last.ckpt`` after every epoch and ``best.ckpt`` for the best student.

    The best student is looked for in the student stage alone: a co-trained student of the teacher
    stage is another one. The best teacher needs no file of its own, it is inside each checkpoint.

    Files are written whole or not at all, and read as plain data (``AtomicCheckpointIO``, unless
    the trainer has a checkpoint plugin of its own). A checkpoint holds Python's, NumPy's and
    torch's random states too; under DDP those of rank 0, which alone goes on with them (what the
    library draws depends on the step or the sample, on every rank).

    Args:
        monitor: validation metric that chooses the student; None: what the task says.
        mode: ``max`` or ``min``; None: what the task says.
        dirpath: folder; by default ``checkpoints`` in the run's folder.
        save_top_k: how many of the best to keep.
        every_n_train_steps: write ``last.ckpt`` after so many optimizer steps too, for epochs that
            are longer than what may be lost; None: after each epoch alone.
        save_on_exception: write a checkpoint when the run is interrupted; not after a loss that is
            NaN or infinite, whose forward may have left it in BatchNorm statistics or a queue.

    Raises:
        ValueError: when every_n_train_steps is below 1.
    """

    def __init__(
        self,
        monitor: str | None = None,
        mode: str | None = None,
        dirpath: str | None = None,
        save_top_k: int = 1,
        every_n_train_steps: int | None = None,
        save_on_exception: bool = True,
    ) -> None:
        if every_n_train_steps is not None and every_n_train_steps < 1:
            raise ValueError(
                f"checkpoint.every_n_train_steps must be 1 or more, got {every_n_train_steps}; "
                "null for after each epoch alone"
            )
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
        self._every = every_n_train_steps
        self._last_step = 0
        self._rng_state: dict[str, Any] | None = None
        self._interrupted = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ask the task what to monitor, where the config does not say, and prepare the folder."""
        monitor, mode = self._given
        if isinstance(pl_module, CrossModalDistillation):
            self.monitor = monitor or f"val/student_{pl_module.task.monitor}"
            self.mode = mode or pl_module.task.mode
            self.kth_value = torch.tensor(torch.inf if self.mode == "min" else -torch.inf)
        super().setup(trainer, pl_module, stage)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = AtomicCheckpointIO()
        if stage == "fit" and trainer.is_global_zero:
            remove_parts(Path(str(self.dirpath)))

    def _goes_on(self, trainer: Trainer) -> bool:
        resumed = trainer.ckpt_path
        return resumed is not None and Path(resumed).resolve().parent == Path(str(self.dirpath))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with the random states of the checkpoint."""
        super().on_train_start(trainer, pl_module)
        self._interrupted = False
        # A resumed run writes over what it left: a kill between best.ckpt and last.ckpt leaves a
        # best.ckpt that last.ckpt knows nothing of.
        self._enable_version_counter = not self._goes_on(trainer)
        if self._rng_state is not None and trainer.is_global_zero:
            # Not before: setting up a run draws random numbers.
            set_rng_state(self._rng_state)
        self._rng_state = None
        self._last_step = trainer.global_step

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Write ``last.ckpt`` where it is time; not where a validation follows, which does it.

        A step-based ``ModelCheckpoint`` waits for the monitored metric and would take these
        checkpoints for the epoch's.
        """
        step = trainer.global_step
        stepped, self._last_step = step != self._last_step, step
        if self._every is None or not stepped or step % self._every or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        validates = trainer.val_check_batch and (batch_idx + 1) % trainer.val_check_batch == 0
        if trainer.is_last_batch or validates:
            return
        saved = self._last_global_step_saved
        self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))
        self._last_global_step_saved = saved

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write ``last.ckpt`` where the epoch was not the best: Lightning writes it with best."""
        super().on_train_epoch_end(trainer, pl_module)
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def _save_topk_checkpoint(
        self, trainer: Trainer, monitor_candidates: dict[str, Tensor]
    ) -> None:
        module = trainer.lightning_module
        if isinstance(module, CrossModalDistillation) and module.stage.name != STUDENT_STAGE:
            return
        super()._save_topk_checkpoint(trainer, monitor_candidates)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Let the loops of an interrupted run go on where the checkpoint holds all they need."""
        if not self._interrupted:
            return
        if trainer.validating:
            restart_validation(checkpoint)
        elif isinstance(pl_module, CrossModalDistillation):
            restart_window(checkpoint, pl_module.accumulate)

    def on_exception(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        exception: BaseException,
    ) -> None:
        """Write ``last.ckpt`` and say how to go on; ``best.ckpt`` stays the best one."""
        unusable = isinstance(exception, (FloatingPointError, CheckpointNotWrittenError))
        if not unusable and self._should_save_on_exception(trainer):
            self._interrupted = True
            try:
                self._save_alone(trainer)
            except CheckpointNotWrittenError as error:
                # What interrupted the run is the error to stop with.
                rank_zero_warn(str(error))
        if self.last_model_path and Path(self.last_model_path).exists():
            rank_zero_info(f"interrupted; go on with --ckpt_path {self.last_model_path}")

    def _save_alone(self, trainer: Trainer) -> None:
        """Write ``last.ckpt`` without a word to the other ranks, one of which may be dead."""
        if trainer.world_size == 1:
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))
        elif trainer.is_global_zero:
            self.last_model_path = self.last_model_path or self._first_path(trainer)
            checkpoint = trainer._checkpoint_connector.dump_checkpoint(self.save_weights_only)
            trainer.strategy.save_checkpoint(checkpoint, self.last_model_path)

    def _first_path(self, trainer: Trainer) -> str:
        """Return the name of this run's first ``last.ckpt``, which overwrites no other run's."""
        path: str = self.format_checkpoint_name({}, self.CHECKPOINT_NAME_LAST)
        number = 0
        while self._fs.exists(path) and not self._goes_on(trainer):
            number += 1
            path = self.format_checkpoint_name({}, self.CHECKPOINT_NAME_LAST, ver=number)
        return path

    def state_dict(self) -> dict[str, Any]:
        """Return the best and last checkpoints, and the random states."""
        state: dict[str, Any] = super().state_dict()
        return state | {"rng": rng_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave."""
        super().load_state_dict(state_dict)
        # Checkpoints of earlier versions have none.
        self._rng_state = state_dict.get("rng")
