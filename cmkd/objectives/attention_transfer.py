"""Attention transfer: where in a map the teacher's activity is."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

from cmkd.batch import Batch
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.objectives.layers import (
    Layer,
    layer_length,
    layer_mask,
    layer_output,
    layer_width,
    zero_padding,
)
from cmkd.objectives.numerics import full_precision, unit_vectors
from cmkd.representation import Representation, Sizes

_POOLS: dict[int, Callable[[Tensor, Any], Tensor]] = {
    1: adaptive_avg_pool1d,
    2: adaptive_avg_pool2d,
    3: adaptive_avg_pool3d,
}


def attention_transfer_loss(source: Tensor, target: Tensor, length: Tensor | None = None) -> Tensor:
    """Mean squared difference of two attention maps, each scaled to length 1.

    The attention at a position is the mean of the squared channels there. Where the maps differ in
    size, the larger is averaged to the smaller along each dimension; it is attention that is
    averaged, not channels, whose signs would cancel. Paying More Attention to Attention: Improving
    the Performance of Convolutional Neural Networks via Attention Transfer, Zagoruyko, Komodakis,
    ICLR 2017; form of the authors' code, which averages the channels before squaring them.

    Args:
        source: (B, C, ...) with one to three dimensions of positions: tokens or time steps
            (B, C, L), (B, C, H, W), (B, C, T, H, W).
        target: (B, E, ...) with as many of them, of any size.
        length: (B,) valid leading steps of padded sequences, which then have the same L; None
            where there is no padding.

    Returns:
        (B,) the mean over positions, in float32 at least; at most 2 over their number.

    Raises:
        ValueError: for vectors, which have no positions, or maps of different dimensions.
    """
    dims = source.ndim - 2
    if dims not in _POOLS or target.ndim != source.ndim:
        raise ValueError(
            "attention transfer needs maps (B, C, ...) with the same number of dimensions, one to "
            f"three behind the channels, got {tuple(source.shape)} and {tuple(target.shape)}; "
            "vectors (B, C) have no positions: choose layers in front of the pooling, or an "
            "objective for vectors such as FitNets"
        )
    maps = [full_precision(x).square().mean(dim=1) for x in (source, target)]
    size = [min(a, b) for a, b in zip(source.shape[2:], target.shape[2:], strict=True)]
    if length is not None:
        maps = [zero_padding(x[:, None], length)[:, 0] for x in maps]
    # Attention is of second order in the activity, and so is what counts as zero.
    s, t = (unit_vectors(_POOLS[dims](x, size).flatten(1), eps=1e-12) for x in maps)
    positions = s.shape[1] if length is None else length.clamp(min=1)
    return (s - t).square().sum(dim=1) / positions


class AttentionTransfer(Objective):
    """Attention transfer between hidden layers that are maps or sequences.

    By default every layer of each modality that both networks have is paired with the layer of
    the same number: the encoders of the two networks are alike then. Named layers are paired in
    the order given, and may be of two modalities where their positions correspond, as time does.
    The loss is the sum of the pairs' :func:`attention_transfer_loss`, each over the rows in which
    its modalities are present. The target is detached. Padded sequences are cut at their lengths
    where both layers keep one output a step.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role whose attention it is pulled towards.
        source_layers: hidden layers of the source; None, together with None for the target, takes
            all of the shared modalities.
        target_layers: their partners.

    Raises:
        ValueError: when there is nothing to pair, a layer does not exist, or source and target
            have different numbers of layers.
    """

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "teacher",
        source_layers: list[Layer] | None = None,
        target_layers: list[Layer] | None = None,
    ) -> None:
        super().__init__(sizes, source, target)
        if source_layers is None and target_layers is None:
            # In the same order on every rank, so no intersection of sets.
            shared = [name for name in sizes[source].hidden if name in sizes[target].hidden]
            source_layers, target_layers = (
                [Layer(name, i) for name in shared for i in range(len(sizes[role].hidden[name]))]
                for role in (source, target)
            )
        given = (source_layers or [], target_layers or [])
        for side, role, layers in zip(("source", "target"), (source, target), given, strict=True):
            for layer in layers:
                layer_width(f"AttentionTransfer.{side}_layers", role, sizes[role], layer)
        if not given[0] or len(given[0]) != len(given[1]):
            raise ValueError(
                f"AttentionTransfer pairs hidden layers, but got {len(given[0])} of the {source} "
                f"and {len(given[1])} of the {target}; give source_layers and target_layers of "
                "the same length"
            )
        self.pairs = list(zip(*given, strict=True))

    def forward(
        self, representations: Mapping[str, Representation], batch: Batch
    ) -> ObjectiveOutput:
        """Compute the loss of one batch.

        Raises:
            ValueError: when a layer's output is a vector, or a pair differs in dimensions.
        """
        source, target, valid = self.pair(representations)
        losses = []
        for pair in self.pairs:
            mask = layer_mask(valid, pair, batch)
            s, t = (
                layer_output(r, layer, mask)
                for r, layer in zip((source, target.detach()), pair, strict=True)
            )
            try:
                loss = attention_transfer_loss(s, t, _common_length(s, t, pair, batch))
            except ValueError as error:
                first, second = pair
                raise ValueError(
                    f"layer {first.index} of the {self.source}'s '{first.modality}' and layer "
                    f"{second.index} of the {self.target}'s '{second.modality}': {error}"
                ) from error
            losses.append(masked_mean(loss, mask))
        return ObjectiveOutput(torch.stack(losses).sum())


def _common_length(
    source: Tensor, target: Tensor, pair: tuple[Layer, Layer], batch: Batch
) -> Tensor | None:
    """Return the (B,) steps valid in both layers, None unless both keep the inputs' steps."""
    lengths = [
        layer_length(x, layer.modality, batch)
        for x, layer in zip((source, target), pair, strict=True)
    ]
    if lengths[0] is None or lengths[1] is None or source.shape[2] != target.shape[2]:
        return None
    return torch.minimum(lengths[0], lengths[1])
