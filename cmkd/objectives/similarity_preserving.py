"""Similarity preserving: samples alike to the teacher are to be alike to the student."""

from torch import Tensor

from cmkd.objectives.numerics import unit_vectors
from cmkd.objectives.relational import RelationalObjective, inner_products, join_ranks


def similarity_preserving_loss(
    source: Tensor, target: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Mean squared difference of each row of the two similarity matrices.

    A similarity is an inner product, and each row of the matrix is scaled to length 1. The mean
    over rows is |G_t - G_s|^2 / N^2. Similarity-Preserving Knowledge Distillation, Tung, Mori,
    ICCV 2019.

    Args:
        source: (B, D) the local rows, compared with those of all ranks; all hold the same B.
        target: (B, E).
        mask: (B,) bool, valid rows; None means all.

    Returns:
        (B,) the mean over the N valid rows, in float32 at least; at most 4/N.

    Raises:
        ValueError: when source and target are not matrices of as many rows.
    """
    rows = join_ranks(source, target, mask)
    # Products with masked rows are 0 in both, and masked rows themselves are.
    s = _similarities(rows.source, rows.all_source)
    t = _similarities(rows.target, rows.all_target)
    return (s - t).square().sum(dim=1) / rows.count


def _similarities(x: Tensor, others: Tensor) -> Tensor:
    # Products are of second order, and so is what counts as zero.
    return unit_vectors(inner_products(x, others), eps=1e-12)


class SimilarityPreserving(RelationalObjective):
    """Similarity-preserving distillation between embeddings.

    See :func:`similarity_preserving_loss`. The paper compares the flattened maps of layers before
    the pooling; embeddings exist whatever the modalities are. The target is detached.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role whose similarities it is pulled towards.
    """

    def compare(self, source: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the (B,) squared differences of the local rows."""
        return similarity_preserving_loss(source, target, mask)
