"""The stages of a run: which networks learn, from what, in which epochs."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from lightning.pytorch import Trainer

from cmkd.subsets import network_of
from cmkd.terms import Term, Terms

#: The stage in which the student learns; always the last.
STUDENT_STAGE = "student"
#: The stage of the teacher, where the config names no stages.
TEACHER_STAGE = "teacher"


@dataclass
class StageConfig:
    """One stage as the config has it.

    Attributes:
        trains: roles of the networks that learn. The first one's validation metric chooses the
            epoch whose networks the later stages go on with.
        terms: objectives by name, added to the task losses; None or weight 0 leaves one out.
        share: part of ``model.teacher_epochs`` that the stage has; None for the last stage, which
            goes on to the trainer's ``max_epochs``.
        task_weights: weight of the task loss by role; 1 where a role is not named.
        frozen: parts of networks that do not learn although their network does, by the names of
            the modules, for example ``student.head``.
        modality_dropout: by role, the probability that a sample lacks each modality of that
            network in a training step; at least one of those it has stays.
    """

    trains: list[str]
    terms: dict[str, Term | None] = field(default_factory=dict)
    share: float | None = None
    task_weights: dict[str, float] = field(default_factory=dict)
    frozen: list[str] = field(default_factory=list)
    modality_dropout: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """One stage of a run.

    Attributes:
        name: its name; the terms of the config carry it.
        first_epoch: the trainer's epoch at which the stage begins.
        epochs: how many epochs it has, None for "until the trainer stops".
        trained: roles of the networks that learn; all others are frozen.
        config: what the config says of it.
        terms: its objectives.
    """

    name: str
    first_epoch: int
    epochs: int | None
    trained: tuple[str, ...]
    config: StageConfig
    terms: Terms

    @property
    def used(self) -> frozenset[str]:
        """The networks, and subsets of their modalities, that a training step runs."""
        return frozenset(self.trained) | self.terms.roles()

    def task_weight(self, role: str) -> float:
        """Return the weight of a network's task loss."""
        return self.config.task_weights.get(role, 1.0)

    def length(self, max_epochs: int | None) -> float:
        """Return the number of epochs under the trainer's limit, ``inf`` without an end."""
        limit = float("inf") if max_epochs is None or max_epochs < 0 else max_epochs
        ends = limit - self.first_epoch
        return max(ends if self.epochs is None else min(ends, self.epochs), 0)


def two_stages(
    teacher_terms: Mapping[str, Term | None], student_terms: Mapping[str, Term | None]
) -> dict[str, StageConfig]:
    """Return the stages of a config that names none: first the teacher, then the student.

    Whom the teacher learns with (a co-trained student, the auxiliary model) follows from the terms:
    ``plan_stages`` adds to a stage what its terms name and no stage before has trained.
    """
    return {
        TEACHER_STAGE: StageConfig(["teacher"], dict(teacher_terms), share=1.0),
        STUDENT_STAGE: StageConfig(["student"], dict(student_terms)),
    }


def plan_stages(
    configs: Mapping[str, StageConfig],
    terms: Mapping[str, Terms],
    roles: Collection[str],
    teacher_epochs: int,
    given: Collection[str],
) -> list[Stage]:
    """Return the stages of a run in their order.

    Args:
        configs: by name in their order; the last is the student's.
        terms: the objectives of each stage.
        roles: the networks there are.
        teacher_epochs: epochs of the stages before the last, divided by their shares.
        given: networks that come trained, from a checkpoint. A stage all of whose networks are
            given is left out; the others keep their places.

    Raises:
        ValueError: for a stage that trains what is not there, shares that do not add up, or terms
            that read a network which nothing has trained; names the field.
    """
    _check(configs, roles, teacher_epochs)
    stages: list[Stage] = []
    known: set[str] = set(given)
    total = 0.0
    for name, config in configs.items():
        last = name == STUDENT_STAGE
        # The student stage keeps its place also where no stage comes before it.
        first = teacher_epochs if last else round(total * teacher_epochs)
        total += config.share or 0.0
        epochs = None if last else round(total * teacher_epochs) - first
        if not last and (epochs == 0 or set(config.trains) <= set(given)):
            continue
        untrained = {network_of(role) for role in terms[name].roles()} - known
        untrained -= set(config.trains)
        if untrained and last:
            raise ValueError(
                f"the terms of the student stage ({', '.join(terms[name].weights)}) read the "
                f"{', '.join(sorted(untrained))}, which was never trained; set "
                "model.teacher_epochs or model.teacher_checkpoint, or take the terms out"
            )
        trained = (*config.trains, *sorted(untrained))
        known |= set(trained)
        stages.append(Stage(name, first, epochs, trained, config, terms[name]))
    return stages


def _check(configs: Mapping[str, StageConfig], roles: Collection[str], teacher_epochs: int) -> None:
    *before, last = configs.items()
    if last[0] != STUDENT_STAGE or "student" not in last[1].trains:
        raise ValueError(
            f"model.stages: the last stage has to be '{STUDENT_STAGE}' and train the student, "
            f"got '{last[0]}', which trains {', '.join(last[1].trains) or 'nothing'}"
        )
    for name, config in configs.items():
        where = f"model.stages.{name}"
        if not config.trains:
            raise ValueError(f"{where}.trains is empty; name the networks that learn")
        named = [*config.trains, *config.task_weights, *config.modality_dropout]
        named += [part.split(".")[0] for part in config.frozen]
        if unknown := sorted(set(named) - set(roles)):
            raise ValueError(
                f"{where}: there is no network {', '.join(unknown)}; this run has "
                f"{', '.join(roles)}"
            )
    if before and any(config.share is None or config.share <= 0 for _, config in before):
        raise ValueError(
            "model.stages: every stage but the last needs a share of model.teacher_epochs above 0"
        )
    total = sum(config.share or 0 for _, config in before)
    if last[1].share is not None or (before and abs(total - 1) > 1e-6):
        raise ValueError(
            f"model.stages: the shares of the stages before the last have to add up to 1 (they "
            f"make {total:g}), and the last has none"
        )
    epochs = [round((config.share or 0) * teacher_epochs) for _, config in before]
    if teacher_epochs and 0 in epochs:
        raise ValueError(
            f"model.teacher_epochs: {teacher_epochs} epochs are too few for the {len(before)} "
            "stages before the student's"
        )


def stage_at(stages: list[Stage], epoch: int) -> Stage:
    """Return the stage that the trainer's epoch belongs to."""
    return [stage for stage in stages if stage.first_epoch <= epoch][-1]


def skip_epochs(trainer: Trainer, epochs: int) -> bool:
    """Let a fit that has not begun start at a later epoch; return whether anything was skipped.

    The remaining epochs keep their numbers, hence their order and augmentation.
    """
    progress = trainer.fit_loop.epoch_progress
    if trainer.current_epoch >= epochs:
        return False
    for counts in (progress.current, progress.total):
        for field_name in ("ready", "started", "processed", "completed"):
            setattr(counts, field_name, epochs)
    return True
