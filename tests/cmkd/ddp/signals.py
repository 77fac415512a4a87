"""The signal that a cluster sends before it kills a job."""

import os
import signal
from pathlib import Path

from lightning.pytorch import Callback


class TermOnce(Callback):
    """Sends SIGTERM to its own process in one batch of the first run that gets there.

    Ranks get it in different batches, as signals arrive when they like.

    Args:
        epoch: of the batch.
        batch: of rank 0; each rank's is one later than that of the rank before.
        folder: where it is noted that the signal was sent.
    """

    def __init__(self, epoch: int, batch: int, folder: str) -> None:
        self.epoch, self.batch, self.folder = epoch, batch, folder

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        rank = trainer.global_rank
        sent = Path(self.folder) / f"sent {rank}"
        here = (trainer.current_epoch, batch_idx) == (self.epoch, self.batch + rank)
        if here and not sent.exists():
            sent.touch()
            os.kill(os.getpid(), signal.SIGTERM)
