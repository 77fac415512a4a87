"""Hidden layers as objectives name and read them."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from cmkd.batch import Batch, batch_length
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


def layer_width(argument: str, role: str, sizes: Sizes, layer: Layer | None) -> int:
    """Return the channels of a network's hidden layer, or of its embedding where layer is None.

    Args:
        argument: what the layer was given as (``FitNets.source_layer``), for the error.
        role: whose layer, for the error.
        sizes: that network's widths.
        layer: which of its layers.

    Raises:
        ValueError: when the network has no such layer.
    """
    if layer is None:
        return sizes.embedding
    widths = sizes.hidden.get(layer.modality, [])
    if not -len(widths) <= layer.index < len(widths):
        there = ", ".join(f"{m} 0 to {len(w) - 1}" for m, w in sizes.hidden.items() if w)
        raise ValueError(
            f"{argument}: the {role} has no hidden layer {layer.index} of '{layer.modality}'; "
            f"it has {there or 'none at all'}"
        )
    return widths[layer.index]


def layer_mask(mask: Tensor, layers: Iterable[Layer | None], batch: Batch) -> Tensor:
    """Return mask (B,) less the rows in which the modality of one of the layers is absent.

    A network's row is valid through any of its modalities, but a hidden layer saw only one.
    """
    for layer in layers:
        if layer is not None:
            mask = mask & batch["present"][layer.modality]
    return mask


def layer_output(representation: Representation, layer: Layer, mask: Tensor) -> Tensor:
    """Return a layer's output (B, C, ...) in float32 at least, zeros in the masked rows."""
    hidden = representation.hidden[layer.modality][layer.index]
    return full_precision(zero_masked_rows(hidden, mask))


def layer_length(hidden: Tensor, modality: str, batch: Batch) -> Tensor | None:
    """Return the (B,) valid steps of a layer's output, None where there is no such number.

    Lengths count input steps: they hold for a layer (B, C, L) that keeps one output a step.
    """
    length = batch_length(batch, modality)
    if length is None or hidden.ndim != 3 or hidden.shape[2] != batch[modality].shape[1]:
        return None
    return length


def zero_padding(hidden: Tensor, length: Tensor) -> Tensor:
    """Return hidden (B, C, L) with zeros behind the first length (B,) steps of each row."""
    steps = torch.arange(hidden.shape[2], device=hidden.device) < length[:, None]
    return hidden.where(steps[:, None], hidden.new_zeros(()))


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
    return zero_padding(hidden, length).sum(dim=2) / length.clamp(min=1)[:, None]


def layer_features(
    representation: Representation, layer: Layer | None, batch: Batch, mask: Tensor
) -> Tensor:
    """Return a layer's output averaged over its positions (B, C), or the embedding (B, D)."""
    if layer is None:
        return zero_masked_rows(representation.embedding, mask)
    hidden = layer_output(representation, layer, mask)
    return pool(hidden, layer_length(hidden, layer.modality, batch))
