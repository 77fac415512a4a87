"""Relational knowledge distillation: distances of pairs and angles of triplets."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from cmkd.objectives.numerics import unit_vectors
from cmkd.objectives.relational import RelationalObjective, inner_products, join_ranks
from cmkd.representation import Sizes

#: Triplets that are looked at together: what a processor's cache holds, which halves the time.
_TRIPLETS = 2**19


def distance_relation_loss(source: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Huber loss of each row's distances, relative to the mean distance of the batch.

    Relational Knowledge Distillation, Park, Kim, Lu, Cho, CVPR 2019; form of the public code: the
    mean is over all N^2 ordered pairs, of which a row with itself costs nothing. The mean
    distance is over the pairs of two different rows.

    Args:
        source: (B, D) the local rows, compared with those of all ranks; all hold the same B.
        target: (B, E).
        mask: (B,) bool, valid rows; None means all.

    Returns:
        (B,) the mean over the N valid rows, in float32 at least; no gradient for identical rows.

    Raises:
        ValueError: when source and target are not matrices of as many rows.
    """
    rows = join_ranks(source, target, mask)
    pairs = (
        rows.valid[:, None]
        & rows.valid
        & ~torch.eye(len(rows.valid), dtype=torch.bool, device=source.device)
    )
    s, t = (_relative_distances(x, pairs)[rows.local] for x in (rows.all_source, rows.all_target))
    return smooth_l1_loss(s, t, reduction="none").sum(dim=1) / rows.count


def _relative_distances(x: Tensor, pairs: Tensor) -> Tensor:
    """Return (N, N) distances over their mean, 0 for what is no pair."""
    # Not by products of the rows: their rounding makes a distance of near rows, and its gradient.
    distance = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").where(pairs, 0)
    mean = distance.sum() / pairs.sum().clamp(min=1)
    return distance / mean.clamp(min=1e-6)


def angle_relation_loss(source: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Huber loss of the cosines of the angles at each row, as seen between two other rows.

    Relational Knowledge Distillation, Park, Kim, Lu, Cho, CVPR 2019; form of the public code: the
    mean is over all N^3 ordered triplets, of which those with a repeated row cost nothing.

    Args:
        source: (B, D) the local rows, at which the angles are; the other two are rows of all
            ranks, which hold the same B each. Memory B * N * max(N, D), N = B * ranks.
        target: (B, E).
        mask: (B,) bool, valid rows; None means all.

    Returns:
        (B,) the mean over the N^2 pairs of valid rows, in float32 at least.

    Raises:
        ValueError: when source and target are not matrices of as many rows.
    """
    rows = join_ranks(source, target, mask)
    at_once = max(1, _TRIPLETS // len(rows.valid) ** 2)
    losses = []
    blocks = zip(torch.split(rows.source, at_once), torch.split(rows.target, at_once), strict=True)
    for vertices, targets in blocks:
        s = _cosines(vertices, rows.all_source, rows.valid)
        t = _cosines(targets, rows.all_target, rows.valid)
        losses.append(smooth_l1_loss(s, t, reduction="none").sum(dim=(1, 2)))
    loss = torch.cat(losses) / rows.count**2
    # The second sides' gradient, which equals that of the first: the sum is over ordered triplets.
    return 2 * loss - loss.detach()


def _cosines(vertices: Tensor, others: Tensor, valid: Tensor) -> Tensor:
    """Return (B, N, N) cosines of the angles at the vertices, 0 where a side has no length or end.

    Only the first side has a gradient, which saves one of two products.
    """
    sides = unit_vectors(others - vertices[:, None], mask=valid)
    return inner_products(sides, sides.detach())


class RKD(RelationalObjective):
    """Relational knowledge distillation between embeddings: distances and angles.

    See :func:`distance_relation_loss` and :func:`angle_relation_loss`. The target is detached.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role whose relations it is pulled towards.
        distance_weight: of the distances; 0 leaves them out.
        angle_weight: of the angles; 0 leaves them out and with them the cost of triplets.

    Raises:
        ValueError: when a weight is negative or not finite, or both are 0.
    """

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "teacher",
        distance_weight: float = 25.0,
        angle_weight: float = 50.0,
    ) -> None:
        super().__init__(sizes, source, target)
        weights = (distance_weight, angle_weight)
        if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
            raise ValueError(
                "RKD: distance_weight and angle_weight must be finite and not negative, nor both "
                f"0, got {distance_weight} and {angle_weight}"
            )
        self.relations = [
            (weight, loss)
            for weight, loss in zip(
                weights, (distance_relation_loss, angle_relation_loss), strict=True
            )
            if weight > 0
        ]

    def compare(self, source: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the (B,) weighted losses of the local rows."""
        losses = [weight * loss(source, target, mask) for weight, loss in self.relations]
        return torch.stack(losses).sum(dim=0)
