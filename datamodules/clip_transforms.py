"""From decoded frames to the network's input: crop, flip, normalise."""

from collections.abc import Sequence

import torch
from torch import Tensor

#: Channel statistics of Kinetics-400, those of torchvision's video weights.
KINETICS_MEAN = (0.43216, 0.394666, 0.37645)
KINETICS_STD = (0.22803, 0.22145, 0.216989)
#: Channel statistics of ImageNet, those of torchvision's image weights.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def crop(frames: Tensor, size: int, place: tuple[float, float] | None, flip: bool) -> Tensor:
    """Cut the same square from all frames.

    Args:
        frames: (T, H, W, channels).
        size: side of the square.
        place: how far down and to the right, in [0, 1) of the room there is; None: the middle.
        flip: mirror it left to right.
    """
    height, width = frames.shape[1:3]
    if place is None:
        top, left = (height - size) // 2, (width - size) // 2
    else:
        top = int(place[0] * (height - size + 1))
        left = int(place[1] * (width - size + 1))
    square = frames[:, top : top + size, left : left + size]
    return square.flip(2) if flip else square


def normalize(frames: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Turn (T, H, W, C) uint8 into (C, T, H, W) float32, scaled to [0, 1] and standardised."""
    video = frames.permute(3, 0, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    shape = (-1, 1, 1, 1)
    return video.div_(255).sub_(torch.tensor(mean).view(shape)).div_(torch.tensor(std).view(shape))
