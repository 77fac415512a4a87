"""What a student says of a source."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Prediction:
    """What a student says of one source, averaged over its windows.

    Attributes:
        source: the file, or what else names the source.
        probabilities: (C,) of the classes; (0,) of a regression.
        embedding: (D,) in front of the head.
        class_names: names of the classes, None where they are not known.
        value: what a regression predicts; None of a classification.
    """

    source: str
    probabilities: Tensor
    embedding: Tensor
    class_names: Sequence[str] | None = None
    value: float | None = None

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """Return the k most probable classes, or all if there are fewer, with probabilities.

        A class without a name goes by its number.

        Raises:
            ValueError: when k is below 1.
        """
        if k < 1:
            raise ValueError(f"k: must be at least 1, got {k}")
        values, classes = self.probabilities.topk(min(k, len(self.probabilities)))
        names = self.class_names or [str(c) for c in range(len(self.probabilities))]
        return [(names[c], p) for c, p in zip(classes.tolist(), values.tolist(), strict=True)]


@dataclass(frozen=True)
class Failure:
    """A source that could not be predicted.

    Attributes:
        source: the file, or what else names the source.
        reason: what is wrong with it.
    """

    source: str
    reason: str
