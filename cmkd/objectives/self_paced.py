"""Experts that are listened to until the student has caught up."""

from collections.abc import Mapping

import torch
from torch import Tensor

from cmkd.batch import Batch
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.objectives.categorical import knowledge_distillation, require_same_classes
from cmkd.objectives.numerics import require_positive, zero_masked_rows
from cmkd.representation import Representation, Sizes


def self_paced_weight(student: Tensor, expert: Tensor, threshold: float = 0.3) -> Tensor:
    """Weight of an expert: 1 while the student is far behind, then falling to 0 at the expert's.

    1 where Acc_S < threshold Acc_E, else max(0, (Acc_E - Acc_S) / ((1 - threshold) Acc_E)).
    Learning From Multiple Experts: Self-paced Knowledge Distillation for Long-tailed
    Classification, Xiang, Ding, Han, ECCV 2020, arXiv 2001.01536; form of the authors' code.

    Args:
        student: the student's score, 0 at worst, such as the accuracy.
        expert: the expert's, of the same shape.
        threshold: share of the expert's score up to which the weight is 1.

    Returns:
        From 0 to 1, of that shape; 0 for an expert that scores 0.
    """
    # An expert without skill divides 0 by a small number instead of 0 by 0.
    scale = ((1 - threshold) * expert).clamp(min=torch.finfo(expert.dtype).tiny)
    return ((expert - student) / scale).clamp(0, 1)


def require_share(owner: object, **arguments: float) -> None:
    """Raise a ValueError that names owner and argument unless every value lies in [0, 1)."""
    for name, value in arguments.items():
        if not 0 <= value < 1:
            raise ValueError(f"{type(owner).__name__}.{name} must lie in [0, 1), got {value}")


class SelfPacedDistillation(Objective):
    """Knowledge distillation from an expert, weighted by how far the student is behind it.

    The weight is :func:`self_paced_weight` of the validation metrics that the task monitors,
    renewed after each validation, 1 before the first, and saved with the checkpoint. The metric
    has to be one of which more is better and 0 the worst, such as the accuracy. Several experts
    are several terms. In the paper they are networks of one class group each
    (``ClassGroupTask``, ``ClassGroupDistillation``); experts of different modalities, as here,
    are our extension.

    The target is detached. Logs the ``weight``.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the expert.
        temperature: tau, divides both logits.
        threshold: share of the expert's score up to which the weight is 1.

    Raises:
        ValueError: when the temperature or threshold is out of range or the numbers of logits
            differ.
    """

    weight: Tensor

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "teacher",
        temperature: float = 4.0,
        threshold: float = 0.3,
    ) -> None:
        super().__init__(sizes, source, target)
        require_positive(self, temperature=temperature)
        require_share(self, threshold=threshold)
        require_same_classes(self, sizes)
        self.temperature = temperature
        self.threshold = threshold
        self.register_buffer("weight", torch.ones(()))

    def observe(self, scores: Mapping[str, float]) -> None:
        """Renew the weight, once both networks have been validated.

        Raises:
            ValueError: for a score below 0.
        """
        if self.source not in scores or self.target not in scores:
            return
        student, expert = (torch.tensor(scores[role]) for role in (self.source, self.target))
        if student < 0 or expert < 0:
            raise ValueError(
                f"{type(self).__name__} weighs by validation metrics from 0 up, such as the "
                f"accuracy, got {float(student):g} and {float(expert):g}; choose another model.task"
            )
        self.weight.copy_(self_paced_weight(student, expert, self.threshold))

    def forward(
        self,
        representations: Mapping[str, Representation],
        batch: Batch,  # noqa: ARG002
    ) -> ObjectiveOutput:
        """Compute the loss of one batch."""
        source, target, mask = self.pair(representations)
        s = zero_masked_rows(source.logits, mask)
        t = zero_masked_rows(target.logits.detach(), mask)
        losses = knowledge_distillation(s, t, self.temperature)
        weight = self.weight.to(losses.dtype).expand(len(losses))
        logs = {"weight": masked_mean(weight, mask)}
        return ObjectiveOutput(masked_mean(weight * losses, mask), logs=logs)
