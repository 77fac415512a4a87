"""Rows of a tensor in a file that several processes fill."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

#: Added to each checksum, so that the zeros of a row that was never written do not fit theirs.
_SALT = 0x5EED_CA4D
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class RowFile:
    """A memory-mapped tensor (rows, *shape) in a file, which processes of one machine share.

    Beside the rows stand their checksums. A row counts when its checksum fits: one that another
    process is just writing, or that a killed one left half written, is missing like one that was
    never written, and no lock is needed.

    Args:
        path: of the file of values, made when it is not there; the checksums' has ``.sums`` added.
        shape: of a row.
        dtype: of its numbers.
    """

    def __init__(self, path: Path, shape: Sequence[int], dtype: torch.dtype) -> None:
        self._path = path
        self._shape = tuple(shape)
        self._values = torch.empty(0, *self._shape, dtype=dtype)
        self._sums = torch.empty(0, dtype=torch.int64)

    def reserve(self, rows: int) -> None:
        """Make room for so many rows.

        Raises:
            OSError: when the disk has no room for them.
        """
        if rows <= len(self._sums):
            return
        sums = self._path.with_name(self._path.name + ".sums")
        self._values = _mapped(self._path, (rows, *self._shape), self._values.dtype)
        self._sums = _mapped(sums, (rows,), torch.int64)

    def read(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return copies of the values (B, *shape) of rows (B,), and (B,) bool, which are there."""
        values = self._values[rows]
        return values, self._sums[rows] == _checksums(values)

    def write(self, rows: Tensor, values: Tensor) -> None:
        """Write values (B, *shape) to rows (B,); of a row given twice the last one counts."""
        self._values[rows] = values
        self._sums[rows] = _checksums(values)


def _mapped(path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Map a file, which gets as long as it has to be; what it holds stays."""
    numbers = math.prod(shape)
    size = numbers * dtype.itemsize
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        # All of it now: writing to a mapped file that finds no room on the disk kills the process.
        if os.fstat(file).st_size < size:
            os.posix_fallocate(file, 0, size)
    except OSError as error:
        room = f"no room for {size / 2**20:.0f} MiB ({error.strerror})"
        raise OSError(error.errno, room, str(path)) from error
    finally:
        os.close(file)
    return torch.from_file(str(path), shared=True, size=numbers, dtype=dtype).view(shape)


def _checksums(values: Tensor) -> Tensor:
    """Return (B,) int64, the sum of the rows' bits."""
    # Not -1: there may be no row.
    flat = values.reshape(len(values), math.prod(values.shape[1:])).contiguous()
    return flat.view(_INTEGERS[values.dtype.itemsize]).sum(dim=1, dtype=torch.int64) + _SALT
