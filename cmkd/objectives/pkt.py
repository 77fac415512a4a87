"""Probabilistic knowledge transfer: who is near whom, as probabilities."""

from torch import Tensor

from cmkd.objectives.numerics import unit_vectors
from cmkd.objectives.relational import RelationalObjective, inner_products, join_ranks

#: Smallest affinity: opposite vectors would have probability 0 and an infinite divergence.
MIN_AFFINITY = 1e-7


def probabilistic_knowledge_transfer(
    source: Tensor, target: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Divergence KL(p || q) of the neighbours' probabilities, p the target's and q the source's.

    The probability of sample j as a neighbour of i is (cos(x_i, x_j) + 1) / 2 over its sum over
    j; i is its own neighbour. Learning Deep Representations with Probabilistic Knowledge
    Transfer, Passalis, Tefas, ECCV 2018; form of the authors' code, but for its mean over all
    pairs: the loss of N rows there is 1/N of the one here, and shrinks with the batch.

    Args:
        source: (B, D) the local rows, compared with those of all ranks; all hold the same B.
        target: (B, E).
        mask: (B,) bool, valid rows, the only neighbours; None means all.

    Returns:
        (B,) nats, not negative, in float32 at least.

    Raises:
        ValueError: when source and target are not matrices of as many rows.
    """
    rows = join_ranks(source, target, mask)
    q = _neighbours(rows.source, rows.all_source, rows.valid)
    p = _neighbours(rows.target, rows.all_target, rows.valid)
    return (p * (p.log() - q.log())).where(rows.valid, 0).sum(dim=1)


def _neighbours(x: Tensor, others: Tensor, valid: Tensor) -> Tensor:
    """Return (B, N) probabilities that sum to 1 over the valid columns; the others are above 0."""
    cosine = inner_products(unit_vectors(x), unit_vectors(others))
    affinity = ((cosine + 1) / 2).clamp(min=MIN_AFFINITY)
    # Without any valid row it is a sum over nothing.
    return affinity / affinity.where(valid, 0).sum(dim=1, keepdim=True).clamp(min=MIN_AFFINITY)


class PKT(RelationalObjective):
    """Probabilistic knowledge transfer between embeddings.

    See :func:`probabilistic_knowledge_transfer`. The target is detached.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role whose neighbourhoods it is pulled towards.
    """

    def compare(self, source: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the (B,) divergences of the local rows."""
        return probabilistic_knowledge_transfer(source, target, mask)
