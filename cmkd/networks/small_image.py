"""An image encoder of our own, for small images on a CPU."""

from torch import Tensor, nn

from cmkd.networks.base import Encoder, Features
from cmkd.networks.shapes import require_shape


class SmallImageNet(Encoder):
    """A 2-D convolutional network that trains on a CPU, for small images (B, C, H, W).

    A stem and three stages, each a convolution, GroupNorm and ReLU; the stages halve height and
    width, and the mean and the maximum over what is left are added. Any size works; a position of
    the last map sees 19 x 19 pixels. Hidden: the maps of the stages. No BatchNorm: a batch of one
    works.

    Args:
        width: channels of the stem, a multiple of 8; the stages have 2, 4 and 8 times as many,
            and the last is the width of the embedding. 16 gives 98 thousand parameters.
        in_channels: 1 for grey images, 3 for RGB.

    Raises:
        ValueError: when width is no multiple of 8.
    """

    def __init__(self, width: int = 16, in_channels: int = 1) -> None:
        super().__init__()
        if width < 8 or width % 8:
            raise ValueError(f"SmallImageNet.width must be a multiple of 8, got {width}")
        self.in_channels = in_channels
        self.out_features = 8 * width
        self.hidden_features = [2 * width, 4 * width, 8 * width]
        self.stem = _convolution(in_channels, width, kernel=5, stride=1)
        self.stages = nn.ModuleList(
            _convolution(inner, 2 * inner, kernel=3, stride=2)
            for inner in (width, 2 * width, 4 * width)
        )

    def forward(self, x: Tensor, length: Tensor | None = None) -> Features:  # noqa: ARG002
        """Encode normalised images (B, in_channels, H, W)."""
        require_shape("SmallImageNet", x, B=None, C=self.in_channels, H=None, W=None)
        hidden = []
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
            hidden.append(x)
        return Features(embedding=x.mean(dim=(2, 3)) + x.amax(dim=(2, 3)), hidden=hidden)


def _convolution(inner: int, outer: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inner, outer, kernel, stride, kernel // 2, bias=False),
        nn.GroupNorm(4, outer),
        nn.ReLU(),
    )
