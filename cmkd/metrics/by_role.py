"""Evaluation metrics of several networks over one pass."""

from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from cmkd.batch import Batch, batch_window
from cmkd.metrics.evaluation import Evaluation, Rows
from cmkd.representation import Representation
from cmkd.tasks.base import Task


class RoleMetrics:
    """Collects one network's metrics by role, made when the role is first seen.

    Args:
        task: makes the metrics and the predictions they score.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._metrics: dict[str, Evaluation] = {}

    def update(
        self, role: str, representation: Representation, batch: Batch, gallery: bool = False
    ) -> None:
        """Add one network's representation of a batch.

        Args:
            role: whose.
            representation: of the batch.
            batch: for labels and sample numbers.
            gallery: the batch is of what the evaluated samples are searched in.
        """
        if role not in self._metrics:
            self._metrics[role] = self._task.metrics()
        rows = Rows(
            prediction=self._task.predictions(representation),
            embedding=representation.embedding,
            target=batch["label"],
            index=batch["index"],
            window=batch_window(batch),
            valid=representation.valid,
        )
        metrics = self._metrics[role]
        (metrics.update_gallery if gallery else metrics.update)(rows)

    def pop(self, split: str) -> dict[str, Tensor]:
        """Return ``<split>/<role>_<metric>`` over all ranks and start anew.

        Warns of samples that do not count because they have none of a network's modalities.
        """
        values: dict[str, Tensor] = {}
        for role, metrics in self._metrics.items():
            computed = metrics.compute()
            values |= {f"{split}/{role}_{name}": value for name, value in computed.items()}
            if metrics.left_out:
                rank_zero_warn(
                    f"{metrics.left_out} samples have none of the {role}'s modalities and do not "
                    f"count in {split}/{role}_*"
                )
        self._metrics.clear()
        return values
