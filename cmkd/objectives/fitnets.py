"""Regression of the teacher's features: hints."""

from collections.abc import Mapping

from torch import Tensor

from cmkd.batch import Batch
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.objectives.layers import Layer, layer_features, layer_mask, layer_width
from cmkd.objectives.mlp import MLP
from cmkd.objectives.numerics import full_precision
from cmkd.representation import Representation, Sizes


def hint_loss(regressed: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each row.

    FitNets: Hints for Thin Deep Nets, Romero et al., ICLR 2015.

    Args:
        regressed: (B, D), the source's features mapped to the target's width.
        target: (B, D).

    Returns:
        (B,), the mean over D.
    """
    return (full_precision(regressed) - full_precision(target)).square().mean(dim=1)


class FitNets(Objective):
    """Mean squared error between the target's features and a linear map of the source's.

    FitNets: Hints for Thin Deep Nets, Romero et al., ICLR 2015. By default the features are the
    embeddings; a named hidden layer is averaged over its positions first, see
    :func:`cmkd.objectives.layers.pool`, and rows in which its modality is absent are masked. The
    target is detached.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role whose features are regressed.
        source_layer: a hidden layer of the source; None takes its embedding.
        target_layer: a hidden layer of the target; None takes its embedding.

    Raises:
        ValueError: for a layer that the network does not have.
    """

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "teacher",
        source_layer: Layer | None = None,
        target_layer: Layer | None = None,
    ) -> None:
        super().__init__(sizes, source, target)
        self.source_layer = source_layer
        self.target_layer = target_layer
        self.regressor = MLP(
            layer_width("FitNets.source_layer", source, sizes[source], source_layer),
            layer_width("FitNets.target_layer", target, sizes[target], target_layer),
        )

    def forward(
        self, representations: Mapping[str, Representation], batch: Batch
    ) -> ObjectiveOutput:
        """Compute the loss of one batch."""
        source, target, mask = self.pair(representations)
        mask = layer_mask(mask, (self.source_layer, self.target_layer), batch)
        s = layer_features(source, self.source_layer, batch, mask)
        t = layer_features(target.detach(), self.target_layer, batch, mask)
        return ObjectiveOutput(masked_mean(hint_loss(self.regressor(s), t), mask))
