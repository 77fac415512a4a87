"""What objectives share that compare the samples of a batch with each other."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cmkd.batch import Batch
from cmkd.distributed import gather_rows, rank
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.objectives.numerics import full_precision, without_autocast, zero_masked_rows
from cmkd.representation import Representation


@dataclass(frozen=True)
class JointRows:
    """The local rows, and the rows of all ranks that they are compared with.

    Attributes:
        source: (B, D) float32 at least, this rank's, masked rows zero.
        target: (B, E) as well.
        all_source: (N, D) those of all ranks, with gradient; N = B * ranks.
        all_target: (N, E) as well.
        valid: (N,) bool, which of them count.
        count: scalar, how many do, at least 1.
        local: where this rank's rows are among them.
    """

    source: Tensor
    target: Tensor
    all_source: Tensor
    all_target: Tensor
    valid: Tensor
    count: Tensor
    local: slice


def join_ranks(source: Tensor, target: Tensor, mask: Tensor | None = None) -> JointRows:
    """Gather rows from all ranks, so that every sample meets every other.

    A loss of the local rows against the gathered ones, averaged by ``masked_mean``, has under DDP
    the gradient of the joint batch, and costs a rank no more than its share.

    Args:
        source: (B, D); all ranks hold the same B.
        target: (B, E).
        mask: (B,) bool, valid rows; None means all.

    Raises:
        ValueError: when source and target are not matrices of as many rows.
    """
    if source.ndim != 2 or target.ndim != 2 or len(source) != len(target):
        raise ValueError(
            "relations between samples need source (B, D) and target (B, E), got "
            f"{tuple(source.shape)} and {tuple(target.shape)}"
        )
    rows = len(source)
    if mask is None:
        mask = torch.ones(rows, dtype=torch.bool, device=source.device)
    s, t = (zero_masked_rows(full_precision(x), mask) for x in (source, target))
    # One collective for both, forward and backward.
    joint = gather_rows(torch.cat([s, t], dim=1))
    all_s, all_t = joint[:, : s.shape[1]], joint[:, s.shape[1] :]
    if not t.requires_grad:
        # It got the source's gradient by being gathered with it.
        all_t = all_t.detach()
    valid = gather_rows(mask)
    first = rank() * rows
    return JointRows(
        source=s,
        target=t,
        all_source=all_s,
        all_target=all_t,
        valid=valid,
        count=valid.sum().clamp(min=1),
        local=slice(first, first + rows),
    )


def inner_products(x: Tensor, y: Tensor) -> Tensor:
    """Return the products (..., M, N) of rows x (..., M, D) and y (..., N, D), not in autocast."""
    with without_autocast(x):
        return x @ y.mT


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Return distances (M, N) of rows x (M, D) and y (N, D); equal rows get no gradient."""
    # Not by products of the rows: their rounding makes a distance of near rows, and its gradient.
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


class RelationalObjective(Objective):
    """Base of the objectives that carry over how the samples of a batch relate in the embedding.

    Embeddings of different widths need no layer between them. The target is detached.
    """

    minimum_rows = 2

    def compare(self, source: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the (B,) losses of the local rows.

        Args:
            source: (B, D) embeddings of this rank.
            target: (B, E) those they are pulled towards.
            mask: (B,) bool, valid rows.
        """
        raise NotImplementedError

    def forward(
        self,
        representations: Mapping[str, Representation],
        batch: Batch,  # noqa: ARG002
    ) -> ObjectiveOutput:
        """Compute the loss of one batch; 0 where there is no second valid row to compare with."""
        source, target, mask = self.pair(representations)
        losses = self.compare(source.embedding, target.embedding.detach(), mask)
        return ObjectiveOutput(masked_mean(losses, mask))
