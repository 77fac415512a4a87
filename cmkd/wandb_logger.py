"""Weights & Biases, with our panels."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from cmkd.panels import on_panels


class PanelLogger(WandbLogger):
    """Logs to W&B under names that group its panels (:mod:`cmkd.panels`).

    Args:
        **kwargs: of Lightning's ``WandbLogger``.

    Attributes:
        roles: names of the run's networks.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Lightning always sets it, and W&B then warns of it on every start: it has no effect now.
        self._wandb_init.pop("anonymous", None)
        self.roles: Collection[str] = ("teacher", "auxiliary", "student")

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log the values of a step, renamed."""
        super().log_metrics(on_panels(metrics, self.roles), step)

    @rank_zero_only
    def summarise(self, name: str, by: str) -> None:
        """Let the run's summary hold the best value of a metric, not the last.

        Args:
            name: of the metric, as W&B has it.
            by: ``max`` or ``min``.
        """
        self.experiment.define_metric(
            name, step_metric="trainer/global_step", step_sync=True, summary=by
        )

    @rank_zero_only
    def log_checkpoint(self, files: Mapping[str, Path], metadata: Mapping[str, Any]) -> None:
        """Log files as the version ``best`` of the run's model artifact.

        They are not copied, so that a large model needs no room elsewhere: those of an offline run
        have to be where they are until ``wandb sync``.

        Args:
            files: by the name they get in the artifact.
            metadata: plain data about them.
        """
        import wandb

        run = self.experiment
        artifact = wandb.Artifact(f"model-{run.id}", type="model", metadata=dict(metadata))
        for name, path in files.items():
            artifact.add_file(str(path), name=name, policy="immutable")
        run.log_artifact(artifact, aliases=["best"])

    @rank_zero_only
    def alert(self, title: str, text: str) -> None:
        """Send a W&B alert; an offline run only keeps it."""
        self.experiment.alert(title=title, text=text)
