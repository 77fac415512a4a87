"""The teacher's classifier on the student's embedding."""

from collections.abc import Mapping

import torch
from torch import nn

from cmkd.batch import Batch
from cmkd.objectives.base import Objective, ObjectiveOutput, StageContext, masked_mean
from cmkd.objectives.categorical import require_same_classes
from cmkd.objectives.fitnets import hint_loss
from cmkd.objectives.numerics import zero_masked_rows
from cmkd.representation import Representation, Sizes


class SimKD(Objective):
    """Mean squared error of embeddings, for a source that gets the target's head.

    Knowledge Distillation with the Reused Teacher Classifier, Chen, Mei, Zhang, Wang, Feng, Chen,
    CVPR 2022; form of the authors' code: the loss is :func:`cmkd.objectives.fitnets.hint_loss`,
    there is no task loss, and the source predicts by the target's frozen classifier. The
    projection in front of it is the source network's own last layer before its embedding.

    The head is copied when the stage begins. The stage's config has to keep it, and to leave out
    the task loss: ``frozen: [student.head]`` and ``task_weights: {student: 0}``. The target is
    detached.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role whose embedding and head it takes over.

    Raises:
        ValueError: when the embeddings or the numbers of logits differ.
    """

    def __init__(
        self, sizes: Mapping[str, Sizes], source: str = "student", target: str = "teacher"
    ) -> None:
        super().__init__(sizes, source, target)
        require_same_classes(self, sizes, fewest=1)
        widths = [sizes[role].embedding for role in (source, target)]
        if widths[0] != widths[1]:
            raise ValueError(
                f"SimKD gives the {source} the head of the {target}, but their embeddings have "
                f"widths {widths[0]} and {widths[1]}; make them equal"
            )

    @torch.no_grad()
    def begin_stage(self, context: StageContext) -> None:
        """Copy the target's head into the source's.

        Raises:
            ValueError: when the heads differ in their parts.
        """
        source, target = (
            getattr(context.networks[role], "head", nn.Identity()).state_dict()
            for role in (self.source, self.target)
        )
        shapes = [{name: x.shape for name, x in state.items()} for state in (source, target)]
        if not source or shapes[0] != shapes[1]:
            raise ValueError(
                f"SimKD copies the {self.target}'s head into the {self.source}'s, but they are "
                f"not built alike: {shapes[1]} and {shapes[0]}"
            )
        for name, parameter in source.items():
            parameter.copy_(target[name])

    def forward(
        self,
        representations: Mapping[str, Representation],
        batch: Batch,  # noqa: ARG002
    ) -> ObjectiveOutput:
        """Compute the loss of one batch."""
        source, target, mask = self.pair(representations)
        losses = hint_loss(
            zero_masked_rows(source.embedding, mask),
            zero_masked_rows(target.embedding.detach(), mask),
        )
        return ObjectiveOutput(masked_mean(losses, mask))
