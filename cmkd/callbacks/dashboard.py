"""Figures of a run while it runs."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from cmkd.batch import Batch, batch_modalities
from cmkd.callbacks.figure_data import FigureCollector, FigureData, gallery
from cmkd.callbacks.figure_log import log_figure
from cmkd.distillation import CrossModalDistillation
from cmkd.figures import (
    confusion_matrix,
    curves,
    embedding_map,
    per_class_accuracy,
    retrieval_gallery,
    samples,
)
from cmkd.figures.embedding import Projection

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MAPPED = ("teacher", "student")
_SHOWN = 4
# Seconds that figures are taken to cost before the first are drawn; matplotlib's import included.
_FIRST_COST = 2.0


@dataclass(frozen=True)
class _Epoch:
    """An epoch that can be drawn."""

    epoch: int
    data: FigureData | None
    inputs: dict[str, Tensor] = field(default_factory=dict)
    labels: list[int] = field(default_factory=list)


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
        self._labels: list[int] = []
        self._pending: dict[str, _Epoch] = {}
        self._collected = -1
        self._bounds: dict[str, list[tuple[int, float]]] = {}
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
        shown = {name: outputs[name] for name in {role, *_MAPPED} if name in outputs}
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
            self._pending[pl_module.stage.name] = _Epoch(
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
        for name, value in trainer.callback_metrics.items():
            if name.startswith("train/") and name.endswith(("_bound", "_ceiling")):
                term = f"{pl_module.stage.name} stage, {name.removeprefix('train/')}"
                self._note(term, trainer.current_epoch, float(value))
        stage = pl_module.stage.name
        if stage in self._pending and self._has_time():
            self._draw(trainer, self._pending.pop(stage))

    def _has_time(self) -> bool:
        passed = time.perf_counter() - self._began
        return self.time_share == 1 or self._spent + self._cost <= self.time_share * passed

    def _note(self, name: str, epoch: int, value: float) -> None:
        self._bounds.setdefault(name, []).append((epoch, value))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Draw the last epoch and, of the stages before, what there is time for."""
        for epoch in reversed(self._pending.values()):
            if epoch.epoch == self._collected or self._has_time():
                self._draw(trainer, epoch)
        self._pending.clear()

    def _draw(self, trainer: Trainer, epoch: _Epoch) -> None:
        begin = time.perf_counter()
        classes = len(epoch.data.counts) if epoch.data is not None else 0
        names = class_names(trainer, classes)
        for name, figure in self._figures(epoch, names):
            log_figure(trainer, figure, name, epoch.epoch)
        self._cost = time.perf_counter() - begin
        self._spent += self._cost

    def _figures(self, epoch: _Epoch, names: Sequence[str]) -> Iterator[tuple[str, "Figure"]]:
        data = epoch.data
        if data is not None:
            yield f"{data.role}_confusion_matrix", confusion_matrix(data.counts, names)
            yield f"{data.role}_class_accuracy", per_class_accuracy(data.counts, names)
            mapped = {role: data.embeddings[role] for role in _MAPPED if role in data.embeddings}
            if mapped:
                yield "embedding_map", embedding_map(mapped, data.label, names, self.projection)
            if len(data.index) > 1:
                rows = gallery(data, names, self.queries)
                yield f"{data.role}_retrieval", retrieval_gallery(rows)
        if epoch.inputs:
            captions = [names[label] if names else f"{label:g}" for label in epoch.labels]
            yield "input_samples", samples(epoch.inputs, captions)
        if self._bounds:
            yield "information", _information(self._bounds)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs, as plain data."""
        return {"bounds": {name: [list(p) for p in of] for name, of in self._bounds.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave."""
        self._bounds = {
            name: [(int(epoch), float(value)) for epoch, value in of]
            for name, of in state_dict["bounds"].items()
        }


def class_names(trainer: Trainer, classes: int) -> list[str]:
    """Return the datamodule's names of the classes; their numbers where it has none."""
    given = getattr(trainer.datamodule, "class_names", None) or []  # type: ignore[attr-defined]
    return list(given) if len(given) == classes else [str(number) for number in range(classes)]


def _information(bounds: Mapping[str, Sequence[tuple[int, float]]]) -> "Figure":
    """Draw the bounds over the epochs, and the ceilings of the last one."""
    series = {
        name.removesuffix("_bound"): tuple(map(list, zip(*points, strict=True)))
        for name, points in bounds.items()
        if name.endswith("_bound")
    }
    ceilings = {points[-1][1] for name, points in bounds.items() if name.endswith("_ceiling")}
    lines = {f"log N = {value:.2f}": value for value in sorted(ceilings)}
    return curves(series, "bound on the information, nats", lines)  # type: ignore[arg-type]
