"""Encoder of ready-made feature vectors."""

from itertools import pairwise

from torch import Tensor, nn

from cmkd.networks.base import Encoder, Features
from cmkd.networks.shapes import require_shape


class MLP(Encoder):
    """A perceptron for feature vectors (B, D), hidden: each layer's output (B, width).

    Anything else with D numbers a sample, such as a small image (B, 1, H, W), is flattened. Every
    layer is Linear, LayerNorm, GELU, dropout. No BatchNorm: a batch of one works.

    Args:
        in_features: numbers a sample, D.
        width: the width of every layer and of the embedding.
        depth: how many layers, at least 1.
        dropout: dropout behind every layer.

    Raises:
        ValueError: when depth is below 1.
    """

    def __init__(
        self, in_features: int, width: int = 128, depth: int = 2, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"MLP.depth must be at least 1, got {depth}")
        self.in_features = in_features
        self.out_features = width
        self.hidden_features = [width] * depth
        widths = [in_features, *self.hidden_features]
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Linear(inner, outer), nn.LayerNorm(outer), nn.GELU(), nn.Dropout(dropout)
            )
            for inner, outer in pairwise(widths)
        )

    def forward(self, x: Tensor, length: Tensor | None = None) -> Features:  # noqa: ARG002
        """Encode feature vectors (B, in_features)."""
        if x.shape[1:].numel() == self.in_features:
            x = x.flatten(1)
        require_shape("MLP", x, B=None, D=self.in_features)
        hidden = []
        for layer in self.layers:
            x = layer(x)
            hidden.append(x)
        return Features(embedding=x, hidden=hidden)
