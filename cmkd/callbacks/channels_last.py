"""The memory layout in which convolutions are fastest."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn


def set_channels_last(network: nn.Module) -> None:
    """Put the weights of a network's 2-d and 3-d convolutions into that layout, in place."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            layout = torch.channels_last_3d
        elif isinstance(module, nn.Conv2d):
            layout = torch.channels_last
        else:
            continue
        # Loading values, as a resumed run and a new stage do, keeps a tensor's layout.
        module.weight.data = module.weight.data.contiguous(memory_format=layout)


class ChannelsLast(Callback):
    """Keeps the weights of 2-d and 3-d convolutions with their channels last in memory.

    A convolution takes over the layout of its weights, and hands it on. Results differ by rounding
    alone; a step of R(2+1)D takes about half the time on a CPU
    (``experiments/benchmarks/video_step.py``). Small networks may lose: measure. In a config:
    ``trainer: {callbacks: [cmkd.callbacks.ChannelsLast]}``.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Change the layout, before optimizers and checkpoints are looked at."""
        set_channels_last(pl_module)
