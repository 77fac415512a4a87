"""Labels as objectives read them."""

from torch import Tensor

from cmkd.batch import Batch
from cmkd.objectives.base import Objective
from cmkd.objectives.numerics import zero_masked_rows


def class_labels(objective: Objective, batch: Batch, mask: Tensor) -> Tensor:
    """Return the batch's classes (B,) int64; class 0 in masked rows, which may have no label.

    Raises:
        ValueError: when the batch has no labels, or such as are no classes.
    """
    label: Tensor | None = batch.get("label")
    if label is None or label.is_floating_point():
        raise ValueError(
            f"{type(objective).__name__} needs the batch's 'label' to be classes (int64), got "
            f"{'none' if label is None else label.dtype}; use an objective that reads no labels"
        )
    return zero_masked_rows(label, mask)
