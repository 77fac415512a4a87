"""Single-label classification: video recognition, emotion classification."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from cmkd.batch import Batch, batch_labelled
from cmkd.metrics.classification import classification_metrics
from cmkd.metrics.evaluation import Evaluation
from cmkd.metrics.per_sample import PerSample
from cmkd.objectives.base import masked_mean
from cmkd.representation import Representation
from cmkd.tasks.base import Task


class Classification(Task):
    """Cross-entropy, with the accuracies of the field.

    Metrics: ``accuracy`` (top-1; emotion recognition calls it weighted accuracy),
    ``unweighted_accuracy`` (mean recall over classes), ``macro_f1``, and with more than five
    classes ``top5_accuracy`` (:func:`cmkd.metrics.classification.classification_metrics`).

    Args:
        num_classes: number of classes C, at least 2.
        label_smoothing: share of the target spread over all classes.

    Raises:
        ValueError: for fewer than two classes or a smoothing outside [0, 1).
    """

    monitor = "accuracy"

    def __init__(self, num_classes: int, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(
                f"Classification needs at least 2 classes, got {num_classes}; data with "
                "real-valued labels (its num_classes is 1) needs model.task cmkd.tasks.Regression"
            )
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must lie in [0, 1), got {label_smoothing}")
        self.num_classes = num_classes
        self.label_smoothing = label_smoothing

    def check(self, batch: Batch) -> None:
        """Raise a ValueError that names the sample when a label is outside [0, C)."""
        label = batch["label"]
        wrong = (label < 0) | (label >= self.num_classes)
        if wrong.any():
            row = int(wrong.nonzero()[0])
            raise ValueError(
                f"label {int(label[row])} of sample {int(batch['index'][row])} is outside 0.."
                f"{self.num_classes - 1}; model.num_classes is {self.num_classes}: correct the "
                "labels or the datamodule's num_classes"
            )

    def loss(self, representation: Representation, batch: Batch) -> Tensor:
        """Return the mean cross-entropy over the valid, labelled rows, in nats."""
        values = F.cross_entropy(
            representation.logits.float(),
            batch["label"],
            reduction="none",
            label_smoothing=self.label_smoothing,
        )
        return masked_mean(values, representation.valid & batch_labelled(batch))

    def step_metrics(self, representation: Representation, batch: Batch) -> dict[str, Tensor]:
        """Return the top-1 accuracy of the batch's valid, labelled rows."""
        hits = representation.logits.argmax(1) == batch["label"]
        return {"accuracy": masked_mean(hits.float(), representation.valid & batch_labelled(batch))}

    def predictions(self, representation: Representation) -> Tensor:
        """Return the (B, C) class probabilities."""
        return torch.softmax(representation.logits.float(), dim=1)

    def metrics(self) -> Evaluation:
        """Return fresh metrics over samples."""
        return PerSample(classification_metrics)
