"""Warns of a teacher that makes itself weak."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from cmkd.batch import Batch, batch_window
from cmkd.callbacks.row_sample import RowSample, sample_means
from cmkd.callbacks.step_values import log_values
from cmkd.callbacks.weak_teacher import TeacherEpoch, beyond_student, find_sign
from cmkd.distillation import CrossModalDistillation
from cmkd.objectives.probe import Probe
from cmkd.representation import Representation
from cmkd.stages import TEACHER_STAGE, Stage
from cmkd.subsets import network_of
from cmkd.wandb_logger import PanelLogger

_PAIR = ("teacher", "student")


class WeakTeacherAlarm(Callback):
    """Warns once a stage, where the teacher buys I(T;S) with what the student cannot know.

    I(T;S) = H(T) - H(T|S) rises also when the teacher forgets what only the auxiliary modality
    knows. In a stage that trains the teacher with such a term, three things are watched after each
    epoch's validation: the teacher's metric, the bound on I(T;A) where there is one, and the share
    of the teacher's embedding that the co-trained student's does not tell, linearly
    (:func:`~cmkd.callbacks.weak_teacher.beyond_student`; logged as
    ``information/teacher_beyond_student``). If one of them falls while the bound on I(T;S) rises
    (:func:`~cmkd.callbacks.weak_teacher.find_sign`), the warning names the weights to change; W&B
    gets it as an alert, too.

    Args:
        tolerance: relative fall of the metric, or of I(T;A), that is still none.
        least: share of the embedding beyond the student's below which there is next to nothing
            left of it, if once there was more.
        patience: epochs in a row in which it has to be so.
        samples: validation samples by which the share is measured.

    Raises:
        ValueError: for a tolerance or share outside [0, 1), no patience, or fewer than ten samples.
    """

    def __init__(
        self,
        tolerance: float = 0.1,
        least: float = 0.1,
        patience: int = 2,
        samples: int = 1000,
    ) -> None:
        for argument, value in (("tolerance", tolerance), ("least", least)):
            if not 0 <= value < 1:
                raise ValueError(f"WeakTeacherAlarm.{argument} must lie in [0, 1), got {value}")
        for argument, number, fewest in (("patience", patience, 1), ("samples", samples, 10)):
            if number < fewest:
                raise ValueError(
                    f"WeakTeacherAlarm.{argument} must be {fewest} or more, got {number}"
                )
        self.tolerance = tolerance
        self.least = least
        self.patience = patience
        self._rows = RowSample(samples)
        self._share: float | None = None
        self._validated = False
        self._history: dict[str, list[TeacherEpoch]] = {}
        self._warned: list[str] = []

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Keep what the teacher and the co-trained student gave."""
        if trainer.sanity_checking or not isinstance(pl_module, CrossModalDistillation):
            return
        if not set(_PAIR) <= set(outputs or ()) or not _terms(pl_module.stage, "student"):
            return
        given: Mapping[str, Representation] = outputs
        kept = self._rows.wanted(batch["index"])
        kept = kept & given["teacher"].valid & given["student"].valid
        rows = {"index": batch["index"], "window": batch_window(batch)}
        rows |= {role: given[role].embedding.float() for role in _PAIR}
        self._rows.add({name: row[kept] for name, row in rows.items()})

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Measure the share, over all ranks."""
        rows = self._rows.pop()
        self._share = None
        self._validated = not trainer.sanity_checking
        if len(rows.get("index", ())) >= 10:
            teacher, student = (sample_means(rows[role], rows["index"]) for role in _PAIR)
            if len(teacher) >= 10:
                self._share = beyond_student(teacher, student)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the epoch and warn."""
        validated, self._validated = self._validated, False
        if not validated or not isinstance(pl_module, CrossModalDistillation):
            return
        stage, values = pl_module.stage, trainer.callback_metrics
        metric = f"val/teacher_{pl_module.task.monitor}"
        by_student = _bounds(stage, "student", values)
        share, self._share = self._share, None
        if "teacher" not in stage.trained or not by_student or metric not in values:
            return
        if share is not None and trainer.loggers:
            log_values(trainer, {"information/teacher_beyond_student": share})
        by_auxiliary = _bounds(stage, "auxiliary", values)
        history = self._history.setdefault(stage.name, [])
        history.append(
            TeacherEpoch(
                epoch=trainer.current_epoch,
                mi_student=max(by_student.values()),
                metric=float(values[metric]),
                beyond_student=share,
                mi_auxiliary=max(by_auxiliary.values(), default=None),
            )
        )
        sign = find_sign(history, pl_module.task.mode, self.tolerance, self.least, self.patience)
        if sign is not None and stage.name not in self._warned:
            self._warned.append(stage.name)
            text = f"weak teacher: {sign}. {_remedy(pl_module, by_student, by_auxiliary)}"
            rank_zero_warn(text)
            for logger in trainer.loggers:
                if isinstance(logger, PanelLogger):
                    logger.alert("weak teacher", text)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs, as plain data."""
        history = {name: [asdict(epoch) for epoch in of] for name, of in self._history.items()}
        return {"history": history, "warned": list(self._warned)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave."""
        self._history = {
            name: [TeacherEpoch(**epoch) for epoch in of]
            for name, of in state_dict["history"].items()
        }
        self._warned = list(state_dict["warned"])


def _terms(stage: Stage, partner: str) -> list[str]:
    """Return the terms of a stage that pull the teacher and a partner towards each other."""
    return [
        name
        for name, objective in stage.terms.by_name().items()
        if not isinstance(objective, Probe)
        and {network_of(objective.source), network_of(objective.target)} == {"teacher", partner}
    ]


def _bounds(stage: Stage, partner: str, values: Mapping[str, Any]) -> dict[str, float]:
    """Return the logged bounds on the teacher's information about a partner, by term."""
    names = {name: f"train/{name}_bound" for name in _terms(stage, partner)}
    return {name: float(values[bound]) for name, bound in names.items() if bound in values}


def _remedy(module: CrossModalDistillation, lower: Iterable[str], higher: Iterable[str]) -> str:
    """Return what to change, by the names of the terms whose weights have to be other ones."""
    stage = module.stage
    staged = module.hparams.get("stages") is not None
    place = f"model.stages.{stage.name}.terms" if staged else f"model.{TEACHER_STAGE}_terms"

    def weights(names: Iterable[str]) -> str:
        fields = (f"{place}.{name}.weight ({stage.terms.weights[name]:g})" for name in names)
        return ", ".join(fields)

    remedy = f"Lower {weights(lower)}"
    if raised := weights(higher):
        return f"{remedy} or raise {raised}"
    if "auxiliary" in module.networks:
        return f"{remedy} or add I(T;A) to {place}: InfoNCE with source auxiliary"
    return remedy
