"""Encoders of padded feature sequences. What stands in the padding reaches no result."""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from cmkd.networks.base import Encoder, Features
from cmkd.networks.shapes import require_shape


class GRUEncoder(Encoder):
    """Gated recurrent layers over (B, L, D), averaged over the valid steps.

    Hidden: each layer's output (B, channels, L), zero in the padding. A sequence of length 0
    gives a zero vector. (Cho et al., "Learning Phrase Representations using RNN
    Encoder-Decoder", EMNLP 2014.)

    Args:
        in_features: features a step, D.
        width: units of each direction; the embedding has twice as many if bidirectional.
        layers: how many layers, at least 1.
        bidirectional: also read the sequence backwards, from its last valid step.
        dropout: dropout between layers.

    Raises:
        ValueError: when layers is below 1.
    """

    def __init__(
        self,
        in_features: int,
        width: int = 128,
        layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"GRUEncoder.layers must be at least 1, got {layers}")
        self.in_features = in_features
        self.out_features = width * (2 if bidirectional else 1)
        self.hidden_features = [self.out_features] * layers
        # One module a layer, because a stacked nn.GRU gives the last layer's output only.
        self.layers = nn.ModuleList(
            nn.GRU(inner, width, batch_first=True, bidirectional=bidirectional)
            for inner in [in_features, *self.hidden_features[1:]]
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, length: Tensor | None = None) -> Features:
        """Encode sequences (B, L, in_features) with length (B,) valid steps each."""
        require_shape("GRUEncoder", x, B=None, L=None, D=self.in_features)
        valid = valid_steps(x, length)
        x = _zero_padding(x, valid)
        # Packing refuses a length of 0: such a row reads one step of zeros, masked below.
        lengths = valid.sum(dim=1).clamp(min=1).cpu() if length is not None else None
        hidden = []
        for number, layer in enumerate(self.layers):
            inputs = self.dropout(x) if number else x
            if lengths is None:
                x, _ = layer(inputs)
            else:
                packed, _ = layer(
                    pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
                )
                x, _ = pad_packed_sequence(packed, batch_first=True, total_length=x.shape[1])
            x = _zero_padding(x, valid)
            hidden.append(x.transpose(1, 2))
        return Features(embedding=_mean_over_steps(x, valid), hidden=hidden)


class TransformerEncoder(Encoder):
    """Pre-norm transformer layers over (B, L, D), averaged over the valid steps.

    Positions are sinusoids, so any length works. Hidden: each layer's output (B, width, L),
    zero in the padding. A sequence of length 0 gives a zero vector. (Vaswani et al., "Attention
    Is All You Need", NeurIPS 2017.)

    Args:
        in_features: features a step, D.
        width: the width of every layer and of the embedding; even, and a multiple of heads.
        layers: how many layers, at least 1.
        heads: attention heads.
        dropout: dropout in attention and feed-forward parts.

    Raises:
        ValueError: when width is odd or no multiple of heads, or layers is below 1.
    """

    def __init__(
        self,
        in_features: int,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"TransformerEncoder.layers must be at least 1, got {layers}")
        if width % 2 or heads < 1 or width % heads:
            raise ValueError(
                f"TransformerEncoder.width must be even and a multiple of heads={heads}, "
                f"got {width}"
            )
        self.in_features = in_features
        self.out_features = width
        self.hidden_features = [width] * layers
        self.input = nn.Linear(in_features, width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width,
                heads,
                dim_feedforward=4 * width,
                dropout=dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, length: Tensor | None = None) -> Features:
        """Encode sequences (B, L, in_features) with length (B,) valid steps each."""
        require_shape("TransformerEncoder", x, B=None, L=None, D=self.in_features)
        valid = valid_steps(x, length)
        x = self.input(_zero_padding(x, valid))
        x = x + sinusoids(x.shape[1], self.out_features, x.device).to(x.dtype)
        # Whether a softmax over nothing is NaN is up to the attention kernel, so an empty sequence
        # attends to its zeros; the mean below masks it.
        padding = ~(valid | ~valid.any(dim=1, keepdim=True)) if length is not None else None
        hidden = []
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=padding)
            hidden.append(_zero_padding(x, valid).transpose(1, 2))
        return Features(embedding=_mean_over_steps(self.norm(x), valid), hidden=hidden)


def valid_steps(x: Tensor, length: Tensor | None) -> Tensor:
    """Return the (B, L) bool mask of the steps of x (B, L, D) that are no padding.

    Raises:
        ValueError: when x has no steps at all.
    """
    batch, steps = x.shape[:2]
    if steps == 0:
        raise ValueError(f"the sequences have no steps: got {tuple(x.shape)}, expected (B, L, D)")
    if length is None:
        return torch.ones(batch, steps, dtype=torch.bool, device=x.device)
    return torch.arange(steps, device=x.device) < length.to(x.device).unsqueeze(1)


def sinusoids(steps: int, width: int, device: torch.device) -> Tensor:
    """Return (steps, width) sines and cosines of geometrically spaced wavelengths."""
    position = torch.arange(steps, device=device, dtype=torch.float32).unsqueeze(1)
    index = torch.arange(width // 2, device=device, dtype=torch.float32)
    angle = position * torch.exp(index * (-math.log(10000.0) * 2 / width))
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def _zero_padding(x: Tensor, valid: Tensor) -> Tensor:
    return x.where(valid.unsqueeze(-1), x.new_zeros(()))


def _mean_over_steps(x: Tensor, valid: Tensor) -> Tensor:
    return _zero_padding(x, valid).sum(dim=1) / valid.sum(dim=1, keepdim=True).clamp(min=1)
