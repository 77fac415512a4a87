"""One modality of a feature source, read and checked before a network sees it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray

from datamodules.feature_source import Array, FeatureSource, check_rows


@dataclass(frozen=True)
class Reading:
    """How the arrays say that something is missing; by default NaN and infinity are errors.

    Args:
        nan_rows_are_absent: a row of nothing but NaN says that the sample lacks this modality.
        zero_rows_are_absent: a row of nothing but zeros says so.
        infinity_is_zero: infinite numbers are read as 0 and counted in a message, as COVAREP's
            audio features have them.
        front_padded: sequences stand at the end of their rows, behind frames of zeros; they are
            moved to the front.
    """

    nan_rows_are_absent: bool = False
    zero_rows_are_absent: bool = False
    infinity_is_zero: bool = False
    front_padded: bool = False


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

    def blocks(self, rows: int = 1024) -> Iterator[tuple[slice, "Feature"]]:
        """Return the rows a few at a time, as views, for what needs more room than they do."""
        for start in range(0, len(self.values), rows):
            some = slice(start, start + rows)
            length = None if self.length is None else self.length[some]
            yield some, Feature(self.values[some], self.present[some], length)


def read_feature(
    source: FeatureSource,
    name: str,
    like: str,
    rows: NDArray[np.int64] | None = None,
    length: str | None = None,
    reading: Reading | None = None,
) -> Feature:
    """Read some rows of one modality and check every number that a network will see.

    Args:
        source: where it stands.
        name: its array, (N, D) or (N, L, D) numbers.
        like: a column that has to have N rows, the labels.
        rows: the rows wanted, None for all.
        length: column of the valid frames, (N,) integers in [1, L]; None: a sequence ends where
            only all-zero frames follow.
        reading: how the array says that something is missing.

    Raises:
        ValueError: wrong shape, type, number of rows or lengths; NaN or infinity in valid frames.
    """
    reading = reading or Reading()
    stored = source.read(name)
    if stored.dtype.kind not in "biuf":
        raise source.error(name, f"has type {stored.dtype}. Features have to be real numbers.")
    if stored.ndim not in (2, 3) or 0 in stored.shape[1:]:
        raise source.error(
            name,
            f"has shape {stored.shape}. Features are (N, D) vectors or (N, L, D) sequences.",
        )
    check_rows(source, name, len(stored), like)
    if length is not None and stored.ndim == 2:
        raise source.error(
            name, f"holds vectors, which have no '{length}'. Take it out of `lengths`."
        )
    if rows is None:
        rows = np.arange(len(stored))
    # A copy of these rows alone; a memory-mapped array is not read beyond them.
    values = np.array(stored[rows])
    present = _present(values, reading)
    if absent := int((~present).sum()):
        rank_zero_info(f"{source.where(name)} is absent in {absent} of {len(values)} rows")
    if reading.infinity_is_zero and (infinite := np.isinf(values)).any():
        values[infinite] = 0
        rank_zero_info(f"{source.where(name)} has {infinite.sum()} infinite numbers, read as 0")
    feature = Feature(values, present, None)
    if values.ndim == 3:
        if reading.front_padded:
            feature.values = values = _moved_to_the_front(values)
        feature.length = (
            _trailing_zero_length(source, name, feature, rows)
            if length is None
            else _stored_length(source, length, like, name, feature, rows)
        )
        values[~feature.valid()] = 0
    _check_finite(source, name, values, rows)
    return feature


def _present(values: Array, reading: Reading) -> NDArray[np.bool_]:
    """Return who has the modality, and write zeros where nobody does."""
    flat = values.reshape(len(values), -1)
    present: NDArray[np.bool_] = np.ones(len(values), dtype=bool)
    if reading.nan_rows_are_absent and values.dtype.kind == "f":
        present = np.logical_not(np.isnan(flat).all(axis=1))
        values[~present] = 0
    if reading.zero_rows_are_absent:
        present &= flat.any(axis=1)
    return present


def _moved_to_the_front(values: Array) -> Array:
    """Return sequences (N, L, D) with the zero frames before them behind them."""
    first = (values != 0).any(axis=2).argmax(axis=1)
    frames = (np.arange(values.shape[1]) + first[:, None]) % values.shape[1]
    moved: Array = np.take_along_axis(values, frames[:, :, None], axis=1)
    return moved


def _trailing_zero_length(
    source: FeatureSource, name: str, feature: Feature, rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    frames = (feature.values != 0).any(axis=2)
    after_last = frames.shape[1] - frames[:, ::-1].argmax(axis=1)
    length = np.where(frames.any(axis=1), after_last, 0)
    if (empty := np.flatnonzero((length == 0) & feature.present)).size:
        raise source.error(
            name,
            f"has {empty.size} sequences of nothing but zeros, the first in row {rows[empty[0]]}. "
            "Name a column of their `lengths`, or set reading.zero_rows_are_absent.",
        )
    # An absent sequence is one zero frame long: recurrent networks refuse a length of nought.
    return np.maximum(length, 1).astype(np.int64)


def _stored_length(
    source: FeatureSource,
    name: str,
    like: str,
    sequence: str,
    feature: Feature,
    rows: NDArray[np.int64],
) -> NDArray[np.int64]:
    column = source.read_column(name, like=like)
    if column.dtype.kind not in "iu":
        raise source.error(name, f"has type {column.dtype}. Lengths have to be integers.")
    length, longest = column[rows], feature.values.shape[1]
    wrong = np.flatnonzero(((length < 1) | (length > longest)) & feature.present)
    if wrong.size:
        raise source.error(
            name,
            f"has {wrong.size} lengths outside 1..{longest} (the frames of '{sequence}'), the "
            f"first {length[wrong[0]]} in row {rows[wrong[0]]}.",
        )
    return np.where(feature.present, length, 1).astype(np.int64)


def _check_finite(source: FeatureSource, name: str, values: Array, rows: NDArray[np.int64]) -> None:
    with np.errstate(over="ignore"):  # too large for float32 becomes infinity, reported below
        finite = np.isfinite(values.astype(np.float32, copy=False))
    bad = np.flatnonzero(~finite.reshape(len(values), -1).all(axis=1))
    if bad.size:
        raise source.error(
            name,
            f"has NaN or infinity in {bad.size} rows, the first is row {rows[bad[0]]}. Repair or "
            "drop them, or let `reading` say what they mean (nan_rows_are_absent, "
            "infinity_is_zero).",
        )
