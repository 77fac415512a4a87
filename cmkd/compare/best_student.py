"""The best student, kept in memory."""

from lightning.pytorch import Callback, LightningModule, Trainer

from cmkd.distillation import CrossModalDistillation
from cmkd.snapshot import BestSnapshot
from cmkd.stages import STUDENT_STAGE


class BestStudent(Callback):
    """Keeps what the student stage trains at its best validation, and puts it back.

    What ``StageCheckpoint`` does with files: a small network trains in the time that writing a
    checkpoint after every epoch takes.

    Args:
        monitor: validation metric; None: what the task says.
        mode: ``max`` or ``min``; None: what the task says.
    """

    def __init__(self, monitor: str | None = None, mode: str | None = None) -> None:
        self._given = (monitor, mode)
        self.monitor = ""
        self.mode = ""
        self.snapshot = BestSnapshot()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Ask the task what to monitor, where the config does not say."""
        module = _ours(pl_module)
        monitor, mode = self._given
        self.monitor = monitor or f"val/student_{module.task.monitor}"
        self.mode = mode or module.task.mode
        self.snapshot = BestSnapshot(self.mode)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the networks if they are the best of the student stage.

        Raises:
            ValueError: when the validation did not log the metric.
        """
        module = _ours(pl_module)
        if trainer.sanity_checking or module.stage.name != STUDENT_STAGE:
            return
        if self.monitor not in trainer.callback_metrics:
            raise ValueError(
                f"checkpoint.monitor: the validation logs no '{self.monitor}'; it logs "
                f"{', '.join(sorted(trainer.callback_metrics))}"
            )
        score = float(trainer.callback_metrics[self.monitor])
        networks = {role: module.networks[role] for role in module.stage.trained}
        self.snapshot.offer(score, trainer.current_epoch, {**networks, "task": module.task})

    def restore(self, module: CrossModalDistillation) -> None:
        """Put the best networks back into the module.

        Raises:
            ValueError: when there is none.
        """
        if self.snapshot.score is None:
            raise ValueError(
                f"no student was validated with a '{self.monitor}' that is a number: the run ended "
                "before the student stage, or diverged"
            )
        networks = dict(module.networks.items())
        self.snapshot.restore({**networks, "task": module.task})


def _ours(module: LightningModule) -> CrossModalDistillation:
    if not isinstance(module, CrossModalDistillation):
        raise TypeError(f"expected CrossModalDistillation, got {type(module).__name__}")
    return module
