"""Regression of the teacher's features: hints."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cmkd.batch import Batch, batch_length
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.objectives.mlp import MLP
from cmkd.objectives.numerics import full_precision, zero_masked_rows
from cmkd.representation import Representation, Sizes


@dataclass(frozen=True)
class Layer:
    """A hidden layer of one encoder.

    Attributes:
        modality: whose encoder.
        index: which of its outputs, 0 the shallowest; -1 the deepest.
    """

    modality: str
    index: int


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


def pool(hidden: Tensor, length: Tensor | None = None) -> Tensor:
    """Average a layer's output over everything but its channels.

    Modalities have different shapes: positions in an image have no partners in a spectrogram, but
    the mean over positions of one can be regressed on that of the other.

    Args:
        hidden: (B, C, ...).
        length: (B,) how many leading steps of a padded sequence (B, C, L) to average; None
            averages all.

    Returns:
        (B, C) in float32 at least.
    """
    hidden = full_precision(hidden)
    if length is None:
        return hidden.flatten(2).mean(dim=2) if hidden.ndim > 2 else hidden
    steps = torch.arange(hidden.shape[2], device=hidden.device) < length[:, None]
    kept = hidden.where(steps[:, None], hidden.new_zeros(()))
    return kept.sum(dim=2) / length.clamp(min=1)[:, None]


class FitNets(Objective):
    """Mean squared error between the target's features and a linear map of the source's.

    FitNets: Hints for Thin Deep Nets, Romero et al., ICLR 2015. By default the features are the
    embeddings; a named hidden layer is averaged over its positions first, see :func:`pool`, and
    rows in which its modality is absent are masked. The target is detached.

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
            self._width("source_layer", source, sizes[source], source_layer),
            self._width("target_layer", target, sizes[target], target_layer),
        )

    def forward(
        self, representations: Mapping[str, Representation], batch: Batch
    ) -> ObjectiveOutput:
        """Compute the loss of one batch."""
        source, target, mask = self.pair(representations)
        for layer in (self.source_layer, self.target_layer):
            if layer is not None:
                # A row counts as valid through any modality, but this layer saw only one.
                mask = mask & batch["present"][layer.modality]
        s = _features(source, self.source_layer, batch, mask)
        t = _features(target.detach(), self.target_layer, batch, mask)
        return ObjectiveOutput(masked_mean(hint_loss(self.regressor(s), t), mask))

    def _width(self, argument: str, role: str, size: Sizes, layer: Layer | None) -> int:
        if layer is None:
            return size.embedding
        widths = size.hidden.get(layer.modality, [])
        if not -len(widths) <= layer.index < len(widths):
            there = ", ".join(f"{m} 0 to {len(w) - 1}" for m, w in size.hidden.items() if w)
            raise ValueError(
                f"{type(self).__name__}.{argument}: the {role} has no hidden layer "
                f"{layer.index} of '{layer.modality}'; it has {there or 'none at all'}"
            )
        return widths[layer.index]


def _features(
    representation: Representation, layer: Layer | None, batch: Batch, mask: Tensor
) -> Tensor:
    if layer is None:
        return zero_masked_rows(representation.embedding, mask)
    hidden = zero_masked_rows(representation.hidden[layer.modality][layer.index], mask)
    length = batch_length(batch, layer.modality)
    # Lengths count input steps: they hold for a layer that keeps one output a step.
    if length is not None and (
        hidden.ndim != 3 or hidden.shape[2] != batch[layer.modality].shape[1]
    ):
        length = None
    return pool(hidden, length)
