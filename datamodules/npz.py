"""Checked reading of ``.npz`` files: every complaint names the file, the array and the remedy."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class ArrayFile:
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
            self.names: list[str] = sorted(archive.files)

    def error(self, name: str, problem: str) -> ValueError:
        """Return an error about one array, for the caller to raise."""
        return ValueError(f"{self.path}: array '{name}' {problem}")

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

    def read_column(self, name: str, like: str | None = None) -> Array:
        """Return a 1-D array of integers or strings: labels, groups, splits.

        Args:
            name: the array.
            like: an array that has to have as many rows.
        """
        column = self.read(name)
        if column.ndim != 1 or column.dtype.kind not in "biuUS":
            raise self.error(
                name,
                f"has shape {column.shape} and type {column.dtype}; one integer or string "
                "a row is needed.",
            )
        if like is not None and len(column) != (rows := len(self.read(like))):
            raise self.error(
                name, f"has {len(column)} rows, but '{like}' has {rows}. Both need one a sample."
            )
        if column.dtype.kind == "S":
            column = np.char.decode(column, "utf-8")
        return column.astype(np.int64) if column.dtype.kind == "b" else column


@dataclass
class Feature:
    """One modality's rows as they are stored, checked.

    Attributes:
        values: (N, D) vectors or (N, L, D) sequences, zeros where there is nothing.
        present: (N,) bool, rows that have this modality.
        length: (N,) valid frames of sequences, None for vectors.
    """

    values: Array
    present: NDArray[np.bool_]
    length: NDArray[np.int64] | None

    def valid(self) -> NDArray[np.bool_]:
        """Return which vectors are real: (N,) of vectors, (N, L) frames of sequences."""
        if self.length is None:
            return self.present
        frames: NDArray[np.bool_] = np.arange(self.values.shape[1]) < self.length[:, None]
        return frames & self.present[:, None]

    def take(self, rows: NDArray[np.int64]) -> "Feature":
        """Return some rows."""
        length = None if self.length is None else self.length[rows]
        return Feature(self.values[rows], self.present[rows], length)


def read_feature(
    file: ArrayFile,
    name: str,
    like: str,
    length: str | None = None,
    nan_rows_are_absent: bool = False,
) -> Feature:
    """Read one modality and check every number that a network will see.

    Args:
        file: where it stands.
        name: its array, (N, D) or (N, L, D) numbers.
        like: an array that has to have N rows, the labels.
        length: array of the valid frames, (N,) integers in [1, L]; None: a sequence ends where
            only all-zero frames follow.
        nan_rows_are_absent: a row of nothing but NaN says that the sample lacks this modality.

    Raises:
        ValueError: wrong shape, type, number of rows or lengths; NaN or infinity in valid frames.
    """
    values = file.read(name)
    if values.dtype.kind not in "biuf":
        raise file.error(name, f"has type {values.dtype}. Features have to be real numbers.")
    if values.ndim not in (2, 3) or 0 in values.shape[1:]:
        raise file.error(
            name,
            f"has shape {values.shape}. Features are (N, D) vectors or (N, L, D) sequences.",
        )
    if len(values) != (rows := len(file.read(like))):
        raise file.error(
            name, f"has {len(values)} rows, but '{like}' has {rows}. Both need one a sample."
        )
    if length is not None and values.ndim == 2:
        raise file.error(
            name, f"holds vectors, which have no '{length}'. Take it out of `lengths`."
        )
    present: NDArray[np.bool_] = np.ones(len(values), dtype=bool)
    if nan_rows_are_absent and values.dtype.kind == "f":
        present = np.logical_not(np.isnan(values).reshape(len(values), -1).all(axis=1))
        values[~present] = 0
    feature = Feature(values, present, None)
    if values.ndim == 3:
        feature.length = (
            _trailing_zero_length(file, name, feature)
            if length is None
            else _stored_length(file, length, name, feature)
        )
        values[~feature.valid()] = 0
    _check_finite(file, name, values)
    return feature


def _trailing_zero_length(file: ArrayFile, name: str, feature: Feature) -> NDArray[np.int64]:
    frames = (feature.values != 0).any(axis=2)
    after_last = frames.shape[1] - frames[:, ::-1].argmax(axis=1)
    length = np.where(frames.any(axis=1), after_last, 0)
    if (empty := np.flatnonzero((length == 0) & feature.present)).size:
        raise file.error(
            name,
            f"has {empty.size} sequences of nothing but zeros, the first in row {empty[0]}. "
            "Name an array of their `lengths`, or write NaN there and set nan_rows_are_absent.",
        )
    # An absent sequence is one zero frame long: recurrent networks refuse a length of nought.
    return np.maximum(length, 1).astype(np.int64)


def _stored_length(
    file: ArrayFile, name: str, sequence: str, feature: Feature
) -> NDArray[np.int64]:
    length = file.read_column(name, like=sequence)
    if length.dtype.kind not in "iu":
        raise file.error(name, f"has type {length.dtype}. Lengths have to be integers.")
    longest = feature.values.shape[1]
    wrong = np.flatnonzero(((length < 1) | (length > longest)) & feature.present)
    if wrong.size:
        raise file.error(
            name,
            f"has {wrong.size} lengths outside 1..{longest} (the frames of '{sequence}'), the "
            f"first {length[wrong[0]]} in row {wrong[0]}.",
        )
    return np.where(feature.present, length, 1).astype(np.int64)


def _check_finite(file: ArrayFile, name: str, values: Array) -> None:
    with np.errstate(over="ignore"):  # too large for float32 becomes infinity, reported below
        finite = np.isfinite(values.astype(np.float32))
    bad = np.flatnonzero(~finite.reshape(len(values), -1).all(axis=1))
    if bad.size:
        raise file.error(
            name,
            f"has NaN or infinity in {bad.size} rows, the first is row {bad[0]}. Repair or drop "
            "them; if rows of nothing but NaN mean that the modality is missing, set "
            "nan_rows_are_absent.",
        )
