"""The samples of a feature file's part, as tensors in memory."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from cmkd.batch import Batch
from datamodules.collate import Key, Sample, row_of


class FeatureRows:
    """The samples of one part, as tensors.

    ``rows[i]`` is one sample; the loader asks for a whole batch at once, which costs one gather
    a modality instead of one Python call a sample and a stack. There is no augmentation, so the
    epoch in a training key changes nothing.

    Args:
        values: by modality, (N, D) or (N, L, D) float32.
        present: by modality, (N,) bool.
        length: by modality, (N,) int64 valid frames, only of sequences.
        label: (N,) int64 classes or float32 values.
    """

    augments = False

    def __init__(
        self,
        values: dict[str, Tensor],
        present: dict[str, Tensor],
        length: dict[str, Tensor],
        label: Tensor,
    ) -> None:
        self.values = values
        self.present = present
        self.length = length
        self.label = label

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, key: Key) -> Sample:
        row = row_of(key)
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        sample: Sample = {
            name: values[row, : self.length[name][row]] if name in self.length else values[row]
            for name, values in self.values.items()
        }
        sample["label"] = self.label[row].item()
        sample["index"] = row % len(self)
        sample["present"] = {name: bool(there[row]) for name, there in self.present.items()}
        if self.length:
            sample["length"] = {name: int(length[row]) for name, length in self.length.items()}
        return sample

    def __getitems__(self, keys: Sequence[Key]) -> Batch:
        rows = torch.tensor([row_of(key) for key in keys])
        batch: Batch = {name: values[rows] for name, values in self.values.items()}
        batch["label"] = self.label[rows]
        batch["index"] = rows
        batch["present"] = {name: there[rows] for name, there in self.present.items()}
        if self.length:
            batch["length"] = {name: length[rows] for name, length in self.length.items()}
            for name, length in batch["length"].items():
                batch[name] = batch[name][:, : int(length.max())]
        return batch

    def all_labels(self) -> NDArray[Any]:
        """Return the labels of all rows (N,)."""
        labels: NDArray[Any] = self.label.numpy()
        return labels

    def keep_only(self, kept: Mapping[str, NDArray[np.bool_]]) -> None:
        """Make modality ``m`` of row ``i`` absent where ``kept[m][i]`` is False.

        Args:
            kept: by modality, (N,) bool; those not named stay as they are.

        Raises:
            ValueError: for a modality that the rows do not hold, or a mask of another length.
        """
        for name, mask in kept.items():
            if name not in self.values:
                raise ValueError(
                    f"keep_only: there is no modality '{name}'; the rows hold "
                    f"{', '.join(self.values)}"
                )
            if mask.shape != (len(self),):
                raise ValueError(
                    f"keep_only: the mask of '{name}' has shape {mask.shape}, but there are "
                    f"{len(self)} rows"
                )
            dropped = ~torch.from_numpy(mask)
            self.values[name][dropped] = 0
            self.present[name] &= ~dropped
            if name in self.length:
                self.length[name][dropped] = 1

    @classmethod
    def joined(cls, parts: Sequence["FeatureRows"]) -> "FeatureRows":
        """Return the rows of several parts as one, sequences padded to the longest."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            {name: _stacked([part.values[name] for part in parts]) for name in parts[0].values},
            {name: torch.cat([part.present[name] for part in parts]) for name in parts[0].present},
            {name: torch.cat([part.length[name] for part in parts]) for name in parts[0].length},
            torch.cat([part.label for part in parts]),
        )


def _stacked(values: list[Tensor]) -> Tensor:
    if values[0].ndim == 3:
        longest = max(part.shape[1] for part in values)
        values = [pad(part, (0, 0, 0, longest - part.shape[1])) for part in values]
    return torch.cat(values)
