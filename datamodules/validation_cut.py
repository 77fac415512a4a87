"""Which part of a feature file trains and which validates, where the file leaves it open."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datamodules.feature_groups import Groups, Part, draw_groups
from datamodules.feature_source import Array, FeatureSource


@dataclass(frozen=True)
class ValidationCut:
    r"""Cuts the validation part from the training part, where the file does not mark one.

    Args:
        fraction: how much of the training part, in (0, 1): of each class, or of the groups.
        group: column of groups, which validate or train as a whole; None draws single samples
            of each class (of all samples, where the label is a real number).
        pattern: regular expression whose first group finds the group's name in the column's
            strings, for example ``(.+)_\d+`` for the recording in ``recording_segment``.

    Raises:
        ValueError: for a fraction out of range, or a pattern without a column or a group.
    """

    fraction: float = 0.15
    group: str | None = None
    pattern: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.fraction < 1:
            raise ValueError(
                f"ValidationCut.fraction: has to be between 0 and 1, got {self.fraction}"
            )
        if self.pattern is not None and self.group is None:
            raise ValueError("ValidationCut.pattern: name the column to search in `group`")
        self._groups()

    def cut(
        self, source: FeatureSource, label: str, seed: int, train: Part, test: Part
    ) -> tuple[Part, Part]:
        """Return what still trains and what validates.

        Raises:
            ValueError: for a group that is in the training and in the test part.
        """
        groups = self._groups()
        if groups is None:
            is_val = self._draw_samples(source, label, seed, train)
        else:
            groups.check_apart(source, label, {"training": train, "test": test})
            is_val = draw_groups(groups.of(source, label, train), self.fraction, seed)
        return Part(train.suffix, train.rows[~is_val]), Part(train.suffix, train.rows[is_val])

    def _groups(self) -> Groups | None:
        return None if self.group is None else Groups(self.group, self.pattern)

    def _draw_samples(
        self, source: FeatureSource, label: str, seed: int, train: Part
    ) -> NDArray[np.bool_]:
        name = label + train.suffix
        if source.is_fractional(name):
            classes: Array = np.zeros(len(train.rows), dtype=np.int64)
        else:
            classes = source.read_column(name)[train.rows]
        return _draw_of_each_class(classes, self.fraction, seed)


def _draw_of_each_class(labels: Array, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Return which rows are drawn: a fraction of each class, and at least one of two."""
    rng = np.random.default_rng(seed)
    drawn = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        count = min(max(1, round(fraction * len(rows))), len(rows) - 1)
        drawn[rows[:count]] = True
    return drawn
