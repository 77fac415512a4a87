"""The best student, kept with the W&B run."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from cmkd.callbacks.checkpoint import StageCheckpoint
from cmkd.wandb_logger import PanelLogger


class BestCheckpoint(Callback):
    """At the end of a fit logs ``best.ckpt`` and the run's config to W&B, as one artifact.

    The artifact is ``model-<run id>`` with the alias ``best``; it says which metric chose the
    student and its value. An offline run keeps where the files are, and uploads them on
    ``wandb sync``.
    """

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Log the artifact; nothing where no student was saved."""
        checkpoint = next((c for c in trainer.callbacks if isinstance(c, StageCheckpoint)), None)  # type: ignore[attr-defined]
        if checkpoint is None or checkpoint.best_model_score is None:
            return
        best = Path(checkpoint.best_model_path)
        if not trainer.is_global_zero or not best.is_file():
            return
        # A resumed run has written its own beside the first one's.
        configs = sorted(
            Path(trainer.default_root_dir).glob("config*.yaml"), key=lambda p: p.stat().st_mtime
        )
        files = {best.name: best}
        if configs:
            files["config.yaml"] = configs[-1]
        metadata = {
            "monitor": checkpoint.monitor,
            "mode": checkpoint.mode,
            "score": float(checkpoint.best_model_score),
        }
        for logger in trainer.loggers:
            if isinstance(logger, PanelLogger):
                logger.log_checkpoint(files, metadata)
