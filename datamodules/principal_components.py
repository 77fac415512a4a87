"""Images with all but their leading principal components removed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]


@dataclass(frozen=True)
class PrincipalComponents:
    """A projection of images onto their leading principal components.

    Attributes:
        mean: (H * W,) mean image.
        directions: (H * W, K) orthonormal.
        kept: share of the variance that they hold.
    """

    mean: NDArray[np.float32]
    directions: NDArray[np.float32]
    kept: float

    @classmethod
    def of(cls, images: Images, removed: float) -> "PrincipalComponents":
        """Fit to images (N, H, W): the fewest that hold ``1 - removed`` of the variance."""
        flat = images.reshape(len(images), -1)
        mean = flat.mean(axis=0)
        centred = flat - mean
        # The covariance is exact enough in single precision, and 60,000 images are large in double.
        variance, directions = np.linalg.eigh((centred.T @ centred).astype(np.float64))
        share = np.cumsum(variance[::-1]) / variance.sum()
        count = int(np.searchsorted(share, 1 - removed)) + 1
        kept = directions[:, ::-1][:, :count].astype(np.float32)
        return cls(mean, kept, float(share[count - 1]))

    def apply(self, images: Images) -> Images:
        """Return images (N, H, W) of which nothing is left but these components."""
        flat = images.reshape(len(images), -1) - self.mean
        projected = self.mean + flat @ self.directions @ self.directions.T
        return np.asarray(projected, dtype=np.float32).reshape(images.shape)
