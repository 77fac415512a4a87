"""A real-valued label: sentiment or emotional intensity."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from cmkd.batch import Batch, batch_labelled
from cmkd.metrics.evaluation import Evaluation
from cmkd.metrics.per_sample import PerSample
from cmkd.metrics.regression import regression_metrics
from cmkd.objectives.base import masked_mean
from cmkd.representation import Representation
from cmkd.tasks.base import Task


class Regression(Task):
    """One real number a sample.

    Metrics: ``mae``, ``pearson``, ``binary_accuracy``, ``binary_f1``, ``binary_accuracy_nonzero``,
    ``binary_f1_nonzero``, ``accuracy_<n>``
    (:func:`cmkd.metrics.regression.regression_metrics`).

    Args:
        num_outputs: width of the networks' heads, which has to be 1.
        criterion: the loss: ``torch.nn.L1Loss``, ``MSELoss``, ``HuberLoss`` or another that takes
            ``reduction``, which is always "none": absent rows are masked before the mean.
        low: lowest label, for ``accuracy_<n>``.
        high: highest label.
        neutral: the label between negative and positive.

    Raises:
        ValueError: for another number of outputs than 1, or labels out of order.
    """

    monitor = "mae"
    mode = "min"

    def __init__(
        self,
        num_outputs: int = 1,
        criterion: Callable[[], nn.Module] = nn.L1Loss,
        low: int = -3,
        high: int = 3,
        neutral: float = 0.0,
    ) -> None:
        super().__init__()
        if num_outputs != 1:
            raise ValueError(
                f"Regression predicts one number, but the networks have {num_outputs} outputs; "
                "use data with real-valued labels (its num_classes is 1) or another model.task"
            )
        if not low < high or not low <= neutral <= high:
            raise ValueError(
                "Regression needs low < high with neutral between them, got "
                f"low {low}, high {high}, neutral {neutral}"
            )
        # Not annotated so above: LightningCLI would take any one argument for given.
        with_arguments: Callable[..., nn.Module] = criterion
        self.criterion = with_arguments(reduction="none")
        self.low, self.high, self.neutral = low, high, neutral

    def check(self, batch: Batch) -> None:
        """Raise a ValueError that names the sample when a label is no finite number."""
        label = batch["label"]
        wrong = ~label.isfinite()
        if wrong.any():
            row = int(wrong.nonzero()[0])
            raise ValueError(
                f"label {float(label[row])} of sample {int(batch['index'][row])} is not a finite "
                "number: correct it or take the sample out of the data"
            )

    def loss(self, representation: Representation, batch: Batch) -> Tensor:
        """Return the criterion's mean over the valid, labelled rows."""
        values = self.criterion(self.predictions(representation), batch["label"].float())
        return masked_mean(values, representation.valid & batch_labelled(batch))

    def step_metrics(self, representation: Representation, batch: Batch) -> dict[str, Tensor]:
        """Return the mean absolute error of the batch's valid, labelled rows."""
        error = (self.predictions(representation) - batch["label"].float()).abs()
        return {"mae": masked_mean(error, representation.valid & batch_labelled(batch))}

    def predictions(self, representation: Representation) -> Tensor:
        """Return the (B,) predicted values."""
        return representation.logits[:, 0].float()

    def metrics(self) -> Evaluation:
        """Return fresh metrics over samples."""
        return PerSample(
            partial(regression_metrics, low=self.low, high=self.high, neutral=self.neutral)
        )
