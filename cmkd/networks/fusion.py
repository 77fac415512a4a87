"""Fusions: one embedding from whatever modalities a sample has."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from cmkd.networks.base import Fusion

#: Builds a fusion from (number of modalities, width); what ``class_path`` gives in YAML.
FusionFactory: TypeAlias = Callable[[int, int], Fusion]


def zero_absent(tokens: Tensor, present: Tensor) -> Tensor:
    """Set the tokens (B, M, D) to zero where present (B, M) is False, whatever they hold."""
    # where, not multiplication: 0 * NaN of an absent token would be NaN.
    return tokens.where(present.unsqueeze(-1), tokens.new_zeros(()))


class Average(Fusion):
    """The mean of the present tokens; it has no parameters.

    As the head is linear, the logits are the mean of what each modality says by itself (late
    fusion), and an embedding has the same scale whatever is absent. With nothing present it is
    zero. On every data set of ``experiments/`` a teacher with it is within the interval of the best
    fusion or ahead, most of all where labels are few (``experiments/evidence/fusions.py``).

    Args:
        modalities: how many tokens a sample has, M.
        dim: the width of a token and of the embedding, D.
    """

    def forward(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Fuse tokens (B, M, D) under present (B, M) into (B, D)."""
        count = present.sum(dim=1, keepdim=True).clamp(min=1)
        return zero_absent(tokens, present).sum(dim=1) / count


class Concatenation(Fusion):
    """A two-layer perceptron on all tokens side by side.

    Absent tokens are zeros, and the presence flags are inputs of their own, so that "absent"
    differs from a token that happens to be zero.

    Args:
        modalities: how many tokens a sample has, M.
        dim: the width of a token and of the embedding, D.
    """

    def __init__(self, modalities: int, dim: int) -> None:
        super().__init__(modalities, dim)
        self.layers = nn.Sequential(
            nn.Linear(modalities * (dim + 1), dim), nn.GELU(), nn.Linear(dim, dim)
        )

    def forward(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Fuse tokens (B, M, D) under present (B, M) into (B, D)."""
        flat = zero_absent(tokens, present).flatten(1)
        fused: Tensor = self.layers(torch.cat([flat, present.to(flat.dtype)], dim=1))
        return fused


class GatedSum(Fusion):
    """A convex combination of the present tokens.

    Each token scores itself by its modality's own gate, and the scores are softmaxed over the
    modalities the sample has, as in gated multimodal units (Arevalo et al., "Gated Multimodal
    Units for Information Fusion", ICLR workshop 2017) but for any subset. With nothing present
    the embedding is zero.

    Args:
        modalities: how many tokens a sample has, M.
        dim: the width of a token and of the embedding, D.
        per_dimension: give every dimension a weight of its own instead of one a token.
    """

    def __init__(self, modalities: int, dim: int, per_dimension: bool = False) -> None:
        super().__init__(modalities, dim)
        self.gates = nn.ModuleList(
            nn.Linear(dim, dim if per_dimension else 1) for _ in range(modalities)
        )

    def forward(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Fuse tokens (B, M, D) under present (B, M) into (B, D)."""
        tokens = zero_absent(tokens, present)
        scores = torch.stack([gate(tokens[:, m]) for m, gate in enumerate(self.gates)], dim=1)
        # The lowest finite score: exactly no weight beside any other, and no NaN when all have it.
        lowest = torch.finfo(scores.dtype).min
        weights = scores.masked_fill(~present.unsqueeze(-1), lowest).softmax(dim=1)
        return (weights * tokens).sum(dim=1)


class AttentionFusion(Fusion):
    """A learned query attends over the present tokens; a feed-forward layer follows.

    The pooling by multi-head attention of Lee et al., "Set Transformer", ICML 2019, with an
    embedding of each modality added to its token.

    Args:
        modalities: how many tokens a sample has, M.
        dim: the width of a token and of the embedding, D; a multiple of heads.
        heads: attention heads.
        dropout: dropout on the attention weights.

    Raises:
        ValueError: when dim is not a multiple of heads.
    """

    def __init__(self, modalities: int, dim: int, heads: int = 4, dropout: float = 0.0) -> None:
        super().__init__(modalities, dim)
        if heads < 1 or dim % heads:
            raise ValueError(
                f"AttentionFusion: the embedding width {dim} is no multiple of heads={heads}; "
                "change embedding_dim or heads"
            )
        self.query = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.modality = nn.Parameter(torch.randn(modalities, dim) * 0.02)
        self.norm = nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, heads, dropout=dropout, batch_first=True)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
        )

    def forward(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Fuse tokens (B, M, D) under present (B, M) into (B, D)."""
        keys = self.norm(zero_absent(tokens, present) + self.modality)
        # Whether a softmax over nothing is NaN is up to the attention kernel, so a sample without
        # any modality attends to all its zeros.
        attended_to = present | ~present.any(dim=1, keepdim=True)
        query = self.query.expand(tokens.shape[0], -1, -1)
        pooled, _ = self.attention(
            query, keys, keys, key_padding_mask=~attended_to, need_weights=False
        )
        pooled = pooled.squeeze(1)
        fused: Tensor = pooled + self.feed_forward(pooled)
        return fused
