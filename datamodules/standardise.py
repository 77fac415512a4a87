"""Zero mean and unit variance for every feature, learnt from the training rows alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datamodules.feature_arrays import Feature
from datamodules.feature_source import Array


@dataclass(frozen=True)
class Statistics:
    """What a modality's training part looks like.

    Attributes:
        mean: (D,) mean of each feature over the valid training vectors or frames.
        std: (D,) population standard deviation, 1 where the feature is constant.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    @classmethod
    def of(cls, feature: Feature) -> "Statistics":
        """Measure the valid vectors or frames of at least one row; absent rows are no data."""
        count = feature.valid().sum()
        width = feature.values.shape[-1]
        total, squares = np.zeros(width), np.zeros(width)
        for _, block in feature.blocks():
            total += block.values[block.valid()].sum(axis=0, dtype=np.float64)
        mean = total / count
        for _, block in feature.blocks():
            squares += ((block.values[block.valid()] - mean) ** 2).sum(axis=0)
        std = np.sqrt(squares / count)
        # Below float32's resolution a spread is rounding, and dividing by it would blow it up.
        constant = std <= np.finfo(np.float32).eps * np.abs(mean)
        return cls(mean, np.where(constant, 1.0, std))

    def apply(self, feature: Feature) -> Array:
        """Return the standardised values as float32, padding and absent rows still zero."""
        scaled = np.zeros(feature.values.shape, dtype=np.float32)
        for some, block in feature.blocks():
            valid = block.valid()
            scaled[some][valid] = (block.values[valid] - self.mean) / self.std
        return scaled
