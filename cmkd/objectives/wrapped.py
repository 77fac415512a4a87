"""What stands around another objective and tells it all that it is told."""

from collections.abc import Mapping

from cmkd.objectives.base import Objective, ObjectiveFactory, StageContext
from cmkd.representation import Sizes


class Wrapped(Objective):
    """Base of the objectives that hold another one.

    Args:
        sizes: the networks' widths by role.
        objective: builds the inner objective.

    Attributes:
        inner: it.
    """

    def __init__(self, sizes: Mapping[str, Sizes], objective: ObjectiveFactory) -> None:
        inner = objective(sizes)
        super().__init__(sizes, inner.source, inner.target)
        self.inner = inner
        self.minimum_rows = inner.minimum_rows

    def allocate(self, context: StageContext) -> None:
        """Tell the inner objective."""
        self.inner.allocate(context)

    def begin_stage(self, context: StageContext) -> None:
        """Tell the inner objective."""
        self.inner.begin_stage(context)

    def set_epoch(self, epoch: float, length: float) -> None:
        """Tell the inner objective."""
        self.inner.set_epoch(epoch, length)

    def observe(self, scores: Mapping[str, float]) -> None:
        """Tell the inner objective."""
        self.inner.observe(scores)

    def roles(self) -> frozenset[str]:
        """Return what the inner objective reads."""
        return self.inner.roles()
