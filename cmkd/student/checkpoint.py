"""The student, and the teacher, of a training checkpoint."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cmkd.checkpoints import ENTRY, read_checkpoint
from cmkd.networks.modality_network import ModalityNetwork
from cmkd.preprocessing import STUDENT_STATE, Preprocessing
from cmkd.stages import STUDENT_STAGE
from cmkd.student.architecture import Architecture
from cmkd.student.class_paths import ClassSpec
from cmkd.student.loading import load_weights
from cmkd.student.student import Student, Task

_TASKS: dict[str, Task] = {
    "Classification": "classification",
    "Retrieval": "classification",
    "Regression": "regression",
}


@dataclass(frozen=True)
class Trained:
    """What a checkpoint says of its student beyond the student itself.

    Attributes:
        path: the checkpoint.
        architecture: of the student's network.
        content: the checkpoint.
        trust: packages whose classes may be imported.
    """

    path: Path
    architecture: Architecture
    content: Mapping[str, Any]
    trust: Collection[str]

    @property
    def hparams(self) -> Mapping[str, Any]:
        """The arguments of ``CrossModalDistillation``."""
        hparams: Mapping[str, Any] = self.content.get("hyper_parameters", {})
        return hparams

    @property
    def epoch(self) -> int:
        """The epoch that the checkpoint was written after, from 0."""
        return int(self.content["epoch"])

    def teacher(self) -> ModalityNetwork | None:
        """Return the teacher's network; None where the run has trained none."""
        trained = self.hparams.get("teacher_epochs") or self.hparams.get("teacher_checkpoint")
        if self.hparams.get("student_alone") or not trained:
            return None
        where = f"{self.path}, hyper_parameters"
        network = Architecture.of_role(self.hparams, "teacher", where).build(where, self.trust)
        load_weights(network, self.content["state_dict"], "networks.teacher.", str(self.path))
        return network


def student_of_checkpoint(
    path: Path,
    device: str | torch.device,
    trust: Collection[str],
    otherwise: Callable[[], Mapping[str, Any] | None] | None = None,
) -> tuple[Student, Trained]:
    """Read the student of a training checkpoint.

    Args:
        path: the checkpoint.
        device: where the network runs.
        trust: names of further packages whose classes may be imported.
        otherwise: asked for what the datamodule says of the student's inputs, where the checkpoint
            does not.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is damaged or no checkpoint of this library, or does not say enough.
    """
    content = read_checkpoint(str(path))
    where = f"{path}, hyper_parameters"
    hparams = content.get("hyper_parameters", {})
    entry = content[ENTRY]
    stage = entry.get("progress", entry).get("stage", STUDENT_STAGE)
    if stage != STUDENT_STAGE:
        raise ValueError(
            f"{path}: was written in the {stage} stage, before its student was trained; take a "
            "checkpoint of the student stage (best.ckpt, or last.ckpt of a finished run)"
        )
    architecture = Architecture.of_role(hparams, "student", where)
    task = _task(hparams.get("task"), where)
    network = architecture.build(where, trust)
    load_weights(network, content["state_dict"], "networks.student.", str(path))
    state = state_in(content) or (otherwise() if otherwise is not None else None)
    if state is None:
        raise ValueError(
            f"{path}: does not say how the student's inputs are made: an earlier version wrote it, "
            "or its datamodule is no CrossModalDataModule. cmkd export asks the datamodule of the "
            "run's config.yaml: run it where the data is, and load what it writes"
        )
    preprocessing = ClassSpec.read(state["preprocessing"], f"{path}, preprocessing").build(
        Preprocessing,  # type: ignore[type-abstract] # of which the class is a subclass
        f"{path}, preprocessing",
        trust,
    )
    names = state["class_names"] if task == "classification" else None
    student = Student(network, preprocessing, names, task, device)
    return student, Trained(path, architecture, content, trust)


def state_in(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what the datamodule left in a checkpoint; None where there is nothing."""
    for entry in content.values():
        if isinstance(entry, Mapping) and STUDENT_STATE in entry:
            state: Mapping[str, Any] = entry[STUDENT_STATE]
            return state
    return None


def _task(given: Any, where: str) -> Task:
    """Return what a run's task predicts.

    Raises:
        ValueError: for a task that is none of the library's.
    """
    if given is None:
        return "classification"
    path = given if isinstance(given, str) else given["class_path"]
    package, _, name = path.rpartition(".")
    if not package.startswith("cmkd.tasks") or name not in _TASKS:
        raise ValueError(
            f"{where}.task: {path} is none of {', '.join(_TASKS)}, so it is not known what its "
            "outputs mean; make the Student in Python"
        )
    return _TASKS[name]
