"""Relational knowledge distillation: distances of pairs and angles of triplets."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import smooth_l1_loss

from cmkd.objectives.relational import RelationalObjective, distances, join_ranks
from cmkd.representation import Sizes

#: Triplets that are looked at together: what a processor's cache holds, and elsewhere what is worth
#: the start of a kernel.
_TRIPLETS_ON_CPU, _TRIPLETS = 2**17, 2**24
#: What is no longer than this has no direction.
_NO_LENGTH = 1e-6


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
    distance = distances(x, x).where(pairs, 0)
    mean = distance.sum() / pairs.sum().clamp(min=1)
    return distance / mean.clamp(min=1e-6)


def angle_relation_loss(source: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Huber loss of the cosines of the angles at each row, as seen between two other rows.

    Relational Knowledge Distillation, Park, Kim, Lu, Cho, CVPR 2019; form of the public code: the
    mean is over all N^3 ordered triplets, of which those with a repeated row cost nothing.

    Args:
        source: (B, D) the local rows, at which the angles are; the other two are rows of all
            ranks, which hold the same B each. Memory B * N^2, N = B * ranks.
        target: (B, E).
        mask: (B,) bool, valid rows; None means all.

    Returns:
        (B,) the mean over the N^2 pairs of valid rows, in float32 at least.

    Raises:
        ValueError: when source and target are not matrices of as many rows.
    """
    rows = join_ranks(source, target, mask)
    sides = [_sides(x, rows.valid) for x in (rows.all_source, rows.all_target)]
    local = [(side[rows.local], inverse[rows.local], square) for side, inverse, square in sides]
    losses: Tensor = _AngleHuber.apply(*local[0], *local[1])  # type: ignore[no-untyped-call]
    return losses / rows.count**2


def _sides(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what angles are made of.

    Args:
        x: (N, D).
        valid: (N,) bool; nothing ends at other rows.

    Returns:
        (N, N) distances, 0 where one is too short to have a direction or a row is not valid;
        (N, N) 1 / distance, 0 where that is 0; (N, N) all squared distances.
    """
    distance = distances(x, x)
    side = (distance > _NO_LENGTH) & valid
    return distance.where(side, 0), 1 / distance.where(side, math.inf), distance.square()


def _cosines(length: Tensor, inverse: Tensor, square: Tensor) -> Tensor:
    """Return (B, N, N) cosines of the angles at B vertices, 0 where a side has no length or end.

    By the law of cosines, (a / b + b / a - c^2 / (a b)) / 2 of sides a, b and the opposite one, c:
    some operations a triplet, not some a dimension. They are as exact as the distances unless one
    side is far longer than the other.

    Args:
        length: (B, N) of the sides from each vertex to each row.
        inverse: (B, N).
        square: (N, N) squared length of the opposite sides.
    """
    a, one_by_a = length[:, :, None], inverse[:, :, None]
    b, one_by_b = length[:, None], inverse[:, None]
    cosines = (one_by_a * one_by_b).mul_(square).mul_(-0.5)
    return cosines.addcmul_(a, one_by_b, value=0.5).addcmul_(one_by_a, b, value=0.5)


class _AngleHuber(torch.autograd.Function):
    """Sums over all pairs of rows of the Huber loss between two cosines at each of B vertices.

    Written down with its gradient, which takes a third of the passes over all triplets that
    autograd would, and a third of its memory.
    """

    @staticmethod
    def forward(ctx: Any, *sides: Tensor) -> Tensor:
        """Return the (B,) sums for ``_sides`` of the source and the target, B vertices each."""
        source, target = sides[:3], sides[3:]
        rows, others = source[0].shape
        slopes = sides[0].new_empty(rows, others, others)
        loss = sides[0].new_empty(rows)
        # By the lengths and their inverses, of those whose gradient is asked for.
        ctx.asked = [part for part in (0, 3) if any(ctx.needs_input_grad[part : part + 3])]
        by_sides = [torch.empty_like(x) for part in ctx.asked for x in sides[part : part + 2]]
        for block in _blocks(source[0]):
            difference = _cosines(source[0][block], source[1][block], source[2])
            difference -= _cosines(target[0][block], target[1][block], target[2])
            # Huber's slope; the loss is slope * (difference - slope / 2).
            slope = torch.clamp(difference, -1, 1, out=slopes[block])
            loss[block] = difference.sub_(slope, alpha=0.5).mul_(slope).sum(dim=(1, 2))
            for number, part in enumerate(ctx.asked):
                b, one_by_b = sides[part][block][:, None], sides[part + 1][block][:, None]
                # A side is the first one of an angle as often as the second.
                by_sides[2 * number][block] = (slope * one_by_b).sum(dim=2)
                opposite = torch.mul(sides[part + 2], one_by_b, out=difference)
                by_sides[2 * number + 1][block] = (slope * (b - opposite)).sum(dim=2)
        ctx.save_for_backward(slopes, sides[1], sides[4], *by_sides)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the sides that ask for one."""
        slopes, *inverses = ctx.saved_tensors[:3]
        by_sides = iter(ctx.saved_tensors[3:])
        found: list[Tensor | None] = [None] * 6
        for part in ctx.asked:
            weight = (gradient if part == 0 else -gradient)[:, None]
            inverse = inverses[part // 3]
            by_square = torch.zeros_like(slopes[0])
            for block in _blocks(inverse):
                one_by_ab = (weight[block] * inverse[block])[:, :, None] * inverse[block][:, None]
                by_square -= one_by_ab.mul_(slopes[block]).sum(dim=0) / 2
            found[part : part + 3] = weight * next(by_sides), weight * next(by_sides), by_square
        return tuple(found)


def _blocks(sides: Tensor) -> list[slice]:
    """Divide the vertices of (B, N) sides."""
    rows, others = sides.shape
    triplets = _TRIPLETS_ON_CPU if sides.device.type == "cpu" else _TRIPLETS
    at_once = max(1, triplets // others**2)
    return [slice(first, first + at_once) for first in range(0, rows, at_once)]


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
