"""The layers that objectives put between two networks."""

from itertools import pairwise

from torch import Tensor, nn

from cmkd.objectives.numerics import full_precision


class MLP(nn.Module):
    """Linear layers with GELU between them, for inputs of any precision.

    There is no normalisation over the batch: rows must not see each other, since some are masked.

    Args:
        in_features: width of the input.
        out_features: width of the output.
        width: width of every hidden layer.
        depth: number of hidden layers; 0 makes it a single linear layer.
    """

    def __init__(self, in_features: int, out_features: int, width: int = 0, depth: int = 0) -> None:
        super().__init__()
        widths = [in_features, *[width] * depth, out_features]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), nn.GELU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_features) to (B, out_features) in float32 at least.

        Autocast may run the layers in half precision; the losses behind them never are.
        """
        y: Tensor = self.layers(x.to(next(self.parameters()).dtype))
        return full_precision(y)
