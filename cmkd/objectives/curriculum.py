"""A curriculum of samples: those that an expert finds easy first."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from cmkd.batch import Batch
from cmkd.distributed import gather_rows
from cmkd.objectives.base import Objective, ObjectiveOutput, StageContext, masked_mean
from cmkd.objectives.categorical import require_same_classes
from cmkd.objectives.labels import class_labels
from cmkd.objectives.numerics import full_precision, zero_masked_rows
from cmkd.representation import Representation, Sizes

#: Of a sample that the expert has not seen.
UNKNOWN = -1.0


def relative_confidence(confidence: Tensor, label: Tensor, classes: int) -> Tensor:
    """Bring confidences to 0 for the least and 1 for the most of each class.

    Args:
        confidence: (N,) from 0 to 1, below 0 where it is unknown.
        label: (N,) int64 in 0..classes-1; of unknown ones any of these.
        classes: number of classes.

    Returns:
        (N,) from 0 to 1; 1 where it is unknown, or all that are known of the class are equal.
    """
    known = confidence >= 0
    low, high = (
        confidence.new_full((classes,), empty).scatter_reduce(
            0, label, confidence.where(known, empty), how
        )
        for empty, how in ((math.inf, "amin"), (-math.inf, "amax"))
    )
    span = (high - low)[label]
    relative = (confidence - low[label]) / span
    return relative.where(known & (span > 0), 1)


def curriculum_weight(confidence: Tensor, progress: float) -> Tensor:
    """Weight of a sample, from its confidence at the beginning to 1 at half time.

    Args:
        confidence: (B,) from 0 to 1.
        progress: position in the training, from 0 to 1.

    Returns:
        (B,) weights.
    """
    grown = min(1.0, 2 * progress)
    return confidence + (1 - confidence) * grown


class InstanceCurriculum(Objective):
    """The classification task of the source, the samples easy for an expert first.

    Cross-entropy, each row weighted by :func:`curriculum_weight` of the target's confidence in
    the true class, min-max by class over the training set. It takes the place of the source's
    task loss: switch that off by ``task_weights: {student: 0}`` in the stage. Learning From
    Multiple Experts: Self-paced Knowledge Distillation for Long-tailed Classification, Xiang,
    Ding, Han, ECCV 2020, arXiv 2001.01536; form of the authors' code.

    From half of the stage on every weight is 1. Confidences are kept by sample, as the expert last
    saw it, the same on all ranks and saved with the checkpoint; in the first epoch the range of a
    class is that of the samples so far. A sample that the expert never saw counts in full. Needs
    labels.

    Logs the mean ``weight``.

    Args:
        sizes: the networks' widths by role.
        source: the role that learns.
        target: the expert.

    Raises:
        ValueError: when the numbers of logits differ.
    """

    confidence: Tensor
    label: Tensor

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "teacher",
    ) -> None:
        super().__init__(sizes, source, target)
        require_same_classes(self, sizes)
        self.classes = sizes[source].logits
        self._progress = 0.0
        self.register_buffer("confidence", torch.full((1,), UNKNOWN))
        self.register_buffer("label", torch.zeros(1, dtype=torch.int64))

    def allocate(self, context: StageContext) -> None:
        """Make room for every training sample's confidence, and one more for what is not kept.

        Raises:
            ValueError: when the data does not say how many samples there are.
        """
        if context.train_samples < 1:
            raise ValueError(
                "InstanceCurriculum keeps a confidence for every training sample, but the data "
                "does not say how many there are; give the datamodule a train_samples"
            )
        slots = (context.train_samples + 1,)
        self.confidence = self.confidence.new_full(slots, UNKNOWN)
        self.label = self.label.new_zeros(slots)

    def set_epoch(self, epoch: float, length: float) -> None:
        """Take note of the position in the stage."""
        self._progress = epoch / length

    def forward(
        self, representations: Mapping[str, Representation], batch: Batch
    ) -> ObjectiveOutput:
        """Compute the loss of one batch, over all rows that the source has.

        Raises:
            ValueError: when the batch has no labels, or such as are no classes.
        """
        source, target, both = self.pair(representations)
        label, mask = class_labels(self, batch, source.valid)
        self._remember(target.detach(), label, batch["index"], both & mask)
        relative = relative_confidence(full_precision(self.confidence), self.label, self.classes)
        s = zero_masked_rows(full_precision(source.logits), mask)
        weight = curriculum_weight(relative[batch["index"]], self._progress)
        loss = masked_mean(weight * cross_entropy(s, label, reduction="none"), mask)
        return ObjectiveOutput(loss, logs={"weight": masked_mean(weight.to(loss.dtype), mask)})

    def _remember(self, target: Representation, label: Tensor, index: Tensor, seen: Tensor) -> None:
        """Keep the target's confidence in the true class of the rows of all ranks."""
        sure = zero_masked_rows(full_precision(target.logits), seen).softmax(dim=1)
        sure = sure.gather(1, label[:, None]).squeeze(1)
        # Rows that were not seen go to the last slot, which is nobody's: no row is left out, so
        # that the shapes stay the same.
        slot = gather_rows(index.where(seen, len(self.confidence) - 1))
        self.confidence[slot] = gather_rows(sure).to(self.confidence.dtype)
        self.label[slot] = gather_rows(label)
        self.confidence[-1] = UNKNOWN
