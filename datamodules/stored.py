"""Reads features that were computed beforehand, a vector or sequence a clip."""

from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datamodules.clip_table import Clip
from datamodules.npz import ArrayFile
from datamodules.views import Timeline, View


class StoredFeatures:
    """Features by clip name, kept in memory: (D,) vectors or (L, D) sequences of one width.

    Args:
        arrays: by clip name.
        where: where they came from, for messages.

    Raises:
        ValueError: without any, or for widths that differ, or numbers that are not finite.
    """

    def __init__(self, arrays: dict[str, np.ndarray], where: Path) -> None:
        if not arrays:
            raise ValueError(f"{where}: there are no features of the clips asked for")
        self._values = {name: torch.from_numpy(v.astype(np.float32)) for name, v in arrays.items()}
        first = next(iter(self._values.values()))
        self.is_sequence = first.ndim == 2
        self.width = first.shape[-1]
        for name, value in self._values.items():
            if value.ndim not in (1, 2) or (value.ndim, value.shape[-1]) != (
                first.ndim,
                self.width,
            ):
                raise ValueError(
                    f"{where}: the features of {name} have shape {tuple(value.shape)}, those of "
                    f"{next(iter(self._values))} {tuple(first.shape)}; all need one width"
                )
            if not value.isfinite().all():
                raise ValueError(f"{where}: the features of {name} hold NaN or infinity; repair it")

    @staticmethod
    def of_folder(folder: Path, files: Iterable[tuple[str, Path]]) -> "StoredFeatures":
        """Read ``.npy`` files, given as (clip name, path); those that are not there are absent."""
        arrays = {}
        for name, path in files:
            if not path.is_file():
                continue
            try:
                arrays[name] = np.load(path, allow_pickle=False)
            except (ValueError, EOFError) as error:
                raise ValueError(
                    f"{path}: not a .npy file of numbers ({error}); replace it"
                ) from error
        return StoredFeatures(arrays, folder)

    @staticmethod
    def of_npz(
        path: Path, array: str, clip: str, name_of: Callable[[str], str]
    ) -> "StoredFeatures":
        """Read one array of an ``.npz`` file, a row a clip.

        Args:
            path: the file.
            array: the features' name in it, (N, D) or (N, L, D).
            clip: the name of the array of clip names, (N,).
            name_of: turns such a name into the clip's.
        """
        file = ArrayFile(str(path))
        names = file.read_column(clip, like=array)
        return StoredFeatures(
            dict(zip(map(name_of, names.tolist()), file.read(array), strict=True)), path
        )

    def get(self, name: str) -> Tensor | None:
        """Return a clip's features, None where there are none."""
        return self._values.get(name)


class StoredReader:
    """Reads features by the clip's name; a window does not change them.

    Args:
        load: reads the features; called when the first is needed, so that a test of a student
            that does not see them needs no file.
    """

    def __init__(self, load: Callable[[], StoredFeatures]) -> None:
        self._load = load

    @cached_property
    def features(self) -> StoredFeatures:
        """Return all features."""
        return self._load()

    @property
    def is_sequence(self) -> bool:
        """Return whether the features are sequences."""
        return self.features.is_sequence

    def has(self, clip: Clip) -> bool:
        """Return whether there are features of the clip."""
        return self.features.get(clip.name) is not None

    def timeline(self, clip: Clip) -> Timeline | None:  # noqa: ARG002
        """Return None: features do not pass in time."""
        return None

    def read(self, clip: Clip, view: View) -> Tensor | None:  # noqa: ARG002
        """Return the clip's features, None where there are none."""
        return self.features.get(clip.name)

    def blank(self) -> Tensor:
        """Return zeros (D,), or (1, D) of a sequence."""
        return torch.zeros((1, self.features.width) if self.is_sequence else self.features.width)
