"""Correlation congruence: a kernel between samples, the same in both networks."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from cmkd.objectives.mlp import MLP
from cmkd.objectives.numerics import require_positive, unit_vectors, zero_masked_rows
from cmkd.objectives.relational import RelationalObjective, inner_products, join_ranks
from cmkd.representation import Sizes


def correlation_congruence_loss(
    source: Tensor,
    target: Tensor,
    gamma: float = 0.4,
    order: int = 2,
    mask: Tensor | None = None,
) -> Tensor:
    """Mean squared difference of each row of the two kernel matrices.

    The kernel is exp(-gamma |x - y|^2) of rows scaled to length 1, expanded in their product:
    exp(-2 gamma) sum_p (2 gamma)^p / p! (x y)^p up to the given order. Correlation Congruence for
    Knowledge Distillation, Peng, Jin, Liu, Zhou, Wu, Liu, Li, Zhang, ICCV 2019, and public
    re-implementations of it; the authors' own code was not at hand.

    Args:
        source: (B, D) the local rows, compared with those of all ranks; all hold the same B.
        target: (B, E).
        gamma: inverse width of the kernel.
        order: highest power of the expansion.
        mask: (B,) bool, valid rows; None means all.

    Returns:
        (B,) the mean over the N valid rows, in float32 at least.

    Raises:
        ValueError: when source and target are not matrices of as many rows.
    """
    rows = join_ranks(source, target, mask)
    s = _kernel(rows.source, rows.all_source, gamma, order)
    t = _kernel(rows.target, rows.all_target, gamma, order)
    return (s - t).square().where(rows.valid, 0).sum(dim=1) / rows.count


def _kernel(x: Tensor, others: Tensor, gamma: float, order: int) -> Tensor:
    product = inner_products(unit_vectors(x), unit_vectors(others))
    terms = [(2 * gamma) ** p / math.factorial(p) * product**p for p in range(order + 1)]
    return math.exp(-2 * gamma) * torch.stack(terms).sum(dim=0)


class CorrelationCongruence(RelationalObjective):
    """Correlation congruence between the target's embedding and a linear map of the source's.

    See :func:`correlation_congruence_loss`. Public code maps both networks to a common
    width; here the target has no such layer, since two trained ones agree perfectly once both map
    everything to a single point. The target is detached.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role whose correlations it is pulled towards.
        gamma: inverse width of the kernel; .4 is the paper's.
        order: highest power of the kernel's expansion; 2 is the paper's.

    Raises:
        ValueError: when gamma is not above 0 or order is below 1.
    """

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "teacher",
        gamma: float = 0.4,
        order: int = 2,
    ) -> None:
        super().__init__(sizes, source, target)
        require_positive(self, gamma=gamma, order=order)
        self.gamma = gamma
        self.order = order
        self.projection = MLP(sizes[source].embedding, sizes[target].embedding)

    def compare(self, source: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the (B,) squared differences of the local rows."""
        s = self.projection(zero_masked_rows(source, mask))
        return correlation_congruence_loss(s, target, self.gamma, self.order, mask)
