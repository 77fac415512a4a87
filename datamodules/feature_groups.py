"""Groups of samples that belong together: speakers, actors, recordings, source videos."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datamodules.feature_source import Array, FeatureSource


@dataclass(frozen=True)
class Part:
    """Some rows of the columns and arrays whose names end in ``suffix``."""

    suffix: str
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class Groups:
    r"""Finds the group of each sample.

    Args:
        column: column of the groups.
        pattern: regular expression whose first group finds the group's name in the column's
            strings, for example ``(.+)_\d+`` for the recording in ``recording_segment``.

    Raises:
        ValueError: for a pattern without a group.
    """

    column: str
    pattern: str | None = None

    def __post_init__(self) -> None:
        if self.pattern is not None and re.compile(self.pattern).groups != 1:
            raise ValueError(
                f"pattern: '{self.pattern}' needs one pair of parentheses, around the group's name"
            )

    def of(self, source: FeatureSource, label: str, part: Part) -> Array:
        """Return the name of each row's group, (rows,) strings.

        Raises:
            ValueError: for a string in which the pattern finds nothing.
        """
        name = self.column + part.suffix
        groups = source.read_column(name, like=label + part.suffix).astype(str)[part.rows]
        if self.pattern is None:
            return groups
        found = [re.search(self.pattern, text) for text in groups]
        if None in found:
            raise source.error(
                name,
                f"has '{groups[found.index(None)]}', in which the pattern '{self.pattern}' finds "
                "no group.",
            )
        return np.array([match[1] for match in found if match is not None], dtype=str)

    def check_apart(self, source: FeatureSource, label: str, parts: dict[str, Part]) -> None:
        """Check that no group stands in two parts.

        Args:
            source: the feature file.
            label: name of the label column, without suffix.
            parts: the parts by what they are called.

        Raises:
            ValueError: for a group in two parts; names it.
        """
        home: dict[str, str] = {}
        for called, part in parts.items():
            groups = names_in_order(self.of(source, label, part))
            if both := [group for group in groups if group in home]:
                raise source.error(
                    self.column + part.suffix,
                    f"has groups in the {home[both[0]]} and in the {called} part: "
                    f"{', '.join(both[:5])}. A group belongs to one part.",
                )
            home |= dict.fromkeys(groups, called)


def names_in_order(values: Iterable[str]) -> list[str]:
    """Return the different names sorted, numbers in their own order: 2 before 10."""
    return sorted({str(value) for value in values}, key=lambda value: (len(value), value))


def draw_groups(groups: Array, amount: int | float, seed: int) -> NDArray[np.bool_]:
    """Return which rows belong to the drawn groups: so many, or a fraction, at least one."""
    names = np.array(names_in_order(groups), dtype=str)
    count = amount if isinstance(amount, int) else max(1, round(amount * len(names)))
    drawn = np.random.default_rng(seed).permutation(names)[:count]
    return np.isin(groups, drawn)
