"""Features in ``.npy`` files, with the columns that belong to their rows in a CSV file."""

import csv
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.feature_source import Array, FeatureSource, check_finite, check_rows
from datamodules.npz import ArrayFile

# 007 is a name and no number: it would not find its way back.
_INTEGER = re.compile(r"0|-?[1-9]\d{0,17}")


class TableFiles(FeatureSource):
    """A CSV file with a header and a line a sample, and ``.npy`` files with a row a line.

    The CSV is UTF-8 with commas; a byte order mark, Windows line ends, blank lines and spaces
    around the cells do no harm. An array's name is the path of its ``.npy`` file, relative to the
    CSV's folder; it is mapped into memory, so that only the rows in use are read.

    Args:
        path: the CSV file.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: no header, a column named twice, or lines of another length than the header.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.path}: no such file. Give the path of a CSV file.")
        lines = self._lines()
        if not lines:
            raise ValueError(f"{self.path}: empty. The first line has to name the columns.")
        (_, self.names), *body = lines
        self._check_header()
        for number, cells in body:
            if len(cells) != len(self.names):
                raise ValueError(
                    f"{self.path}: line {number} has {len(cells)} cells, but the header has "
                    f"{len(self.names)}. Put cells that contain a comma into double quotes."
                )
        self._line_numbers = [number for number, _ in body]
        self._cells = {
            name: [cells[column] for _, cells in body] for column, name in enumerate(self.names)
        }

    def where(self, name: str) -> str:
        """Return the CSV file and the column, or the ``.npy`` file, for a message."""
        if name.endswith(".npy") and name not in self.names:
            return f"{self.path.parent / name}: the array"
        return f"{self.path}: column '{name}'"

    def read(self, name: str) -> Array:
        """Return one ``.npy`` file, mapped into memory.

        Raises:
            FileNotFoundError: it is not there.
            ValueError: it holds Python objects, is damaged or no ``.npy`` file.
        """
        path = self.path.parent / name
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: no such file. With a CSV file, `arrays` gives the path of an .npy file "
                f"by modality, relative to the folder of {self.path.name}."
            )
        try:
            # A memory map of an object array, and an empty or a cut file, are refused as well.
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OSError) as refused:
            raise ValueError(
                f"{path}: array cannot be read ({refused}). Nothing is unpickled here: write "
                "numbers with numpy.save, and write the file anew if it was cut short."
            ) from refused
        if not isinstance(array, np.ndarray):
            array.close()
            raise ValueError(f"{path}: not an .npy file. Write one array with numpy.save.")
        return array

    def rows(self, name: str) -> int:
        """Return the number of lines of the CSV file, all columns have as many."""
        return len(self._column(name))

    def read_column(self, name: str, like: str | None = None) -> Array:
        """Return a column of integers, if all cells are, or of strings."""
        cells = self._column(name)
        if like is not None:
            check_rows(self, name, len(cells), like)
        if all(map(_INTEGER.fullmatch, cells)):
            return np.array(cells, dtype=np.int64)
        return np.array(cells, dtype=str)

    def read_numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column of real numbers; see ``FeatureSource.read_numbers``."""
        cells = self._column(name)
        for line, cell in zip(self._line_numbers, cells, strict=True):
            if not _is_number(cell):
                raise self.error(
                    name, f"has '{cell}' in line {line}. One real number a line is needed."
                )
        numbers = np.array(cells, dtype=np.float64)
        check_finite(self, name, numbers)
        return numbers

    def is_fractional(self, name: str) -> bool:
        """Return whether all cells are numbers, but not all of them integers."""
        cells = self._column(name)
        return all(map(_is_number, cells)) and not all(map(_INTEGER.fullmatch, cells))

    def _column(self, name: str) -> list[str]:
        if name not in self._cells:
            raise self.error(name, f"is not in the file, which has {', '.join(self.names)}.")
        cells = self._cells[name]
        if "" in cells:
            raise self.error(
                name, f"is empty in line {self._line_numbers[cells.index('')]}. Fill it in."
            )
        return cells

    def _lines(self) -> list[tuple[int, list[str]]]:
        """Return the lines that are not blank, each with its number, cells stripped."""
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file, strict=True)
                lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
        except (UnicodeDecodeError, csv.Error) as refused:
            raise ValueError(
                f"{self.path}: not a CSV file ({refused}). Save it as CSV in UTF-8."
            ) from refused
        return [(number, cells) for number, cells in lines if cells not in ([], [""])]

    def _check_header(self) -> None:
        if len(self.names) == 1 and (found := re.search(r"[;\t|]", self.names[0])):
            raise ValueError(
                f"{self.path}: the cells are separated by {found[0]!r}. Save it with commas."
            )
        named = [name for name in self.names if name]
        if twice := sorted({name for name in named if named.count(name) > 1}):
            raise ValueError(f"{self.path}: the header names {', '.join(twice)} more than once.")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def open_features(path: str) -> FeatureSource:
    """Open an ``.npz`` file, or a CSV file with ``.npy`` files beside it.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: it is neither.
    """
    return TableFiles(path) if Path(path).suffix.lower() == ".csv" else ArrayFile(path)
