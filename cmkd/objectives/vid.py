"""Variational information distillation: the teacher's features as a Gaussian of the student's."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from cmkd.batch import Batch
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.objectives.layers import Layer, layer_features, layer_mask, layer_width
from cmkd.objectives.mlp import MLP
from cmkd.objectives.numerics import full_precision, require_positive
from cmkd.representation import Representation, Sizes


def variational_information_loss(mean: Tensor, variance: Tensor, target: Tensor) -> Tensor:
    """Negative log likelihood of the target under a Gaussian, less its constant.

    1/2 ((t - mean)^2 / variance + log variance), averaged over channels: up to constants an upper
    bound on the negative mutual information. Variational Information Distillation for Knowledge
    Transfer, Ahn, Hu, Damianou, Lawrence, Dai, CVPR 2019; form of the authors' code.

    Args:
        mean: (B, D).
        variance: (D,) or (B, D), above 0.
        target: (B, D).

    Returns:
        (B,) nats a channel, in float32 at least; at its minimum, where mean and target agree, half
        the mean log variance.
    """
    mean, variance, target = (full_precision(x) for x in (mean, variance, target))
    return ((target - mean).square() / variance + variance.log()).mean(dim=1) / 2


class VID(Objective):
    """Variational information distillation.

    A perceptron of the source's features gives the mean of the target's; each channel has a
    learned variance, the same for all samples, so that channels that cannot be predicted weigh
    less. ``GaussianConditionalEntropy`` is its neighbour whose variance depends on the sample.

    By default the features are the embeddings; a named hidden layer is averaged over its
    positions first, and rows in which its modality is absent are masked. The authors predict maps
    position by position; positions of two modalities have no partners. The target is detached.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role whose features are predicted.
        source_layer: a hidden layer of the source; None takes its embedding.
        target_layer: a hidden layer of the target; None takes its embedding.
        width: width of the perceptron's hidden layers.
        depth: number of its hidden layers; 0 makes the mean linear in the source.
        initial_variance: where each channel's variance starts.
        min_variance: what it stays above, the epsilon of variance = softplus(rho) + epsilon.

    Raises:
        ValueError: for a layer that the network does not have, a size out of range, or variances
            that are not in order.
    """

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "teacher",
        source_layer: Layer | None = None,
        target_layer: Layer | None = None,
        width: int = 128,
        depth: int = 2,
        initial_variance: float = 5.0,
        min_variance: float = 1e-5,
    ) -> None:
        super().__init__(sizes, source, target)
        require_positive(
            self, width=width, initial_variance=initial_variance, min_variance=min_variance
        )
        if depth < 0:
            raise ValueError(f"VID.depth must be 0 or more, got {depth}")
        if initial_variance <= min_variance:
            raise ValueError(
                f"VID.initial_variance must be above min_variance, got {initial_variance} and "
                f"{min_variance}"
            )
        self.source_layer = source_layer
        self.target_layer = target_layer
        self.min_variance = min_variance
        channels = layer_width("VID.target_layer", target, sizes[target], target_layer)
        self.predictor = MLP(
            layer_width("VID.source_layer", source, sizes[source], source_layer),
            channels,
            width,
            depth,
        )
        above = initial_variance - min_variance
        # The inverse of softplus, in a form that does not overflow.
        self.rho = nn.Parameter(torch.full((channels,), above + math.log(-math.expm1(-above))))

    def variance(self) -> Tensor:
        """Return the (D,) variances of the target's channels."""
        return softplus(full_precision(self.rho)) + self.min_variance

    def forward(
        self, representations: Mapping[str, Representation], batch: Batch
    ) -> ObjectiveOutput:
        """Compute the loss of one batch."""
        source, target, mask = self.pair(representations)
        mask = layer_mask(mask, (self.source_layer, self.target_layer), batch)
        mean = self.predictor(layer_features(source, self.source_layer, batch, mask))
        t = layer_features(target.detach(), self.target_layer, batch, mask)
        losses = variational_information_loss(mean, self.variance(), t)
        return ObjectiveOutput(masked_mean(losses, mask))
