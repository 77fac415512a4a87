"""Conditional entropy of the teacher's prediction, bounded from above: knowledge distillation."""

from collections.abc import Mapping
from typing import TypeAlias

from torch import Tensor
from torch.nn.functional import log_softmax, softmax

from cmkd.batch import Batch
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.objectives.numerics import full_precision, require_positive, zero_masked_rows
from cmkd.representation import Representation, Sizes


def categorical_conditional_entropy(
    source_logits: Tensor, target_logits: Tensor, temperature: float = 1.0
) -> Tensor:
    """Cross-entropy -E_p log q of softened predictions, p the target's and q the source's.

    With Y drawn from p given the input, its expectation is at least H(Y|S), whatever q; equality
    holds where q is the true conditional distribution.

    Args:
        source_logits: (B, C), of q.
        target_logits: (B, C), of p.
        temperature: divides both logits.

    Returns:
        (B,) nats.
    """
    p = softmax(full_precision(target_logits) / temperature, dim=1)
    return -(p * log_softmax(full_precision(source_logits) / temperature, dim=1)).sum(dim=1)


def knowledge_distillation(
    source_logits: Tensor, target_logits: Tensor, temperature: float = 4.0
) -> Tensor:
    """Hinton's loss tau^2 KL(p || q) of predictions softened by tau.

    It is tau^2 times :func:`categorical_conditional_entropy` less the target's own entropy, which
    makes it 0 at its minimum; tau^2 keeps the gradient's size when tau changes. Distilling the
    Knowledge in a Neural Network, Hinton, Vinyals, Dean, NeurIPS workshop 2014, arXiv 1503.02531.

    Args:
        source_logits: (B, C), of q.
        target_logits: (B, C), of p.
        temperature: tau, divides both logits.

    Returns:
        (B,) nats times tau^2, not negative.
    """
    cross_entropy = categorical_conditional_entropy(source_logits, target_logits, temperature)
    entropy = categorical_conditional_entropy(target_logits, target_logits, temperature)
    return temperature**2 * (cross_entropy - entropy)


def require_same_classes(objective: Objective, sizes: Mapping[str, Sizes], fewest: int = 2) -> None:
    """Raise a ValueError unless source and target have the same number of logits, and enough."""
    source, target = (sizes[role].logits for role in (objective.source, objective.target))
    if source != target or source < fewest:
        raise ValueError(
            f"{type(objective).__name__} compares predictions over the same classes, but the "
            f"{objective.source} has {source} logits and the {objective.target} {target}; give "
            f"both the same number of outputs, at least {fewest}"
        )


class CategoricalConditionalEntropy(Objective):
    """Explicit upper bound on H(target | source) of the predicted label: knowledge distillation.

    The loss is :func:`knowledge_distillation`. The target is detached, so that its entropy is a
    constant and the loss has the gradient of the bound. Logs ``nats``, the cross-entropy at
    temperature 1: the upper bound on the entropy of the target's label given the source.

    ``KnowledgeDistillation`` is this class under its other name.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role whose predictions it is pulled towards.
        temperature: tau, divides both logits.

    Raises:
        ValueError: when the temperature is not above 0 or the numbers of logits differ.
    """

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "teacher",
        temperature: float = 4.0,
    ) -> None:
        super().__init__(sizes, source, target)
        require_positive(self, temperature=temperature)
        require_same_classes(self, sizes)
        self.temperature = temperature

    def forward(
        self,
        representations: Mapping[str, Representation],
        batch: Batch,  # noqa: ARG002
    ) -> ObjectiveOutput:
        """Compute the loss of one batch."""
        source, target, mask = self.pair(representations)
        s = zero_masked_rows(source.logits, mask)
        t = zero_masked_rows(target.logits.detach(), mask)
        loss = masked_mean(knowledge_distillation(s, t, self.temperature), mask)
        nats = masked_mean(categorical_conditional_entropy(s.detach(), t), mask)
        return ObjectiveOutput(loss, logs={"nats": nats})


KnowledgeDistillation: TypeAlias = CategoricalConditionalEntropy
