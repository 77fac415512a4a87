"""Stops a run that is about to be killed, with a checkpoint to go on from."""

import signal
import threading
from types import FrameType

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.exceptions import SIGTERMException

from cmkd.batch import Batch
from cmkd.staged import StagedModule


class StopOnSignal(Callback):
    """On SIGTERM, which clusters send before the time limit, lets the run end as one interrupted.

    All ranks stop in front of the same batch, one that begins a step, so that ``last.ckpt``
    (:class:`~cmkd.callbacks.StageCheckpoint`) holds all that the run needs to go on exactly. A
    validation is finished first. Lightning's own handler is put aside: it calls a collective
    wherever a rank happens to be when the signal arrives, which meets another rank's gradients.

    Args:
        every_n_batches: how often ranks ask each other; the notice has to be longer than that many
            batches and a validation.

    Raises:
        ValueError: when every_n_batches is below 1.
    """

    def __init__(self, every_n_batches: int = 10) -> None:
        if every_n_batches < 1:
            raise ValueError(
                f"StopOnSignal.every_n_batches must be at least 1, got {every_n_batches}"
            )
        self.every_n_batches = every_n_batches
        self._received = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Take the place of Lightning's handler, which it puts back itself at the end."""
        self._received = False
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._received = True

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Batch,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Stop where a rank has received the signal.

        Raises:
            SIGTERMException: on all ranks.
        """
        steps = pl_module.accumulate if isinstance(pl_module, StagedModule) else 1
        # The gradients of a window of batches are not part of a checkpoint.
        if batch_idx % steps or batch_idx // steps % self.every_n_batches:
            return
        if trainer.strategy.reduce_boolean_decision(self._received, all=False):
            rank_zero_warn("SIGTERM: the run stops here, before it is killed")
            # Launchers kill all ranks when one fails. Rank 0, which says that the run is not
            # finished, ends last: it writes the checkpoint.
            raise SIGTERMException(128 + signal.SIGTERM if trainer.is_global_zero else 0)
