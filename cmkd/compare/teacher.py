"""The teacher stage that several runs have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cmkd import __version__
from cmkd.checkpoints import TEACHERS
from cmkd.compare.parser import Built
from cmkd.compare.plan import fingerprint
from cmkd.stages import Stage
from cmkd.subsets import network_of

#: Arguments of the model of which a teacher stage sees nothing, or what its stages say of them.
_NOT_THE_TEACHERS = (
    "teacher_terms",
    "student_terms",
    "stages",
    "networks",
    "entropy_probe",
    "cache_teacher",
    "student_alone",
    "teacher_checkpoint",
    "keep_cotrained_student",
)


@dataclass(frozen=True)
class SharedTeacher:
    """A teacher stage that a checkpoint can replace.

    Attributes:
        key: fingerprint of all that determines its outcome.
        epochs: after which it is finished.
    """

    key: str
    epochs: int


def shared_teacher(built: Built) -> SharedTeacher | None:
    """Return the teacher stage of a run that others may have as well, None where there is none.

    A run cannot share it when it has none, when it is given one already, and when its student goes
    on from the teacher stage.
    """
    model = built.model
    if model.teacher_checkpoint is not None or model.keep_cotrained_student:
        return None
    given = {role for role in TEACHERS if role in model.networks}
    before = model.progress.stages[:-1]
    # plan_stages leaves out the same ones when the teacher comes from a checkpoint.
    replaced = [stage for stage in before if set(stage.config.trains) <= given]
    if not replaced:
        return None
    last = replaced[-1]
    needed = before[: before.index(last) + 1]
    return SharedTeacher(_key(built, needed), last.first_epoch + (last.epochs or 0))


def _key(built: Built, stages: list[Stage]) -> str:
    """Return a fingerprint of seed, data, trainer, networks and the stages themselves."""
    config: Mapping[str, Any] = built.config["model"]
    model = {key: value for key, value in config.items() if key not in _NOT_THE_TEACHERS}
    used = {network_of(role) for stage in stages for role in stage.used}
    # A network that no teacher stage runs, such as a peer of the student, changes nothing in it.
    further = config["networks"] if used & set(config["networks"] or {}) else None
    described = [_described(stage, config) for stage in stages]
    rest = [built.config[part] for part in ("seed_everything", "data", "trainer")]
    return fingerprint([__version__, model, further, described, *rest])


def _described(stage: Stage, config: Mapping[str, Any]) -> list[Any]:
    # Where the config names no stages, what it says of this one are the teacher's terms.
    stages, weights = config["stages"], stage.terms.weights
    named = stages[stage.name] if stages else {"terms": config["teacher_terms"]}
    terms = {name: term for name, term in (named["terms"] or {}).items() if name in weights}
    settings = stage.config
    return [
        stage.name,
        stage.first_epoch,
        stage.epochs,
        list(stage.trained),
        settings.task_weights,
        settings.frozen,
        settings.modality_dropout,
        terms,
    ]
