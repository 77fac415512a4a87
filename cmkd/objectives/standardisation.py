"""How a target's scale is taken out before it is compared or reconstructed."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from cmkd.distributed import mean_over_ranks


class Standardisation(nn.Module):
    """Leaves its input as it is; base of the others.

    Args:
        width: of the input.
    """

    def __init__(self, width: int) -> None:  # noqa: ARG002 - for subclasses
        super().__init__()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG002 - for subclasses
        """Return (B, W).

        Args:
            x: (B, W), finite in every row.
            mask: (B,) bool, valid rows.
        """
        return x


class RowStandardisation(Standardisation):
    """Brings every row to mean 0 and variance 1.

    Each row is treated by itself: masked rows, ranks and a batch of one need no care. What is lost
    is each row's mean and scale: of logits their confidence, of only two logits all but their
    order.

    Args:
        width: of the input, 2 or more.

    Raises:
        ValueError: for a width of 1, of which nothing would be left.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        if width < 2:
            raise ValueError(
                "it is a single number, which standardising its row turns into 0; leave it out or "
                "choose another standardisation"
            )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG002 - see base
        """Return (B, W)."""
        return layer_norm(x, x.shape[1:])


class RunningStandardisation(Standardisation):
    """Brings every column to mean 0 and variance 1 over the rows seen so far, of all ranks.

    The statistics are the mean over all batches until there are 1 / momentum of them, and then an
    exponential average, which follows a target that goes on learning. They are saved with
    checkpoints. A batch takes part in the statistics that it is standardised with.

    Args:
        width: of the input.
        momentum: least share of a new batch in the statistics, in (0, 1].

    Raises:
        ValueError: for a momentum out of range.
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, width: int, momentum: float = 0.01) -> None:
        super().__init__(width)
        if not 0 < momentum <= 1:
            raise ValueError(f"{type(self).__name__}.momentum has to lie in (0, 1], got {momentum}")
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return (B, W); takes note of the valid rows while training."""
        if self.training:
            self._note(x.detach(), mask)
        variance = self.variance.to(x.dtype)
        return (x - self.mean.to(x.dtype)) * (variance + 1e-5).rsqrt()

    @torch.no_grad()
    def _note(self, x: Tensor, mask: Tensor) -> None:
        """Add a batch; written in place and alike on all ranks, as DDP asks of buffers."""
        rows = mean_over_ranks(mask.sum().to(x.dtype))
        found = rows > 0
        rows = rows.where(found, rows.new_ones(()))
        kept = mask[:, None]
        mean = mean_over_ranks(x.where(kept, 0).sum(dim=0)) / rows
        variance = mean_over_ranks((x - mean).square().where(kept, 0).sum(dim=0)) / rows
        # A batch without valid rows on any rank changes nothing.
        share = (1 / (self.batches + 1.0)).clamp(min=self.momentum).where(found, 0).to(x.dtype)
        shift = mean - self.mean.to(x.dtype)
        spread = (1 - share) * (self.variance.to(x.dtype) + share * shift.square())
        self.variance.copy_(spread + share * variance)
        self.mean.add_(share * shift)
        self.batches.add_(found)


#: Builds a standardisation from a width; what ``class_path`` gives in YAML.
StandardisationFactory: TypeAlias = Callable[[int], Standardisation]
