"""A probe: any objective as a diagnosis that pulls nothing but its own layers."""

from collections.abc import Mapping

from torch import nn

from cmkd.batch import Batch
from cmkd.objectives.base import ObjectiveOutput
from cmkd.objectives.wrapped import Wrapped
from cmkd.representation import Representation


class Probe(Wrapped):
    """Trains an objective's layers on detached representations, to log its value.

    The whole objective becomes the critic: it has an optimizer of its own, is clipped on its own,
    and neither its gradient nor its norm reaches a network. With the Gaussian bound inside, the
    logged ``nats`` estimate H(T|S) whichever objective trains the student.

    Args:
        sizes: the networks' widths by role.
        objective: builds the objective to be watched.
    """

    def critic_parameters(self) -> list[nn.Parameter]:
        """Return all parameters of the watched objective."""
        return list(self.inner.parameters())

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
