"""A callback with which one rank of a job comes to grief; jobs name it in their config."""

import os
import signal
import time
from pathlib import Path

from lightning.pytorch import Callback


class Dies(Callback):
    """Ends or stops the process of one rank in front of a batch.

    Args:
        rank: of the process.
        how: ``kill`` for kill -9, ``stop`` for a process that hangs, ``raise`` for an error.
        epoch: of the batch.
        batch: the batch's number in its epoch.
        marker: the file that is written just before.
    """

    def __init__(self, rank: int, how: str, epoch: int, batch: int, marker: str) -> None:
        self.rank, self.how, self.at, self.marker = rank, how, (epoch, batch), Path(marker)

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.global_rank != self.rank or (trainer.current_epoch, batch_idx) != self.at:
            return
        self.marker.write_text(f"{time.time()} {os.getpid()}")
        if self.how == "raise":
            raise RuntimeError("rank came to grief")
        os.kill(os.getpid(), signal.SIGKILL if self.how == "kill" else signal.SIGSTOP)
