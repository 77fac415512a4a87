"""What scores one network over a pass through evaluation data."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """One network's view of an evaluation batch; a row is a window of a sample.

    Attributes:
        prediction: (B, ...) the task's predictions.
        embedding: (B, D) the network's embedding.
        target: (B,) labels.
        index: (B,) int64 sample numbers.
        window: (B,) int64 numbers of the windows within their samples.
        valid: (B,) bool, rows in which the network had at least one of its modalities.
    """

    prediction: Tensor
    embedding: Tensor
    target: Tensor
    index: Tensor
    window: Tensor
    valid: Tensor


class Evaluation:
    """Base of what ``Task.metrics()`` gives: takes rows, then says what they amount to.

    Attributes:
        left_out: samples of the last ``compute`` that had no valid row and do not count.
    """

    left_out: int = 0

    def update(self, rows: Rows) -> None:
        """Add a batch of what is evaluated."""
        raise NotImplementedError

    def update_gallery(self, rows: Rows) -> None:
        """Add a batch of what is searched; called for a task that ``searches``."""
        raise NotImplementedError

    def compute(self) -> dict[str, Tensor]:
        """Return scalars by name, over all ranks; empty where no row was valid."""
        raise NotImplementedError
