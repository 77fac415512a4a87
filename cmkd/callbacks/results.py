"""The table of results at the end of a fit."""

import time

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from rich.table import Table

from cmkd.callbacks.checkpoint import StageCheckpoint
from cmkd.distillation import CrossModalDistillation


class ResultsTable(Callback):
    """Measures the stages and prints what came out of them.

    The figures are validation metrics: the test set is looked at by ``cmkd test`` alone.

    Attributes:
        seconds: wall time by stage, of this process (a resumed run counts from its resume).
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock: an epoch that is resumed in its middle does not start again."""
        self._since = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock of an epoch; its stage is known at its end."""
        self._since = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Add the epoch, validation included, to its stage."""
        if isinstance(pl_module, CrossModalDistillation):
            stage = pl_module.stage.name
            spent = time.perf_counter() - self._since
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the table."""
        if not isinstance(pl_module, CrossModalDistillation) or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        monitor = pl_module.task.monitor
        table = Table(title=f"Best validation {monitor}")
        for heading in ("network", monitor, "epoch", "time of its stage"):
            table.add_column(heading, justify="left" if heading == "network" else "right")
        for stage in pl_module.progress.stages:
            best = pl_module.progress.best(stage.name)
            if best is not None and best.score is not None:
                row = (f"{best.score:.4f}", str(best.epoch), self._time(stage.name))
                table.add_row(stage.trained[0], *row)
        checkpoint = next((c for c in trainer.callbacks if isinstance(c, StageCheckpoint)), None)  # type: ignore[attr-defined]
        if checkpoint is not None and checkpoint.best_model_score is not None:
            score = f"{float(checkpoint.best_model_score):.4f}"
            table.add_row("student", score, "", self._time("student"))
        console = Console()
        if table.row_count:
            console.print(table)
        if checkpoint is not None and checkpoint.best_model_path:
            console.print(f"best student: {checkpoint.best_model_path}", soft_wrap=True)

    def _time(self, stage: str) -> str:
        return f"{self.seconds[stage]:.0f} s" if stage in self.seconds else ""
