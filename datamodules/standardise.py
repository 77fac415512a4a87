"""Zero mean and unit variance for every feature, learnt from the training rows alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datamodules.npz import Array, Feature


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
        vectors = feature.values[feature.valid()].astype(np.float64)
        mean = vectors.mean(axis=0)
        std = vectors.std(axis=0)
        # Below float32's resolution a spread is rounding, and dividing by it would blow it up.
        constant = std <= np.finfo(np.float32).eps * np.abs(mean)
        return cls(mean, np.where(constant, 1.0, std))

    def apply(self, feature: Feature) -> Array:
        """Return the standardised values as float32, padding and absent rows still zero."""
        scaled = (feature.values.astype(np.float64) - self.mean) / self.std
        kept: Array = np.where(feature.valid()[..., None], scaled, 0.0).astype(np.float32)
        return kept
