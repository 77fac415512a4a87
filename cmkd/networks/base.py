"""What an encoder and a fusion are. Subclass them to use a network or a fusion of your own."""

from dataclasses import dataclass, field

from torch import Tensor, nn


@dataclass(frozen=True)
class Features:
    """An encoder's output.

    Attributes:
        embedding: (B, F) one vector a sample, F = ``Encoder.out_features``.
        hidden: layer outputs from shallow to deep, each (B, channels, ...).
    """

    embedding: Tensor
    hidden: list[Tensor] = field(default_factory=list)


class Encoder(nn.Module):
    """Turns one modality into a vector a sample.

    A subclass sets ``out_features`` and, if it returns hidden layers, ``hidden_features`` (the
    channels of each) in its constructor, and raises a ``ValueError`` that names the expected
    shape when ``forward`` gets another one. It is built once for each network that uses it,
    so it must not share state between instances.
    """

    out_features: int
    hidden_features: list[int]

    def __init__(self) -> None:
        super().__init__()
        self.hidden_features = []

    def forward(self, x: Tensor, length: Tensor | None = None) -> Features:
        """Encode a batch.

        Args:
            x: (B, ...) the modality's tensor as the batch holds it.
            length: (B,) valid steps of a padded sequence; None where there is no padding.
        """
        raise NotImplementedError


class Fusion(nn.Module):
    """Turns the tokens of several modalities into one embedding.

    Args:
        modalities: how many tokens a sample has, M.
        dim: the width of a token and of the embedding, D.
    """

    def __init__(self, modalities: int, dim: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.dim = dim

    def forward(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Fuse whatever is present.

        Args:
            tokens: (B, M, D); rows of absent modalities hold anything and must not matter.
            present: (B, M) bool, any subset, the empty one included.

        Returns:
            (B, D), finite for every subset.
        """
        raise NotImplementedError
