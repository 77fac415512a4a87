"""An objective on the samples alone whose labels are not known."""

from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from cmkd.batch import Batch, batch_labelled
from cmkd.objectives.base import ObjectiveOutput
from cmkd.objectives.wrapped import Wrapped
from cmkd.representation import Representation


class Unlabelled(Wrapped):
    """Applies an objective to the pairs that have no label.

    Where the label is known the task's loss says what it is, whether the teacher knows it or not;
    where it is not, the teacher's prediction is all there is. With every label known the loss is 0.

    Args:
        sizes: the networks' widths by role.
        objective: builds the objective that is applied.
    """

    def critic_parameters(self) -> list[nn.Parameter]:
        """Return those of the inner objective."""
        return self.inner.critic_parameters()

    def forward(
        self, representations: Mapping[str, Representation], batch: Batch
    ) -> ObjectiveOutput:
        """Compute the inner objective's loss with the labelled rows masked."""
        counted = ~batch_labelled(batch)
        masked = {
            role: replace(representations[role], valid=representations[role].valid & counted)
            for role in self.inner.roles()
        }
        output: ObjectiveOutput = self.inner(masked, batch)
        return output
