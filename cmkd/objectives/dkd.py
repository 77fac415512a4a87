"""Knowledge distillation decoupled into the true class and the others."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot

from cmkd.batch import Batch
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.objectives.categorical import require_same_classes
from cmkd.objectives.labels import class_labels
from cmkd.objectives.numerics import full_precision, require_positive, zero_masked_rows
from cmkd.representation import Representation, Sizes


def decoupled_knowledge_distillation(
    source_logits: Tensor, target_logits: Tensor, label: Tensor, temperature: float = 4.0
) -> tuple[Tensor, Tensor]:
    """Split Hinton's loss into what it says of the true class and what it says of the others.

    With p the target's and q the source's softened predictions, and p_y that of the true class,
    tau^2 KL(p || q) = TCKD + (1 - p_y) NCKD. TCKD is the divergence of the two-way predictions
    (true, rest), NCKD that of the predictions among the other classes alone, both times tau^2.
    Decoupled Knowledge Distillation, Zhao, Cui, Song, Qiu, Liang, CVPR 2022; form of the authors'
    code. Here the rest's share is a log-sum-exp, so that a sure prediction has a finite loss.

    Args:
        source_logits: (B, C), of q; C at least 2.
        target_logits: (B, C), of p.
        label: (B,) int64, the true classes.
        temperature: tau, divides both logits.

    Returns:
        TCKD and NCKD, (B,) nats times tau^2 each, not negative.
    """
    true = one_hot(label, source_logits.shape[1]).bool()
    q_true, q_others = _decouple(source_logits, true, temperature)
    p_true, p_others = _decouple(target_logits, true, temperature)
    return (
        temperature**2 * (p_true.exp() * (p_true - q_true)).sum(dim=1),
        temperature**2 * (p_others.exp() * (p_others - q_others)).sum(dim=1),
    )


def _decouple(logits: Tensor, true: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return log (true, rest) (B, 2), and log of each other class's share of the rest (B, C).

    The true class has 0 in the latter: of source and target alike, so it adds nothing.
    """
    log_p = log_softmax(full_precision(logits) / temperature, dim=1)
    rest = log_p.masked_fill(true, -math.inf).logsumexp(dim=1)
    others = (log_p - rest[:, None]).masked_fill(true, 0)
    return torch.stack([log_p.masked_fill(~true, 0).sum(dim=1), rest], dim=1), others


class DKD(Objective):
    """Decoupled knowledge distillation, alpha TCKD + beta NCKD.

    Hinton's loss weighs what the target knows of the wrong classes by 1 - p_y, that is little
    where it is sure; here that part has a weight of its own, see
    :func:`decoupled_knowledge_distillation`. The target is detached. Needs labels. The authors'
    linear warm-up is the term's ``warmup_epochs``.

    Logs ``true_class`` (TCKD) and ``other_classes`` (NCKD).

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role whose predictions it is pulled towards.
        alpha: weight of TCKD.
        beta: weight of NCKD; 8 is the default of the authors' code, which tunes it by teacher.
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
        alpha: float = 1.0,
        beta: float = 8.0,
        temperature: float = 4.0,
    ) -> None:
        super().__init__(sizes, source, target)
        require_positive(self, alpha=alpha, beta=beta, temperature=temperature)
        require_same_classes(self, sizes)
        self.alpha = alpha
        self.beta = beta
        self.temperature = temperature

    def forward(
        self, representations: Mapping[str, Representation], batch: Batch
    ) -> ObjectiveOutput:
        """Compute the loss of one batch.

        Raises:
            ValueError: when the batch has no labels, or such as are no classes.
        """
        source, target, mask = self.pair(representations)
        label, mask = class_labels(self, batch, mask)
        true_class, other_classes = (
            masked_mean(nats, mask)
            for nats in decoupled_knowledge_distillation(
                zero_masked_rows(source.logits, mask),
                zero_masked_rows(target.logits.detach(), mask),
                label,
                self.temperature,
            )
        )
        return ObjectiveOutput(
            self.alpha * true_class + self.beta * other_classes,
            logs={"true_class": true_class.detach(), "other_classes": other_classes.detach()},
        )
