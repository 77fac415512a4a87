"""A probe: any objective as a diagnosis that pulls nothing but its own layers."""

from collections.abc import Mapping

from torch import nn

from cmkd.batch import Batch
from cmkd.objectives.base import Objective, ObjectiveFactory, ObjectiveOutput, StageContext
from cmkd.representation import Representation, Sizes


class Probe(Objective):
    """Trains an objective's layers on detached representations, to log its value.

    The whole objective becomes the critic: it has an optimizer of its own, is clipped on its own,
    and neither its gradient nor its norm reaches a network. With the Gaussian bound inside, the
    logged ``nats`` estimate H(T|S) whichever objective trains the student.

    Args:
        sizes: the networks' widths by role.
        objective: builds the objective to be watched.
    """

    def __init__(self, sizes: Mapping[str, Sizes], objective: ObjectiveFactory) -> None:
        inner = objective(sizes)
        super().__init__(sizes, inner.source, inner.target)
        self.inner = inner
        self.minimum_rows = inner.minimum_rows

    def critic_parameters(self) -> list[nn.Parameter]:
        """Return all parameters of the watched objective."""
        return list(self.inner.parameters())

    def allocate(self, context: StageContext) -> None:
        """Tell the watched objective."""
        self.inner.allocate(context)

    def begin_stage(self, context: StageContext) -> None:
        """Tell the watched objective."""
        self.inner.begin_stage(context)

    def set_epoch(self, epoch: float, length: float) -> None:
        """Tell the watched objective."""
        self.inner.set_epoch(epoch, length)

    def observe(self, scores: Mapping[str, float]) -> None:
        """Tell the watched objective."""
        self.inner.observe(scores)

    def roles(self) -> frozenset[str]:
        """Return what the watched objective reads."""
        return self.inner.roles()

    def forward(
        self, representations: Mapping[str, Representation], batch: Batch
    ) -> ObjectiveOutput:
        """Return a zero loss, and the watched objective's loss as the critic's."""
        detached = {role: representations[role].detach() for role in self.inner.roles()}
        output = self.inner(detached, batch)
        critic_loss = output.loss
        if output.critic_loss is not None:
            critic_loss = critic_loss + output.critic_loss
        return ObjectiveOutput(output.loss.new_zeros(()), critic_loss, output.logs)
