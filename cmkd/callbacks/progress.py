"""A progress bar that names the stage."""

from lightning.pytorch.callbacks import RichProgressBar

from cmkd.distillation import CrossModalDistillation


class StageProgressBar(RichProgressBar):
    """Rich's bar, with ``teacher stage`` or ``student stage`` in front of the epoch.

    Args:
        refresh_rate: batches between two redraws, 0 for no bar.
        leave: keep the finished bar of each epoch on the screen.
    """

    def __init__(self, refresh_rate: int = 5, leave: bool = False) -> None:
        super().__init__(refresh_rate=refresh_rate, leave=leave)

    def _get_train_description(self, current_epoch: int) -> str:
        description: str = super()._get_train_description(current_epoch)
        module = self.trainer.lightning_module
        if isinstance(module, CrossModalDistillation):
            return f"{module.stage.name} stage, {description.lower()}"
        return description
