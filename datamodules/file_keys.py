"""Files by name, in tables that hold no names."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np


class FileKeys:
    """Names files relative to a folder, so that the data can be moved with its tables.

    Args:
        root: the folder; files outside of it keep their whole path.
    """

    def __init__(self, root: Path) -> None:
        self._prefix = f"{root}{os.sep}"

    def key(self, path: Path) -> str:
        """Return a file's name."""
        return str(path).removeprefix(self._prefix)


class KeyTable:
    """Finds the row of a name; 24 bytes a row, and nothing that a loader worker would copy.

    Args:
        keys: the names, row by row.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        halves = np.frombuffer(b"".join(map(_digest, keys)), np.uint64).reshape(-1, 2)
        # One half of a digest is sorted and searched, the other confirms.
        self._order = np.argsort(halves[:, 0])
        self._first, self._second = halves[self._order].T.copy()

    def __len__(self) -> int:
        return len(self._order)

    def row(self, key: str) -> int | None:
        """Return the row of a name, None where there is none."""
        first, second = np.frombuffer(_digest(key), np.uint64)
        place = int(np.searchsorted(self._first, first))
        while place < len(self) and self._first[place] == first:
            if self._second[place] == second:
                return int(self._order[place])
            place += 1
        return None


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=16).digest()
