"""Metrics in which every sample counts once."""

from collections.abc import Callable

from torch import Tensor

from cmkd.metrics.evaluation import Evaluation, Rows
from cmkd.metrics.sample_means import SampleMeans


class PerSample(Evaluation):
    """Scores each sample by the mean of its windows' predictions.

    The result is the same for any batch size and number of devices.

    Args:
        score: computes scalars by name from predictions (N, ...) and targets (N,).
    """

    def __init__(self, score: Callable[[Tensor, Tensor], dict[str, Tensor]]) -> None:
        self._score = score
        self._means = SampleMeans()

    def update(self, rows: Rows) -> None:
        """Add a batch of what is evaluated."""
        self._means.update(rows.prediction, rows.target, rows.index, rows.window, rows.valid)

    def compute(self) -> dict[str, Tensor]:
        """Return the scores over all ranks; an empty dict where no row was valid."""
        samples = self._means.compute()
        self.left_out = samples.left_out
        return self._score(samples.value, samples.target) if len(samples.target) else {}
