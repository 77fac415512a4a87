"""What is learnt from the label column: its classes, its value, or classes made from its value."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datamodules.feature_source import Array, FeatureSource


@dataclass(frozen=True)
class Coding:
    """What a label becomes.

    Attributes:
        class_names: names by class number; one name for a regression's value.
        encode: turns stored labels (N,) into int64 class numbers or float32 values.
    """

    class_names: list[str]
    encode: Callable[[Array], Array]


class Target(ABC):
    """Reads a label column and says what it means. Subclass it for another meaning."""

    @abstractmethod
    def read(self, source: FeatureSource, label: str) -> Array:
        """Return the label column as it is stored, checked."""

    def kept(self, values: Array) -> NDArray[np.bool_]:
        """Return which samples have this target; the others are left out of every part."""
        return np.ones(len(values), dtype=bool)

    @abstractmethod
    def coding(self, source: FeatureSource, label: str, train: Array, evaluation: Array) -> Coding:
        """Return what the labels become.

        Args:
            source: where they stand, for messages.
            label: their column, for messages.
            train: the stored labels of the training part.
            evaluation: those of the validation and test parts.

        Raises:
            ValueError: for labels that this target does not fit.
        """


class ClassTarget(Target):
    """The labels are classes, integers or strings.

    Args:
        classes: class name by label as it is stored, in the order of the class numbers; None
            takes the sorted labels themselves.

    Raises:
        ValueError: for two classes of one name.
    """

    def __init__(self, classes: dict[int | str, str] | None = None) -> None:
        if classes is not None and len(set(classes.values())) < len(classes):
            raise ValueError("classes: two classes have the same name")
        self.classes = classes

    def read(self, source: FeatureSource, label: str) -> Array:
        """Return a column of integers or strings."""
        return source.read_column(label)

    def coding(self, source: FeatureSource, label: str, train: Array, evaluation: Array) -> Coding:
        """Return the number of each label in the order of the classes; each has to train."""
        found = [str(value) for value in np.unique(np.concatenate([train, evaluation]))]
        labels = found if self.classes is None else [str(value) for value in self.classes]
        names = found if self.classes is None else list(self.classes.values())
        if outside := [value for value in found if value not in labels]:
            raise source.error(
                label,
                f"has labels outside `classes`: {', '.join(outside)}. It names "
                f"{', '.join(labels)}.",
            )
        number = {value: i for i, value in enumerate(labels)}

        def encode(values: Array) -> Array:
            return np.array([number[str(value)] for value in values], dtype=np.int64)

        count = np.bincount(encode(train), minlength=len(names))
        if (never := np.flatnonzero(count == 0)).size:
            raise source.error(
                label,
                f"has no training sample of class {', '.join(names[i] for i in never)}. Change "
                "the split, or drop the class from the data and from `classes`.",
            )
        return Coding(names, encode)


class RealTarget(Target):
    """The label is a real number to be predicted; one output, for ``cmkd.tasks.Regression``.

    Args:
        low: the smallest possible label.
        high: the largest.

    Raises:
        ValueError: for an empty range.
    """

    def __init__(self, low: float = -3.0, high: float = 3.0) -> None:
        if not low < high:
            raise ValueError(f"{type(self).__name__}: low has to be below high, got {low}, {high}")
        self.low, self.high = low, high

    def read(self, source: FeatureSource, label: str) -> Array:
        """Return a column of finite numbers in the range."""
        values = source.read_numbers(label)
        outside = np.flatnonzero((values < self.low) | (values > self.high))
        if outside.size:
            raise source.error(
                label,
                f"has {outside.size} labels outside [{self.low}, {self.high}], the first "
                f"{values[outside[0]]} in row {outside[0]}. Correct it, or the target's range.",
            )
        return values

    def coding(self, source: FeatureSource, label: str, train: Array, evaluation: Array) -> Coding:
        """Return the label itself as float32."""
        self._refuse_polarity(source, label, train, evaluation)
        return Coding(["value"], lambda values: values.astype(np.float32))

    def _refuse_polarity(
        self, source: FeatureSource, label: str, train: Array, evaluation: Array
    ) -> None:
        if self.low < 0 and is_polarity(train, evaluation):
            raise source.error(
                label,
                "holds nothing but 0 and 1, the polarity. Give the column of the real-valued "
                "label, or learn the polarity (PolarityTarget).",
            )


class RoundedTarget(RealTarget):
    """The label rounded to an integer is the class: -3 to 3 are the field's seven classes.

    Rounded as numpy and the field's scripts do, halves to the even neighbour.

    Args:
        low: the smallest possible label, an integer.
        high: the largest.

    Raises:
        ValueError: for a range that is empty or does not end on integers.
    """

    def __init__(self, low: int = -3, high: int = 3) -> None:
        super().__init__(low, high)
        self.classes = list(range(low, high + 1))

    def coding(self, source: FeatureSource, label: str, train: Array, evaluation: Array) -> Coding:
        """Return the rounded label, counted from ``low``."""
        self._refuse_polarity(source, label, train, evaluation)
        return Coding(
            [str(number) for number in self.classes],
            lambda values: np.round(values).astype(np.int64) - self.classes[0],
        )


class PolarityTarget(RealTarget):
    """The label's sign is the class: negative or not. Labels that are 0 and 1 are it already.

    Args:
        without_zeros: leave samples of label 0 out of every part, so that the classes are negative
            and positive; otherwise they are negative and non-negative.
        low: the smallest possible label.
        high: the largest.
    """

    def __init__(self, without_zeros: bool = False, low: float = -3.0, high: float = 3.0) -> None:
        super().__init__(low, high)
        self.without_zeros = without_zeros

    def kept(self, values: Array) -> NDArray[np.bool_]:
        """Return which labels are not 0, if those are left out."""
        kept: NDArray[np.bool_] = (values != 0) | (not self.without_zeros)
        return kept

    def coding(self, source: FeatureSource, label: str, train: Array, evaluation: Array) -> Coding:
        """Return 0 for negative labels and 1 for the others."""
        names = ["negative", "positive" if self.without_zeros else "non-negative"]
        if is_polarity(train, evaluation):
            return Coding(names, lambda values: values.astype(np.int64))
        if not ((train < 0).any() and (train >= 0).any()):
            raise source.error(
                label,
                "has training samples of one sign alone. Change the split; if it holds the "
                "polarity already, 0 and 1, set without_zeros to false.",
            )
        return Coding(names, lambda values: (values >= 0).astype(np.int64))


def is_polarity(train: Array, evaluation: Array) -> bool:
    """Return whether the labels are nothing but zeros and ones, some of each."""
    return set(np.unique(np.concatenate([train, evaluation])).tolist()) == {0.0, 1.0}
