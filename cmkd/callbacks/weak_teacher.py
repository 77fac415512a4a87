"""Signs of a teacher that makes itself weak, in the values of its epochs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from cmkd.callbacks.ridge import Ridge


@dataclass(frozen=True)
class TeacherEpoch:
    """What is known of the teacher after an epoch.

    Attributes:
        epoch: the trainer's.
        mi_student: bound on I(T;S) in nats, of training batches.
        metric: its validation metric.
        beyond_student: :func:`beyond_student` of validation samples, None where not measured.
        mi_auxiliary: bound on I(T;A) in nats, None without such a term.
    """

    epoch: int
    mi_student: float
    metric: float
    beyond_student: float | None = None
    mi_auxiliary: float | None = None


def beyond_student(teacher: Tensor, student: Tensor) -> float:
    """Return the share of the teacher's embedding that the student's does not tell, linearly.

    A ridge regression predicts each sample's embedding from the student's, fitted on the other
    samples; the share is what it leaves of the variance. A weak teacher's is near 0: it knows
    nothing that the student does not.

    Args:
        teacher: (N, D) embeddings.
        student: (N, K) embeddings of the same samples.
    """
    teacher = teacher.double().cpu()
    spread = float((teacher - teacher.mean(0)).square().sum())
    if spread == 0:
        return 0.0
    return float(Ridge.fit(student.cpu(), teacher).residual.square().sum()) / spread


def find_sign(
    history: Sequence[TeacherEpoch],
    mode: str = "max",
    tolerance: float = 0.1,
    least: float = 0.1,
    patience: int = 2,
) -> str | None:
    """Return in words how the teacher becomes weak while I(T;S) rises, None where it does not.

    It does where, in the last epochs, one of three is true against an earlier epoch with a lower
    I(T;S): its validation metric is worse, I(T;A) is lower, or there is next to nothing left in its
    embedding that the student's does not tell.

    Args:
        history: the epochs so far, the last one last.
        mode: ``max`` or ``min``, which metric is better.
        tolerance: relative change of the metric, or of I(T;A), that is still none.
        least: share of the embedding beyond the student's below which there is next to nothing
            left, if once there was more.
        patience: last epochs in which it has to be so.
    """
    recent = history[-patience:]
    last, sign = history[-1], 1 if mode == "max" else -1

    def fallen(
        value: Callable[[TeacherEpoch], float | None], below: Callable[[float], float]
    ) -> TeacherEpoch | None:
        """Return the best epoch before, where all the last ones are below what it gives."""
        known = [(v, epoch) for epoch in history if (v := value(epoch)) is not None]
        if len(known) <= patience or value(last) is None:
            return None
        best, epoch = max(known[:-patience], key=lambda pair: pair[0])
        for now in recent:
            v = value(now)
            if v is None or v >= below(best) or now.mi_student <= epoch.mi_student:
                return None
        return epoch

    def line(what: str, before: float, now: float, since: TeacherEpoch) -> str:
        return (
            f"{what} went from {before:.3g} (epoch {since.epoch}) to {now:.3g} while I(T;S) rose "
            f"from {since.mi_student:.2f} to {last.mi_student:.2f} nats"
        )

    since = fallen(lambda e: sign * e.metric, lambda best: best - tolerance * abs(best))
    if since is not None:
        return line("its validation metric", since.metric, last.metric, since)
    since = fallen(lambda e: e.mi_auxiliary, lambda best: best - tolerance * abs(best))
    if since is not None and last.mi_auxiliary is not None:
        return line("I(T;A)", since.mi_auxiliary or 0.0, last.mi_auxiliary, since)
    since = fallen(lambda e: e.beyond_student, lambda best: min(least, best))
    if since is not None and last.beyond_student is not None:
        what = "the share of its embedding that the student's does not tell"
        return line(what, since.beyond_student or 0.0, last.beyond_student, since)
    return None
