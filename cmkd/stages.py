"""A stage: which networks learn, from which terms, in which epochs."""

from dataclasses import dataclass

from lightning.pytorch import Trainer

from cmkd.terms import Terms

#: The networks that the student stage takes over from the teacher stage.
TEACHERS = ("teacher", "auxiliary")


@dataclass(frozen=True)
class Stage:
    """One phase of training.

    Attributes:
        name: ``teacher`` or ``student``; the terms of the config carry it as prefix.
        first_epoch: the trainer's epoch at which the stage begins.
        epochs: how many epochs it has, None for "until the trainer stops".
        trained: roles of the networks that learn; all others are frozen.
        terms: the objectives added to the task loss of the trained networks.
    """

    name: str
    first_epoch: int
    epochs: int | None
    trained: frozenset[str]
    terms: Terms

    @property
    def used(self) -> frozenset[str]:
        """Roles of the networks that a training step runs, frozen ones included."""
        return self.trained | self.terms.roles()

    def length(self, max_epochs: int | None) -> float:
        """Return the number of epochs under the trainer's limit, ``inf`` without an end."""
        limit = float("inf") if max_epochs is None or max_epochs < 0 else max_epochs
        ends = limit - self.first_epoch
        return max(ends if self.epochs is None else min(ends, self.epochs), 0)


def plan_stages(
    teacher_terms: Terms,
    student_terms: Terms,
    teacher_epochs: int,
    teacher_given: bool,
    student_alone: bool,
) -> list[Stage]:
    """Return the stages of a run in their order.

    In the teacher stage the teacher learns, and with it the networks that its terms name. Where
    the teacher is given or not wanted, that stage is left out and the student stage keeps its
    place.

    Raises:
        ValueError: when the student's terms need a teacher that nothing trains.
    """
    student = Stage("student", teacher_epochs, None, frozenset({"student"}), student_terms)
    no_teacher = student_alone or (teacher_epochs == 0 and not teacher_given)
    if no_teacher and student_terms.roles() & set(TEACHERS):
        remedy = (
            "remove them or set model.student_alone to false"
            if student_alone
            else "set model.teacher_epochs or model.teacher_checkpoint"
        )
        raise ValueError(
            f"model.student_terms ({', '.join(student_terms.weights)}) learn from a teacher that "
            f"was never trained; {remedy}"
        )
    if no_teacher or teacher_given:
        return [student]
    trained = frozenset({"teacher"}) | teacher_terms.roles()
    return [Stage("teacher", 0, teacher_epochs, trained, teacher_terms), student]


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
        for field in ("ready", "started", "processed", "completed"):
            setattr(counts, field, epochs)
    return True
