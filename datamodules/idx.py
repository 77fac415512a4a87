"""Checked reading of MNIST's idx files, plain or gzipped.

The format: two zero bytes, the type of the values, the number of dimensions, each dimension as a
big-endian 32-bit number, then the values (Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST
Database of Handwritten Digits", 1998).
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_BYTES = 0x08  # the type code of unsigned bytes, the only one MNIST and its kin use


def read_digit_images(folder: Path, name: str) -> NDArray[np.uint8]:
    """Read the images of a set of MNIST.

    Args:
        folder: where the files are.
        name: of the set, ``train`` or ``t10k``: the files are ``<name>-images-idx3-ubyte`` and
            ``<name>-labels-idx1-ubyte``, with ``.gz`` or without.

    Returns:
        (N, H, W) grey values.

    Raises:
        FileNotFoundError: when a file is not there.
        ValueError: for a file that is no such idx file or damaged, or two that do not match.
    """
    path = _find(folder, f"{name}-images", 3)
    images, digits = read_idx(path, dimensions=3), read_digits(folder, name)
    if len(images) != len(digits):
        raise ValueError(
            f"{path} holds {len(images)} images, but there are {len(digits)} labels beside it; "
            "take both files of one set"
        )
    return images


def read_digits(folder: Path, name: str) -> NDArray[np.int64]:
    """Read the labels of a set of MNIST, (N,) digits from 0 to 9; see ``read_digit_images``."""
    path = _find(folder, f"{name}-labels", 1)
    digits = read_idx(path, dimensions=1)
    if not len(digits) or digits.max() > 9:
        raise ValueError(f"{path}: there is no label, or one that is no digit from 0 to 9")
    return digits.astype(np.int64)


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an idx file of unsigned bytes.

    Args:
        path: the file; gzipped if its name ends in ``.gz``.
        dimensions: how many it must have.

    Raises:
        ValueError: for anything else in the file than its header promises.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise _error(path, f"does not unpack ({error})") from error
    start = 4 + 4 * dimensions
    if len(raw) < start or raw[:2] != b"\0\0":
        raise _error(path, "is no idx file, or ends within its header")
    if raw[2] != _BYTES or raw[3] != dimensions:
        raise _error(
            path,
            f"has values of type 0x{raw[2]:02x} in {raw[3]} dimensions, not unsigned bytes (0x08) "
            f"in {dimensions}",
        )
    shape = struct.unpack(f">{dimensions}I", raw[4:start])
    if len(raw) - start != math.prod(shape):
        raise _error(
            path,
            f"promises {' x '.join(map(str, shape))} values, but {len(raw) - start} bytes follow",
        )
    return np.frombuffer(raw, dtype=np.uint8, offset=start).reshape(shape)


def _find(folder: Path, stem: str, dimensions: int) -> Path:
    names = [f"{stem}{dot}idx{dimensions}-ubyte{suffix}" for dot in "-." for suffix in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"{folder / names[0]} is not there, gzipped (.gz) neither; fetch MNIST's files, or name "
        "another set"
    )


def _error(path: Path, problem: str) -> ValueError:
    return ValueError(f"{path} {problem}; fetch it again")
