"""What a network gives to the objectives, and the widths they need to know beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Representation:
    """One network's view of a batch.

    Attributes:
        embedding: (B, D) the fused embedding in front of the head.
        logits: (B, C) the head's output.
        hidden: by modality, that encoder's layer outputs from shallow to deep, each
            (B, channels, ...): vectors, time series or maps with the channels second.
        valid: (B,) bool, rows in which the network had at least one of its modalities. The
            other rows hold numbers without meaning and every loss masks them.
    """

    embedding: Tensor
    logits: Tensor
    hidden: Mapping[str, list[Tensor]]
    valid: Tensor

    def detach(self) -> "Representation":
        """Return the same values without gradient."""
        return Representation(
            embedding=self.embedding.detach(),
            logits=self.logits.detach(),
            hidden={name: [h.detach() for h in layers] for name, layers in self.hidden.items()},
            valid=self.valid,
        )


@dataclass(frozen=True)
class Sizes:
    """Widths of a network's representation, from which an objective builds its own layers."""

    embedding: int
    logits: int
    hidden: dict[str, list[int]] = field(default_factory=dict)
