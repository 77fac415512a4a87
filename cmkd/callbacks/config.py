"""Keeps the config with the run."""

from pathlib import Path

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

from cmkd.runs import free_path


class RunConfig(SaveConfigCallback):
    """Writes ``config.yaml`` into the run's folder and logs the whole config to every logger.

    A resumed run, which may have other settings, writes ``config-1.yaml`` and so on beside it.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write it at the start of a fit, on rank zero."""
        if stage == "fit":
            # The folder is the run's, not that of the first logger.
            self.save_to_log_dir = False
            super().setup(trainer, pl_module, stage)

    def save_config(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        stage: str,  # noqa: ARG002
    ) -> None:
        """Write the file and log the config."""
        folder = Path(trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        path = free_path(folder / self.config_filename)
        self.parser.save(self.config, path, skip_unset=False)
        for logger in trainer.loggers:
            logger.log_hyperparams({"config": yaml.safe_load(path.read_text())})
