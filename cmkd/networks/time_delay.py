"""Encoder of spectrograms: convolutions over time alone."""

from itertools import pairwise

from torch import Tensor, nn

from cmkd.networks.base import Encoder, Features
from cmkd.networks.shapes import require_shape


class TimeDelayNet(Encoder):
    """A time-delay network on spectrograms (B, 1, n_mels, frames), such as :class:`LogMel`'s.

    The mel bands are the channels of two convolutions over time with GroupNorm and ReLU, which
    leave a sixth of the frames (Waibel et al., "Phoneme Recognition Using Time-Delay Neural
    Networks", IEEE TASSP 1989; Snyder et al., "X-Vectors", ICASSP 2018); the embedding is mean plus
    maximum over time. It costs a fraction of a two-dimensional network on the same spectrogram.
    Hidden: the maps (B, channels, frames) of the layers. No BatchNorm: a batch of one works.

    Args:
        n_mels: mel bands.
        width: channels of the first layer, a multiple of 4; the second has twice as many, which is
            the width of the embedding.

    Raises:
        ValueError: for a width that is no multiple of 4.
    """

    def __init__(self, n_mels: int, width: int = 32) -> None:
        super().__init__()
        if width < 4 or width % 4:
            raise ValueError(f"TimeDelayNet.width must be a multiple of 4, got {width}")
        self.n_mels = n_mels
        self.hidden_features = [width, 2 * width]
        self.out_features = self.hidden_features[-1]
        channels = pairwise([n_mels, *self.hidden_features])
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(inner, outer, kernel, stride, padding=kernel // 2, bias=False),
                nn.GroupNorm(4, outer),
                nn.ReLU(),
            )
            for (inner, outer), (kernel, stride) in zip(channels, [(5, 3), (3, 2)], strict=True)
        )

    def forward(self, x: Tensor, length: Tensor | None = None) -> Features:  # noqa: ARG002
        """Encode spectrograms (B, 1, n_mels, frames).

        Raises:
            ValueError: for another shape.
        """
        require_shape("TimeDelayNet", x, B=None, C=1, F=self.n_mels, T=None)
        x = x.squeeze(1)
        hidden = []
        for layer in self.layers:
            x = layer(x)
            hidden.append(x)
        return Features(embedding=x.mean(dim=2) + x.amax(dim=2), hidden=hidden)
