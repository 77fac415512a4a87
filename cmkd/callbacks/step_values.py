"""Logging of values that a callback measures itself in the steps of training."""

from collections.abc import Mapping

from lightning.pytorch import Trainer


def is_logged(trainer: Trainer) -> bool:
    """Return whether the current batch is logged.

    Every ``log_every_n_steps``-th batch is, and, as by the training log, the last one of an epoch.
    """
    every = trainer.log_every_n_steps  # type: ignore[attr-defined]
    due = trainer.is_last_batch or (every > 0 and batches_begun(trainer) % every == 0)
    return due and bool(trainer.loggers)


def batches_begun(trainer: Trainer) -> int:
    """Return the number of training batches so far, the current one included."""
    return int(trainer.fit_loop.total_batch_idx) + 1


def log_values(trainer: Trainer, values: Mapping[str, float]) -> None:
    """Give values of the current step to all loggers, past Lightning's costlier bookkeeping."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(values), step=batches_begun(trainer))
