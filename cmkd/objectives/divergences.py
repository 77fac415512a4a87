"""Divergences between predictions beside Hinton's: reverse KL, Jensen-Shannon, total variation."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from cmkd.batch import Batch
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.objectives.categorical import knowledge_distillation, require_same_classes
from cmkd.objectives.numerics import full_precision, require_positive, zero_masked_rows
from cmkd.representation import Representation, Sizes


def reverse_knowledge_distillation(
    source_logits: Tensor, target_logits: Tensor, temperature: float = 1.0
) -> Tensor:
    """Hinton's loss the other way round, tau^2 KL(q || p), q the source's prediction.

    It is large where the source is sure of what the target rules out, and forgives what the
    source leaves out: the source takes one of the target's peaks.

    Args:
        source_logits: (B, C), of q.
        target_logits: (B, C), of p.
        temperature: tau, divides both logits.

    Returns:
        (B,) nats times tau^2, not negative.
    """
    return knowledge_distillation(target_logits, source_logits, temperature)


def jensen_shannon_divergence(
    source_logits: Tensor, target_logits: Tensor, temperature: float = 1.0
) -> Tensor:
    """Mean KL divergence of both predictions from their mean, times tau^2.

    Args:
        source_logits: (B, C).
        target_logits: (B, C).
        temperature: tau, divides both logits.

    Returns:
        (B,) from 0 to log 2 nats, times tau^2.
    """
    log_q = log_softmax(full_precision(source_logits) / temperature, dim=1)
    log_p = log_softmax(full_precision(target_logits) / temperature, dim=1)
    log_mean = torch.logaddexp(log_q, log_p) - math.log(2)
    parts = log_q.exp() * (log_q - log_mean) + log_p.exp() * (log_p - log_mean)
    return temperature**2 * parts.sum(dim=1) / 2


def total_variation(
    source_logits: Tensor, target_logits: Tensor, temperature: float = 1.0
) -> Tensor:
    """Half the absolute differences of both predictions, times tau.

    The factor tau keeps the gradient's size when tau changes.

    Args:
        source_logits: (B, C).
        target_logits: (B, C).
        temperature: tau, divides both logits.

    Returns:
        (B,) from 0 to tau.
    """
    q = (full_precision(source_logits) / temperature).softmax(dim=1)
    p = (full_precision(target_logits) / temperature).softmax(dim=1)
    return temperature * (q - p).abs().sum(dim=1) / 2


class PredictionObjective(Objective):
    """Base of the objectives that compare two networks' predictions row by row.

    The target is detached.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role whose predictions it is pulled towards.
        temperature: tau.

    Raises:
        ValueError: when the temperature is not above 0 or the numbers of logits differ.
    """

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "teacher",
        temperature: float = 1.0,
    ) -> None:
        super().__init__(sizes, source, target)
        require_positive(self, temperature=temperature)
        require_same_classes(self, sizes)
        self.temperature = temperature

    def compare(self, source: Tensor, target: Tensor) -> Tensor:
        """Return the (B,) losses of logits (B, C) against those they are pulled towards (B, C)."""
        raise NotImplementedError

    def forward(
        self,
        representations: Mapping[str, Representation],
        batch: Batch,  # noqa: ARG002
    ) -> ObjectiveOutput:
        """Compute the loss of one batch."""
        source, target, mask = self.pair(representations)
        losses = self.compare(
            zero_masked_rows(source.logits, mask), zero_masked_rows(target.logits.detach(), mask)
        )
        return ObjectiveOutput(masked_mean(losses, mask))


class ReverseKnowledgeDistillation(PredictionObjective):
    """Reverse KL divergence of predictions, see :func:`reverse_knowledge_distillation`."""

    def compare(self, source: Tensor, target: Tensor) -> Tensor:
        """Return the (B,) divergences."""
        return reverse_knowledge_distillation(source, target, self.temperature)


class JensenShannon(PredictionObjective):
    """Jensen-Shannon divergence of predictions, see :func:`jensen_shannon_divergence`."""

    def compare(self, source: Tensor, target: Tensor) -> Tensor:
        """Return the (B,) divergences."""
        return jensen_shannon_divergence(source, target, self.temperature)


class TotalVariation(PredictionObjective):
    """Total variation between predictions, see :func:`total_variation`."""

    def compare(self, source: Tensor, target: Tensor) -> Tensor:
        """Return the (B,) distances."""
        return total_variation(source, target, self.temperature)
