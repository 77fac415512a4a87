"""Checked reading of ``.npz`` files: every complaint names the file, the array and the remedy."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.feature_source import Array, FeatureSource, check_finite, check_rows


class ArrayFile(FeatureSource):
    """The named arrays of one ``.npz`` file, read one at a time and never unpickled.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: the file is no ``.npz`` archive.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.path}: no such file. Give the path of an .npz file.")
        if not zipfile.is_zipfile(self.path):
            raise ValueError(
                f"{self.path}: not an .npz archive, or cut short. Write it with numpy.savez."
            )
        with np.load(self.path, allow_pickle=False) as archive:
            self.names = sorted(archive.files)

    def where(self, name: str) -> str:
        """Return the file and the array, for a message."""
        return f"{self.path}: array '{name}'"

    def read(self, name: str) -> Array:
        """Return one array as it is stored.

        Raises:
            ValueError: there is no such array, it holds Python objects, or it is damaged.
        """
        if name not in self.names:
            raise self.error(name, f"is not in the file, which has {', '.join(self.names)}.")
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                array = archive[name]
        except (zipfile.BadZipFile, zlib.error, EOFError) as broken:
            raise self.error(name, f"is damaged ({broken}). Write the file anew.") from broken
        except ValueError as refused:
            raise self.error(
                name,
                f"cannot be read ({refused}). Nothing is unpickled here, as that could run code: "
                "store numbers or fixed-width strings.",
            ) from refused
        if not isinstance(array, np.ndarray):
            raise self.error(name, "is no array. Write the file with numpy.savez.")
        return array

    def rows(self, name: str) -> int:
        """Return the number of rows of an array."""
        return len(self.read(name))

    def read_column(self, name: str, like: str | None = None) -> Array:
        """Return a 1-D array of integers or strings; see ``FeatureSource.read_column``."""
        column = self.stored_column(name)
        if column.ndim != 1 or column.dtype.kind not in "biuUS":
            raise self.error(
                name,
                f"has shape {column.shape} and type {column.dtype}; one integer or string "
                "a row is needed.",
            )
        if like is not None:
            check_rows(self, name, len(column), like)
        if column.dtype.kind == "S":
            column = np.char.decode(column, "utf-8")
        return column.astype(np.int64) if column.dtype.kind == "b" else column

    def read_numbers(self, name: str) -> NDArray[np.float64]:
        """Return a 1-D array of real numbers; see ``FeatureSource.read_numbers``."""
        column = self.stored_column(name)
        if column.ndim != 1 or column.dtype.kind not in "biuf":
            raise self.error(
                name,
                f"has shape {column.shape} and type {column.dtype}; one real number a row is "
                "needed.",
            )
        numbers = column.astype(np.float64)
        check_finite(self, name, numbers)
        return numbers

    def is_fractional(self, name: str) -> bool:
        """Return whether an array holds floating-point numbers."""
        return self.stored_column(name).dtype.kind == "f"

    def stored_column(self, name: str) -> Array:
        """Return the array that holds a column; a subclass may know other shapes than (N,)."""
        return self.read(name)
