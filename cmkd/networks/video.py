"""Video encoders of our own: one for CPUs, one of the size papers compare students at."""

from torch import Tensor, nn

from cmkd.networks.base import Encoder, Features
from cmkd.networks.precision import float32_video_on_cpu
from cmkd.networks.shapes import require_shape
from cmkd.networks.torchvision_backbone import run_with_hidden


class SmallVideoNet(Encoder):
    """A 3-D convolutional network that trains on a CPU, for clips (B, C, T, H, W).

    A stem and three stages, each a convolution over time and space, GroupNorm and ReLU. Space is
    halved by all four, time by the three stages, so motion is seen from the first layer on; a
    position of the last map sees 17 frames of 33x33 pixels. Any size works. Hidden: the maps of
    the stages. No BatchNorm: a batch of one works.

    Args:
        width: channels of the stem, a multiple of 8; the stages have 2, 4 and 8 times as many,
            and the last is the width of the embedding. 16 gives 294 thousand parameters.
        in_channels: 3 for RGB, 2 for optical flow.

    Raises:
        ValueError: when width is no multiple of 8.
    """

    def __init__(self, width: int = 16, in_channels: int = 3) -> None:
        super().__init__()
        if width < 8 or width % 8:
            raise ValueError(f"SmallVideoNet.width must be a multiple of 8, got {width}")
        self.in_channels = in_channels
        self.out_features = 8 * width
        self.hidden_features = [2 * width, 4 * width, 8 * width]
        self.stem = _convolution(in_channels, width, kernel=(3, 5, 5), stride=(1, 2, 2))
        self.stages = nn.ModuleList(
            _convolution(inner, 2 * inner, kernel=(3, 3, 3), stride=(2, 2, 2))
            for inner in (width, 2 * width, 4 * width)
        )

    def forward(self, x: Tensor, length: Tensor | None = None) -> Features:  # noqa: ARG002
        """Encode normalised clips (B, in_channels, T, H, W)."""
        require_shape("SmallVideoNet", x, B=None, C=self.in_channels, T=None, H=None, W=None)
        hidden = []
        with float32_video_on_cpu():
            x = self.stem(x)
            for stage in self.stages:
                x = stage(x)
                hidden.append(x)
        return Features(embedding=x.mean(dim=(2, 3, 4)), hidden=hidden)


def _convolution(
    inner: int, outer: int, kernel: tuple[int, int, int], stride: tuple[int, int, int]
) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Sequential(
        nn.Conv3d(inner, outer, kernel, stride, padding, bias=False),
        nn.GroupNorm(4, outer),
        nn.ReLU(),
    )


class R2Plus1D10(Encoder):
    """R(2+1)D with one block a stage, ten layers deep, for clips (B, C, T, H, W).

    The student of CCL (Chen et al., "Distilling Audio-Visual Knowledge by Compositional
    Contrastive Learning", CVPR 2021) in the building blocks torchvision has for R(2+1)D (Tran
    et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018).
    Trained from scratch on 16 frames of 112x112 there; any size works. Hidden: the maps of the
    four stages.

    Args:
        in_channels: 3 for RGB, 2 for optical flow.
    """

    STAGES = ("layer1", "layer2", "layer3", "layer4")

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        from torchvision.models.video.resnet import (  # type: ignore[import-untyped]
            BasicBlock,
            Conv2Plus1D,
            R2Plus1dStem,
            VideoResNet,
        )

        def stem() -> nn.Sequential:
            layers: nn.Sequential = R2Plus1dStem()
            layers[0] = nn.Conv3d(in_channels, 45, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False)
            return layers

        self.in_channels = in_channels
        self.model = VideoResNet(BasicBlock, [Conv2Plus1D] * 4, [1, 1, 1, 1], stem)
        self.model.fc = nn.Identity()
        self.out_features = 512
        self.hidden_features = [64, 128, 256, 512]

    def forward(self, x: Tensor, length: Tensor | None = None) -> Features:  # noqa: ARG002
        """Encode normalised clips (B, in_channels, T, H, W)."""
        require_shape("R2Plus1D10", x, B=None, C=self.in_channels, T=None, H=None, W=None)
        with float32_video_on_cpu():
            embedding, hidden = run_with_hidden(self.model, x, self.STAGES)
        return Features(embedding=embedding, hidden=hidden)
