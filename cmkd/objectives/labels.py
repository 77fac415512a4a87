"""Labels as objectives read them."""

from torch import Tensor

from cmkd.batch import Batch, batch_labelled
from cmkd.objectives.base import Objective
from cmkd.objectives.numerics import zero_masked_rows


def class_labels(objective: Objective, batch: Batch, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the batch's classes and which rows have one.

    Args:
        objective: who asks, for the message.
        batch: the batch.
        mask: (B,) bool, the rows that count otherwise.

    Returns:
        (B,) int64, class 0 in rows that do not count, which may have no label; and (B,) bool, the
        rows of the mask whose label is known.

    Raises:
        ValueError: when the batch has no labels, or such as are no classes.
    """
    label: Tensor | None = batch.get("label")
    if label is None or label.is_floating_point():
        raise ValueError(
            f"{type(objective).__name__} needs the batch's 'label' to be classes (int64), got "
            f"{'none' if label is None else label.dtype}; use an objective that reads no labels"
        )
    mask = mask & batch_labelled(batch)
    return zero_masked_rows(label, mask), mask
