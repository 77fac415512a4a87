"""What a task is: the loss of one network, its metrics, and what to monitor."""

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor, nn

from cmkd.batch import Batch
from cmkd.metrics.evaluation import Evaluation
from cmkd.representation import Representation


class Task(nn.Module):
    """Base of the tasks.

    Attributes:
        monitor: name of the metric that chooses the best teacher and student.
        mode: ``max`` or ``min``, which of its values is better.
        searches: whether what is evaluated is searched in a gallery, which the data may give.
    """

    monitor: str
    mode: str = "max"
    searches: bool = False

    def check(self, batch: Batch) -> None:
        """Raise a ValueError for labels that do not fit; called on the CPU, before transfer."""
        raise NotImplementedError

    def loss(self, representation: Representation, batch: Batch) -> Tensor:
        """Return the masked mean loss of one network, a scalar."""
        raise NotImplementedError

    def step_metrics(self, representation: Representation, batch: Batch) -> dict[str, Tensor]:
        """Return cheap scalars of one training batch."""
        raise NotImplementedError

    def predictions(self, representation: Representation) -> Tensor:
        """Return (B, ...) scores whose mean over a clip's windows is the clip's prediction."""
        raise NotImplementedError

    def metrics(self) -> Evaluation:
        """Return fresh metrics for one pass of one network."""
        raise NotImplementedError


#: Builds a task once the number of outputs is known; what ``class_path`` gives in YAML.
TaskFactory: TypeAlias = Callable[[int], Task]
