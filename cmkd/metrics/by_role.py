"""Evaluation metrics of several networks over one pass."""

from torch import Tensor
from torchmetrics import Metric

from cmkd.batch import Batch
from cmkd.representation import Representation
from cmkd.tasks.base import Task


class RoleMetrics:
    """Collects one network's metrics by role, made when the role is first seen.

    Args:
        task: makes the metrics and the predictions they score.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._metrics: dict[str, Metric] = {}

    def update(self, role: str, representation: Representation, batch: Batch) -> None:
        """Add one network's representation of a batch."""
        if role not in self._metrics:
            self._metrics[role] = self._task.metrics().to(representation.logits.device)
        self._metrics[role].update(
            self._task.predictions(representation),
            batch["label"],
            batch["index"],
            representation.valid,
        )

    def pop(self, split: str) -> dict[str, Tensor]:
        """Return ``<split>/<role>_<metric>`` over all ranks and start anew."""
        values = {
            f"{split}/{role}_{name}": value
            for role, metric in self._metrics.items()
            for name, value in metric.compute().items()
        }
        self._metrics.clear()
        return values
