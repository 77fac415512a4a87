"""Correlation with the teacher's predictions, over classes and over the batch."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import softmax

from cmkd.batch import Batch
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.objectives.categorical import require_same_classes
from cmkd.objectives.numerics import (
    full_precision,
    require_positive,
    unit_vectors,
    zero_masked_rows,
)
from cmkd.objectives.relational import join_ranks
from cmkd.representation import Representation, Sizes


def pearson_distance(source: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """One minus Pearson's correlation of each row.

    Where the target does not vary there is nothing to correlate with, and the distance is 0;
    where the source alone does not vary it is 1. Neither has a gradient.

    Args:
        source: (R, K).
        target: (R, K).
        valid: (K,) bool, the columns that count; None means all.

    Returns:
        (R,) from 0 to 2, in float32 at least.
    """
    if valid is None:
        valid = torch.ones(source.shape[1], dtype=torch.bool, device=source.device)
    x, y = (_deviations(full_precision(z), valid) for z in (source, target))
    return y.any(dim=1).to(y.dtype) - (x * y).sum(dim=1)


def _deviations(x: Tensor, valid: Tensor) -> Tensor:
    """Return deviations from the mean of the valid columns, scaled to length 1 or zero."""
    x = x.where(valid, 0)
    mean = x.sum(dim=1, keepdim=True) / valid.sum().clamp(min=1)
    return unit_vectors((x - mean).where(valid, 0))


def dist_loss(
    source_logits: Tensor,
    target_logits: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Distances between predictions, of each sample over classes and each class over samples.

    Knowledge Distillation from A Stronger Teacher, Huang, You, Wang, Qian, Xu, NeurIPS 2022; form
    of the authors' code, where the first is called inter-class and the second intra-class
    relation. A class meets the samples of all ranks, gathered with gradient.

    Args:
        source_logits: (B, C); all ranks hold the same B.
        target_logits: (B, C).
        temperature: tau, divides both logits.
        mask: (B,) bool, valid rows; None means all.

    Returns:
        tau^2 times :func:`pearson_distance` of the local samples (B,) and of the classes (C,);
        the latter is the same on all ranks.

    Raises:
        ValueError: when the logits are not two matrices of as many rows.
    """
    if mask is None:
        mask = torch.ones(len(source_logits), dtype=torch.bool, device=source_logits.device)
    q, p = (
        softmax(zero_masked_rows(full_precision(z), mask) / temperature, dim=1)
        for z in (source_logits, target_logits)
    )
    rows = join_ranks(q, p, mask)
    return (
        temperature**2 * pearson_distance(q, p),
        temperature**2 * pearson_distance(rows.all_source.T, rows.all_target.T, rows.valid),
    )


class DIST(Objective):
    """Pearson's correlation of predictions, over the classes and over the batch.

    A prediction that is right up to shift and scale costs nothing, so that a student need not be
    as sure as a stronger teacher; see :func:`dist_loss`. The target is detached.

    Logs ``classes`` and ``batch``, the two distances without their weights.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role whose predictions it is pulled towards.
        beta: weight of the samples' distances over classes.
        gamma: weight of the classes' distances over the batch.
        temperature: tau, divides both logits.

    Raises:
        ValueError: when a weight or the temperature is not above 0, the numbers of logits differ,
            or there are fewer than two.
    """

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "teacher",
        beta: float = 1.0,
        gamma: float = 1.0,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(sizes, source, target)
        require_positive(self, beta=beta, gamma=gamma, temperature=temperature)
        require_same_classes(self, sizes)
        self.beta = beta
        self.gamma = gamma
        self.temperature = temperature

    def forward(
        self,
        representations: Mapping[str, Representation],
        batch: Batch,  # noqa: ARG002
    ) -> ObjectiveOutput:
        """Compute the loss of one batch; one valid row alone has no distance over the batch."""
        source, target, mask = self.pair(representations)
        samples, classes = dist_loss(source.logits, target.logits.detach(), self.temperature, mask)
        over_classes, over_batch = masked_mean(samples, mask), classes.mean()
        return ObjectiveOutput(
            self.beta * over_classes + self.gamma * over_batch,
            logs={"classes": over_classes.detach(), "batch": over_batch.detach()},
        )
