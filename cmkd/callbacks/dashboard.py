"""Figures of a run while it runs."""

import time
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from cmkd.batch import Batch, batch_modalities
from cmkd.callbacks.epoch_figures import MAPPED, Bounds, FigureEpoch, epoch_figures
from cmkd.callbacks.figure_data import FigureCollector, FigureData
from cmkd.callbacks.figure_log import log_figure
from cmkd.distillation import CrossModalDistillation
from cmkd.figures.embedding import Projection

_SHOWN = 4
# Seconds that figures are taken to cost before the first are drawn; matplotlib's import included.
_FIRST_COST = 2.0


class Dashboard(Callback):
    """Draws what a run looks like: for W&B and TensorBoard, and as PNG in the run's ``figures/``.

    Of the network that the stage trains, on validation samples: the confusion matrix, the accuracy
    of each class, and a retrieval gallery (queries with the five nearest by embedding, among the
    kept samples). Of teacher and student: a map of their embeddings. Of the training: what the
    networks got as input, augmented, and the information bounds below their ceilings log N.
    Classes and gallery need a task with classes.

    No network is run for it but, once in a stage that does not train it, the teacher. Drawing
    happens on rank zero, and may take a share of the run's time and no more. An epoch for which
    there is no time is not drawn; the last one of a stage waits for the end of the run, and the
    last one of the run is always drawn.

    Needs matplotlib (``pip install cmkd[plots]``); without it nothing is drawn.

    Args:
        every_n_epochs: epochs from one set of figures to the next, at least.
        samples: validation samples in the map and the gallery, at most.
        projection: ``pca``, or ``tsne``, which takes seconds (needs scikit-learn).
        queries: rows of the gallery.
        time_share: share of the run's time that drawing may take; 1 draws at any cost.

    Raises:
        ValueError: for a number out of its range.
    """

    def __init__(
        self,
        every_n_epochs: int = 1,
        samples: int = 2000,
        projection: Projection = "pca",
        queries: int = 4,
        time_share: float = 0.01,
    ) -> None:
        for argument, value, least in (
            ("every_n_epochs", every_n_epochs, 1),
            ("samples", samples, 2),
            ("queries", queries, 1),
        ):
            if value < least:
                raise ValueError(f"Dashboard.{argument} must be {least} or more, got {value}")
        if not 0 <= time_share <= 1:
            raise ValueError(f"Dashboard.time_share must lie in [0, 1], got {time_share}")
        if projection not in ("pca", "tsne"):
            raise ValueError(f"Dashboard.projection must be 'pca' or 'tsne', got '{projection}'")
        self.every_n_epochs = every_n_epochs
        self.projection: Projection = projection
        self.queries = queries
        self.time_share = time_share
        self._collector = FigureCollector(samples)
        self._able = True
        self._teacher: FigureData | None = None
        self._stage = ""
        self._inputs: dict[str, Tensor] = {}
        self._labels: list[float] = []
        self._pending: dict[str, FigureEpoch] = {}
        self._collected = -1
        self._bounds: Bounds = {}
        self._ceilings: Bounds = {}
        self._began = self._spent = 0.0
        self._cost = _FIRST_COST

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, and see whether there is something to draw with."""
        installed = find_spec("matplotlib") is not None
        if not installed:
            rank_zero_info("no figures without matplotlib: pip install cmkd[plots]")
        self._able = (
            installed and isinstance(pl_module, CrossModalDistillation) and not trainer.fast_dev_run  # type: ignore[attr-defined]
        )
        self._began, self._spent = time.perf_counter(), 0.0

    def _due(self, trainer: Trainer, module: LightningModule) -> bool:
        """Return whether the epoch may be drawn: an n-th, or the last of its stage."""
        if not self._able or not isinstance(module, CrossModalDistillation):
            return False
        done = trainer.current_epoch - module.stage.first_epoch + 1
        last = done == module.stage.length(trainer.max_epochs)
        return last or done % self.every_n_epochs == 0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Keep some samples of an epoch's first batch."""
        if batch_idx or not trainer.is_global_zero or not self._due(trainer, pl_module):
            return
        self._inputs = {name: batch[name][:_SHOWN].cpu() for name in batch_modalities(batch)}
        self._labels = batch["label"][:_SHOWN].tolist()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Collect what the validation gave."""
        if trainer.sanity_checking or not self._due(trainer, pl_module):
            return
        assert isinstance(pl_module, CrossModalDistillation)  # noqa: S101 - it is due
        stage = pl_module.stage
        role = stage.trained[0]
        predictions = pl_module.task.predictions(outputs[role])
        if predictions.dim() != 2 or batch["label"].is_floating_point():
            return
        if self._stage != stage.name:
            self._stage, self._teacher = stage.name, None
        shown = {name: outputs[name] for name in (role, *MAPPED) if name in outputs}
        if pl_module.has_teacher and "teacher" not in stage.trained and self._teacher is None:
            # Frozen: what it gives now it gives in every epoch of the stage.
            shown["teacher"] = pl_module.network("teacher")(batch)
        modalities = pl_module.roles.modalities["student"]
        self._collector.add(role, predictions, shown, batch, modalities)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put together what all ranks collected."""
        if trainer.sanity_checking or not self._due(trainer, pl_module):
            return
        assert isinstance(pl_module, CrossModalDistillation)  # noqa: S101 - it is due
        data = self._collector.pop()
        if data is not None and "teacher" not in pl_module.stage.trained:
            data = self._with_teacher(data)
        self._collected = trainer.current_epoch
        if trainer.is_global_zero:
            self._pending[pl_module.stage.name] = FigureEpoch(
                trainer.current_epoch, data, self._inputs, self._labels
            )

    def _with_teacher(self, data: FigureData) -> FigureData:
        """Add the embeddings that the frozen teacher gave in the stage's first pass."""
        if "teacher" in data.embeddings:
            self._teacher = data
        elif self._teacher is not None and torch.equal(self._teacher.index, data.index):
            teacher = {"teacher": self._teacher.embeddings["teacher"]}
            return replace(data, embeddings=teacher | data.embeddings)
        return data

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the epoch, if there is time."""
        if not self._able or not isinstance(pl_module, CrossModalDistillation):
            return
        stage, values = pl_module.stage.name, trainer.callback_metrics
        # Not all there are: those of the stages before are still there.
        for term in pl_module.stage.terms.by_name():
            for kept, suffix in ((self._bounds, "bound"), (self._ceilings, "ceiling")):
                if (name := f"train/{term}_{suffix}") in values:
                    points = kept.setdefault(f"{stage} stage, {term}", [])
                    points.append((trainer.current_epoch, float(values[name])))
        # What is drawn at the end counts, too.
        if stage in self._pending and self._has_time(sets=2):
            self._draw(trainer, self._pending.pop(stage))

    def _has_time(self, sets: int) -> bool:
        """Return whether so many sets of figures may still be drawn."""
        passed, cost = time.perf_counter() - self._began, sets * self._cost
        return self.time_share == 1 or self._spent + cost <= self.time_share * passed

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Draw the last epoch and, of the stages before, what there is time for."""
        for epoch in reversed(self._pending.values()):
            if epoch.epoch == self._collected or self._has_time(sets=1):
                self._draw(trainer, epoch)
        self._pending.clear()

    def _draw(self, trainer: Trainer, epoch: FigureEpoch) -> None:
        begin = time.perf_counter()
        names = class_names(trainer, 0 if epoch.data is None else len(epoch.data.counts))
        figures = epoch_figures(
            epoch, names, self._bounds, self._ceilings, self.projection, self.queries
        )
        try:
            for name, figure in figures:
                log_figure(trainer, figure, name, epoch.epoch)
        except Exception as error:  # No figure is worth a run.
            rank_zero_warn(f"figures of epoch {epoch.epoch}: {type(error).__name__}: {error}")
        self._cost = time.perf_counter() - begin
        self._spent += self._cost

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs, as plain data."""
        return {"bounds": self._bounds, "ceilings": self._ceilings}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave."""
        self._bounds, self._ceilings = state_dict["bounds"], state_dict["ceilings"]


def class_names(trainer: Trainer, classes: int) -> list[str]:
    """Return the datamodule's names of the classes; their numbers where it has none."""
    given = getattr(trainer.datamodule, "class_names", None) or []  # type: ignore[attr-defined]
    return list(given) if len(given) == classes else [str(number) for number in range(classes)]
