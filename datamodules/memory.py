"""Samples that are held in memory as tensors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmkd.batch import Batch
from datamodules.collate import Key, Sample, row_of


class MemoryRows:
    """The samples of one part.

    ``rows[i]`` is one sample; the loader asks for a whole batch at once, which costs one gather
    a modality instead of one Python call a sample and a stack. There is no augmentation, so the
    epoch in a training key changes nothing.

    Args:
        values: by modality, (M, ...) float32: what there is; several samples may share a row.
        place: by modality, (N,) int64: which row of the values a sample has.
        label: (N,) int64.
    """

    augments = False

    def __init__(
        self, values: Mapping[str, Tensor], place: Mapping[str, Tensor], label: Tensor
    ) -> None:
        self.values = dict(values)
        self.place = dict(place)
        self.label = label
        self.present = {name: torch.ones(len(label), dtype=torch.bool) for name in self.values}

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, key: Key) -> Sample:
        row = row_of(key)
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        batch = self.__getitems__([row])
        sample: Sample = {name: batch[name][0] for name in self.values}
        sample["label"], sample["index"] = int(batch["label"]), row
        sample["present"] = {name: bool(there) for name, there in batch["present"].items()}
        return sample

    def __getitems__(self, keys: Sequence[Key]) -> Batch:
        rows = torch.tensor([row_of(key) for key in keys])
        batch: Batch = {name: self._gather(name, rows) for name in self.values}
        batch["label"] = self.label[rows]
        batch["index"] = rows
        batch["present"] = {name: there[rows] for name, there in self.present.items()}
        return batch

    def all_labels(self) -> NDArray[Any]:
        """Return the labels of all samples (N,)."""
        labels: NDArray[Any] = self.label.numpy()
        return labels

    def keep_only(self, kept: Mapping[str, NDArray[np.bool_]]) -> None:
        """Make modality ``m`` of sample ``i`` absent where ``kept[m][i]`` is False."""
        for name, keeps in kept.items():
            self.present[name] = self.present[name] & torch.from_numpy(keeps)

    def _gather(self, name: str, rows: Tensor) -> Tensor:
        values, present = self.values[name][self.place[name][rows]], self.present[name][rows]
        values[~present] = 0
        return values
