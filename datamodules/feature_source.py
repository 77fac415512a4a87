"""Where features and their columns stand: what an ``.npz`` file and a CSV with ``.npy`` share."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]


class FeatureSource(ABC):
    """Feature arrays and columns by name, a row a sample.

    Every complaint names the file and the array or column.

    Attributes:
        path: the file, or the one that holds the columns.
        names: names of the columns (and of the arrays, where they stand in the same file).
    """

    path: Path
    names: list[str]

    @abstractmethod
    def where(self, name: str) -> str:
        """Return the file and the array or column, for a message."""

    def error(self, name: str, problem: str) -> ValueError:
        """Return an error about one array or column, for the caller to raise."""
        return ValueError(f"{self.where(name)} {problem}")

    @abstractmethod
    def read(self, name: str) -> Array:
        """Return one feature array as it is stored, not to be written to.

        Raises:
            ValueError: it is not there or cannot be read.
        """

    @abstractmethod
    def rows(self, name: str) -> int:
        """Return the number of rows of a column."""

    @abstractmethod
    def read_column(self, name: str, like: str | None = None) -> Array:
        """Return a column of integers or strings: labels, groups, splits.

        Args:
            name: the column.
            like: a column that has to have as many rows.

        Raises:
            ValueError: it is not there, holds something else, or has another number of rows.
        """

    @abstractmethod
    def read_numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column of real numbers, the label of a regression.

        Raises:
            ValueError: it is not there, or holds anything that is no finite number.
        """

    @abstractmethod
    def is_fractional(self, name: str) -> bool:
        """Return whether a column holds real numbers that are not all stored as integers."""


def check_rows(source: FeatureSource, name: str, rows: int, like: str) -> None:
    """Raise the error of an array or column that has not as many rows as another."""
    if rows != (wanted := source.rows(like)):
        raise source.error(
            name, f"has {rows} rows, but '{like}' has {wanted}. Both need one a sample."
        )


def check_finite(source: FeatureSource, name: str, column: NDArray[np.float64]) -> None:
    """Raise the error of a column of numbers with NaN or infinity in it."""
    if (bad := np.flatnonzero(~np.isfinite(column))).size:
        raise source.error(
            name,
            f"has NaN or infinity in {bad.size} rows, the first is row {bad[0]}. Repair or drop "
            "them.",
        )
