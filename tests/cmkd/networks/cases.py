"""Every encoder with the smallest input that shows its behaviour."""

from functools import partial

import pytest
import torch

from cmkd.networks import (
    MLP,
    AudioCNN,
    GRUEncoder,
    R2Plus1D10,
    SmallImageNet,
    SmallVideoNet,
    TimeDelayNet,
    TorchvisionImage,
    TorchvisionVideo,
    TransformerEncoder,
)

#: No BatchNorm in these, so a batch of one works in training.
BATCH_FREE = {
    "MLP": (partial(MLP, 7, width=16), (3, 7)),
    "SmallVideoNet": (partial(SmallVideoNet, width=8), (3, 3, 4, 16, 16)),
    "SmallVideoNet on flow": (partial(SmallVideoNet, width=8, in_channels=2), (3, 2, 4, 16, 16)),
    "SmallImageNet": (partial(SmallImageNet, width=8), (3, 1, 28, 28)),
    "SmallImageNet on colours": (
        partial(SmallImageNet, width=8, in_channels=3),
        (3, 3, 17, 9),
    ),
    "AudioCNN": (partial(AudioCNN, 8000, width=8), (3, 1, 2000)),
    "TimeDelayNet": (partial(TimeDelayNet, 8, width=8), (3, 1, 8, 20)),
    "GRUEncoder": (partial(GRUEncoder, 5, width=8, layers=2), (3, 6, 5)),
    "GRUEncoder one way": (partial(GRUEncoder, 5, width=8, bidirectional=False), (3, 6, 5)),
    "TransformerEncoder": (partial(TransformerEncoder, 5, width=8, dropout=0.0), (3, 6, 5)),
    "swin3d_t": (partial(TorchvisionVideo, "swin3d_t"), (3, 3, 2, 32, 32)),
}
BATCH_NORM = {
    "R2Plus1D10": (R2Plus1D10, (3, 3, 4, 32, 32)),
    "R2Plus1D10 on flow": (partial(R2Plus1D10, in_channels=2), (3, 2, 4, 32, 32)),
    "r3d_18": (partial(TorchvisionVideo, "r3d_18"), (3, 3, 4, 32, 32)),
    "mc3_18": (partial(TorchvisionVideo, "mc3_18"), (3, 3, 4, 32, 32)),
    "r2plus1d_18": (partial(TorchvisionVideo, "r2plus1d_18"), (3, 3, 4, 32, 32)),
    "s3d": (partial(TorchvisionVideo, "s3d"), (3, 3, 8, 32, 32)),
    "resnet18": (TorchvisionImage, (3, 3, 32, 32)),
    "resnet34": (partial(TorchvisionImage, "resnet34"), (3, 3, 32, 32)),
    "resnet50": (partial(TorchvisionImage, "resnet50"), (3, 3, 32, 32)),
    "resnet101": (partial(TorchvisionImage, "resnet101"), (3, 3, 32, 32)),
}
SLOW = {"mvit_v2_s": (partial(TorchvisionVideo, "mvit_v2_s"), (1, 3, 16, 224, 224))}


def parameters(*tables):
    """Return the cases of the tables for ``pytest.mark.parametrize("build, shape", ...)``."""
    return [
        pytest.param(*case, id=name, marks=[pytest.mark.slow] if table is SLOW else [])
        for table in tables
        for name, case in table.items()
    ]


def random_input(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
