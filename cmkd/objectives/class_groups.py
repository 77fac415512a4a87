"""Experts of a group of classes: their task, and what they teach."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from cmkd.batch import Batch
from cmkd.distributed import mean_over_ranks
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.objectives.categorical import knowledge_distillation, require_same_classes
from cmkd.objectives.labels import class_labels
from cmkd.objectives.numerics import full_precision, require_positive, zero_masked_rows
from cmkd.objectives.self_paced import require_share, self_paced_weight
from cmkd.representation import Representation, Sizes


class ClassGroup(torch.nn.Module):
    """Some of the classes, and what of a batch concerns them.

    Args:
        classes: their numbers.
        logits: number of all classes.
        owner: the objective whose argument they are, for the error.

    Raises:
        ValueError: for fewer than two classes, one named twice, or one that does not exist.
    """

    classes: Tensor

    def __init__(self, classes: Sequence[int], logits: int, owner: str) -> None:
        super().__init__()
        known = all(0 <= c < logits for c in classes)
        if len(classes) < 2 or len(set(classes)) < len(classes) or not known:
            raise ValueError(
                f"{owner}.classes must be two or more different numbers from 0 to {logits - 1}, "
                f"got {list(classes)}"
            )
        self.register_buffer("classes", torch.tensor(classes), persistent=False)

    def rows(self, label: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B,) bool, the rows of these classes, and (B,) their place in the group, or 0."""
        same = label[:, None] == self.classes
        return same.any(dim=1), same.int().argmax(dim=1)

    def logits(self, representation: Representation, mask: Tensor) -> Tensor:
        """Return the (B, G) logits of these classes, zeros in the rows where mask is False."""
        logits = zero_masked_rows(full_precision(representation.logits), mask)
        return logits.index_select(1, self.classes)


class ClassGroupTask(Objective):
    """Cross-entropy of one network among a group of classes, on the samples of these alone.

    It makes the network an expert of the group; the network's own task loss, over all classes,
    is switched off by ``task_weights: {<role>: 0}`` in the stage. For long-tailed data the groups
    are classes of similar frequency. Learning From Multiple Experts: Self-paced Knowledge
    Distillation for Long-tailed Classification, Xiang, Ding, Han, ECCV 2020, arXiv 2001.01536.

    Logs the ``accuracy`` among the group.

    Args:
        sizes: the networks' widths by role.
        classes: the group.
        source: the role that learns.

    Raises:
        ValueError: for an unknown role, or classes that make no group.
    """

    def __init__(
        self, sizes: Mapping[str, Sizes], classes: Sequence[int], source: str = "expert"
    ) -> None:
        # There is no target to compare with; any other network satisfies the base's checks.
        super().__init__(sizes, source, next(role for role in sizes if role != source))
        self.group = ClassGroup(classes, sizes[source].logits, "ClassGroupTask")

    def roles(self) -> frozenset[str]:
        """Return the network that learns."""
        return frozenset((self.source,))

    def forward(
        self, representations: Mapping[str, Representation], batch: Batch
    ) -> ObjectiveOutput:
        """Compute the loss of one batch; 0 where no sample is of the group.

        Raises:
            ValueError: when the batch has no labels, or such as are no classes.
        """
        source = representations[self.source]
        label, mask = class_labels(self, batch, source.valid)
        concerned, place = self.group.rows(label)
        mask = mask & concerned
        logits = self.group.logits(source, mask)
        loss = masked_mean(cross_entropy(logits, place, reduction="none"), mask)
        hits = (logits.argmax(dim=1) == place).to(loss.dtype)
        return ObjectiveOutput(loss, logs={"accuracy": masked_mean(hits, mask)})


class ClassGroupDistillation(Objective):
    """Knowledge distillation from an expert of a group of classes, at the student's pace.

    Only the logits of the group are compared, on the samples of the group. The weight is
    :func:`cmkd.objectives.self_paced_weight` of both networks' accuracies among the group. The
    authors measure them in validation; the validation metrics that an objective can see are over
    all classes, so here they are those of the training samples in the epoch before, 1 in the
    first. Weight and counts are saved with the checkpoint and the same on all ranks. Learning From
    Multiple Experts: Self-paced Knowledge Distillation for Long-tailed Classification, Xiang,
    Ding, Han, ECCV 2020, arXiv 2001.01536.

    The target is detached. Logs the ``weight``.

    Args:
        sizes: the networks' widths by role.
        classes: the expert's group.
        source: the role that is pulled.
        target: the expert.
        temperature: tau, divides both logits.
        threshold: share of the expert's accuracy up to which the weight is 1.

    Raises:
        ValueError: for a number out of range, classes that make no group, or numbers of logits
            that differ.
    """

    weight: Tensor
    counts: Tensor
    epoch: Tensor

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        classes: Sequence[int],
        source: str = "student",
        target: str = "expert",
        temperature: float = 4.0,
        threshold: float = 0.3,
    ) -> None:
        super().__init__(sizes, source, target)
        require_positive(self, temperature=temperature)
        require_share(self, threshold=threshold)
        require_same_classes(self, sizes)
        self.group = ClassGroup(classes, sizes[source].logits, "ClassGroupDistillation")
        self.temperature = temperature
        self.threshold = threshold
        self.register_buffer("weight", torch.ones(()))
        # Hits of source and target, and samples, in this epoch.
        self.register_buffer("counts", torch.zeros(3))
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))

    def set_epoch(self, epoch: float, length: float) -> None:  # noqa: ARG002
        """Renew the weight where a new epoch begins."""
        # On the device, without a look at the values: every step passes here.
        begins = int(epoch) > self.epoch
        hits, samples = self.counts[:2], self.counts[2]
        student, expert = hits / samples.clamp(min=1)
        new = self_paced_weight(student, expert, self.threshold)
        self.weight.copy_(new.where(begins & (samples > 0), self.weight))
        self.counts.copy_(self.counts.where(~begins, 0))
        self.epoch.fill_(int(epoch))

    def forward(
        self, representations: Mapping[str, Representation], batch: Batch
    ) -> ObjectiveOutput:
        """Compute the loss of one batch; 0 where no sample is of the group.

        Raises:
            ValueError: when the batch has no labels, or such as are no classes.
        """
        source, target, mask = self.pair(representations)
        label, mask = class_labels(self, batch, mask)
        concerned, place = self.group.rows(label)
        mask = mask & concerned
        s, t = (self.group.logits(r, mask) for r in (source, target.detach()))
        losses = knowledge_distillation(s, t, self.temperature)
        hits = [((z.argmax(dim=1) == place) & mask).sum() for z in (s, t)]
        counts = torch.stack([*hits, mask.sum()]).to(self.counts.dtype)
        # A ratio of means over ranks is a ratio of sums.
        self.counts += mean_over_ranks(counts)
        weight = self.weight.to(losses.dtype).expand(len(losses))
        logs = {"weight": masked_mean(weight, mask)}
        return ObjectiveOutput(masked_mean(weight * losses, mask), logs=logs)
