"""A datamodule of random but learnable tensors, for any modality and shape."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from datamodules.base import CrossModalDataModule, Split


class FakeSet:
    """Class prototypes in noise, one tensor a modality; with windows a clip is several rows."""

    def __init__(
        self,
        shapes: dict[str, list[int]],
        samples: int,
        classes: int,
        absent_every: int,
        auxiliary: Sequence[str],
        seed: int,
        windows: int | None,
        regression: bool,
    ) -> None:
        self.windows, self.regression, self.classes = windows, regression, classes
        prototypes = torch.Generator().manual_seed(0)
        noise = torch.Generator().manual_seed(seed + 1)
        self.clip = torch.arange(samples).repeat_interleave(windows or 1)
        self.label = self.clip % classes
        rows = len(self.clip)
        self.values: dict[str, Tensor] = {}
        self.present: dict[str, Tensor] = {}
        for name, shape in shapes.items():
            centre = torch.randn(classes, *shape, generator=prototypes)
            values = centre[self.label] + torch.randn(rows, *shape, generator=noise)
            there = torch.ones(rows, dtype=torch.bool)
            if absent_every and name in auxiliary:
                there[::absent_every] = False
                values[~there] = 0
            self.values[name], self.present[name] = values, there

    def all_labels(self):
        return self.label.numpy()

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, key):
        row = key[0] if isinstance(key, tuple) else key
        sample = {name: values[row] for name, values in self.values.items()}
        label, sample["index"] = int(self.label[row]), int(self.clip[row])
        # Around zero, which is one of the values where the number of classes is odd.
        sample["label"] = label - (self.classes - 1) / 2 if self.regression else label
        if self.windows is not None:
            sample["window"] = row % self.windows
        sample["present"] = {name: bool(there[row]) for name, there in self.present.items()}
        return sample


class FakeData(CrossModalDataModule):
    def __init__(
        self,
        student_modalities: list[str],
        auxiliary_modalities: list[str],
        shapes: dict[str, list[int]],
        batch_size: int = 8,
        classes: int = 3,
        samples: int = 32,
        absent_every: int = 0,
        windows: int | None = None,
        regression: bool = False,
        **kwargs: Any,
    ) -> None:
        self.shapes = shapes
        super().__init__(student_modalities, auxiliary_modalities, batch_size=batch_size, **kwargs)
        self.class_names = ["value"] if regression else [f"class {c}" for c in range(classes)]
        self.classes = classes
        self.samples = samples
        self.absent_every = absent_every
        self.windows = windows
        self.regression = regression

    @property
    def offered_modalities(self):
        return list(self.shapes)

    def build_dataset(self, split: Split, modalities: list[str]):
        return FakeSet(
            {name: self.shapes[name] for name in modalities},
            self.samples,
            self.classes,
            self.absent_every,
            self.auxiliary_modalities,
            seed={"train": 0, "val": 1, "test": 2, "gallery": 0}[split],
            windows=None if split == "train" else self.windows,
            regression=self.regression,
        )
