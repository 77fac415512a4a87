"""From decoded frames to the network's input: crop, flip, normalise."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

#: Channel statistics of Kinetics-400, those of torchvision's video weights.
KINETICS_MEAN = (0.43216, 0.394666, 0.37645)
KINETICS_STD = (0.22803, 0.22145, 0.216989)


def random_crop(frames: Tensor, size: int, rng: np.random.Generator) -> Tensor:
    """Cut the same random square from all frames (T, H, W, 3) and flip it half of the time."""
    height, width = frames.shape[1:3]
    top = int(rng.integers(height - size + 1))
    left = int(rng.integers(width - size + 1))
    crop = frames[:, top : top + size, left : left + size]
    return crop.flip(2) if rng.random() < 0.5 else crop


def center_crop(frames: Tensor, size: int) -> Tensor:
    """Cut the square in the middle of all frames (T, H, W, 3)."""
    height, width = frames.shape[1:3]
    top, left = (height - size) // 2, (width - size) // 2
    return frames[:, top : top + size, left : left + size]


def normalize(frames: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Turn (T, H, W, 3) uint8 into (3, T, H, W) float32, scaled to [0, 1] and standardised."""
    video = frames.permute(3, 0, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    shape = (3, 1, 1, 1)
    return video.div_(255).sub_(torch.tensor(mean).view(shape)).div_(torch.tensor(std).view(shape))
