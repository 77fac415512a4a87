"""Where the loops of an interrupted run go on."""

from typing import Any

_COUNTS = ("ready", "started", "processed", "completed")


def restart_validation(checkpoint: dict[str, Any]) -> None:
    """Let a run that was interrupted while it validated validate again from the first batch.

    Lightning would go on behind the last batch, but what the metrics had seen before is gone: the
    best networks would be chosen by a part of the validation data.
    """
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
    for counts in (progress["current"], progress["total"]):
        # In the middle of its first batch: Lightning goes back to where validation was.
        counts |= dict(zip(_COUNTS, (1, 1, 0, 0), strict=True))
    progress["is_last_batch"] = False


def restart_window(checkpoint: dict[str, Any], accumulate: int) -> None:
    """Let a run that was interrupted between two optimizer steps begin their batches again.

    The gradients of the batches since the last step are in no checkpoint. What their forward left
    in buffers (BatchNorm statistics, queues) is, and will be there twice.

    Args:
        checkpoint: what will be saved, changed in place.
        accumulate: batches a step.
    """
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    done = progress["current"]["completed"]
    since_step = done % accumulate
    if progress["is_last_batch"] or not since_step:
        return
    for counts in (progress["current"], progress["total"]):
        counts |= dict.fromkeys(_COUNTS, counts["completed"] - since_step)
