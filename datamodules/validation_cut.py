"""Which part of a feature file trains and which validates, where the file leaves it open."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datamodules.npz import Array, ArrayFile


@dataclass(frozen=True)
class Part:
    """Some rows of the arrays whose names end in ``suffix``."""

    suffix: str
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class ValidationCut:
    r"""Cuts the validation part from the training part, where the file does not mark one.

    Args:
        fraction: how much of the training part, in (0, 1): of each class, or of the groups.
        group: array of groups, which validate or train as a whole; None draws single samples
            of each class.
        pattern: regular expression whose first group finds the group's name in the array's
            strings, for example ``(.+)_\d+`` for the recording in ``recording_segment``.

    Raises:
        ValueError: for a fraction out of range, or a pattern without an array or a group.
    """

    fraction: float = 0.15
    group: str | None = None
    pattern: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.fraction < 1:
            raise ValueError(
                f"ValidationCut.fraction: has to be between 0 and 1, got {self.fraction}"
            )
        if self.pattern is None:
            return
        if self.group is None:
            raise ValueError("ValidationCut.pattern: name the array to search in `group`")
        if re.compile(self.pattern).groups != 1:
            raise ValueError(
                f"ValidationCut.pattern: '{self.pattern}' needs one pair of parentheses, around "
                "the group's name"
            )

    def cut(
        self, file: ArrayFile, label: str, seed: int, train: Part, test: Part
    ) -> tuple[Part, Part]:
        """Return what still trains and what validates.

        Raises:
            ValueError: for a group that is in the training and in the test part.
        """
        if self.group is None:
            labels = file.read_column(label + train.suffix)[train.rows]
            is_val = _draw_of_each_class(labels, self.fraction, seed)
        else:
            groups = self._groups(file, label, self.group, train)
            both = np.intersect1d(groups, self._groups(file, label, self.group, test))
            if both.size:
                raise file.error(
                    self.group + train.suffix,
                    f"has groups in the training and in the test part: {', '.join(both[:5])}. "
                    "A group belongs to one part.",
                )
            is_val = draw_groups(groups, self.fraction, seed)
        return Part(train.suffix, train.rows[~is_val]), Part(train.suffix, train.rows[is_val])

    def _groups(self, file: ArrayFile, label: str, group: str, part: Part) -> Array:
        name = group + part.suffix
        groups = file.read_column(name, like=label + part.suffix).astype(str)[part.rows]
        if self.pattern is None:
            return groups
        found = [re.search(self.pattern, text) for text in groups]
        if None in found:
            raise file.error(
                name,
                f"has '{groups[found.index(None)]}', in which the pattern '{self.pattern}' finds "
                "no group.",
            )
        return np.array([match[1] for match in found if match is not None], dtype=str)


def names_in_order(values: Iterable[str]) -> list[str]:
    """Return the different names sorted, numbers in their own order: 2 before 10."""
    return sorted({str(value) for value in values}, key=lambda value: (len(value), value))


def draw_groups(groups: Array, amount: int | float, seed: int) -> NDArray[np.bool_]:
    """Return which rows belong to the drawn groups: so many, or a fraction, at least one."""
    names = np.array(names_in_order(groups), dtype=str)
    count = amount if isinstance(amount, int) else max(1, round(amount * len(names)))
    drawn = np.random.default_rng(seed).permutation(names)[:count]
    return np.isin(groups, drawn)


def _draw_of_each_class(labels: Array, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Return which rows are drawn: a fraction of each class, and at least one of two."""
    rng = np.random.default_rng(seed)
    drawn = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        count = min(max(1, round(fraction * len(rows))), len(rows) - 1)
        drawn[rows[:count]] = True
    return drawn
