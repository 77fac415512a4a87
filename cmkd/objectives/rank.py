"""Ranking loss: the order of the classes at the top of two predictions."""

from collections.abc import Mapping

import torch
from torch import Tensor

from cmkd.objectives.categorical import require_same_classes
from cmkd.objectives.dist import pearson_distance
from cmkd.objectives.divergences import PredictionObjective
from cmkd.objectives.numerics import full_precision
from cmkd.representation import Sizes


def soft_ranks(x: Tensor, temperature: float, members: Tensor | None = None) -> Tensor:
    """Differentiable ranks 1/2 + sum_j sigmoid((x_i - x_j) / tau), j = i included.

    As tau goes to 0 they become the ranks from 1 (the smallest) to K, the mean of their places
    for equal values.

    Args:
        x: (B, K).
        temperature: tau, in the unit of x.
        members: (B, K) bool, who takes part; the ranks of the others mean nothing. None means all.

    Returns:
        (B, K) in float32 at least. Memory B K^2.
    """
    x = full_precision(x)
    behind = ((x[:, :, None] - x[:, None]) / temperature).sigmoid()
    if members is not None:
        behind = behind.where(members[:, None], 0)
    return 0.5 + behind.sum(dim=2)


def union_of_top_k(first: Tensor, second: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the classes that are among the k largest of either row.

    Args:
        first: (B, C).
        second: (B, C).
        k: how many of each; all where there are no more.

    Returns:
        (B, K) int64 classes, K = min(2 k, C), and (B, K) bool, which of them are in the union.
    """
    classes = first.shape[1]
    chosen = torch.zeros_like(first, dtype=torch.bool)
    for logits in (first, second):
        chosen.scatter_(1, logits.topk(min(k, classes), dim=1).indices, True)
    members, index = chosen.int().topk(min(2 * k, classes), dim=1)
    return index, members.bool()


def top_k_rank_loss(
    source_logits: Tensor, target_logits: Tensor, k: int = 5, temperature: float = 1.0
) -> Tensor:
    """One minus Spearman's correlation of soft ranks, over the union of both top k.

    Enhancing Knowledge Distillation of Large Language Models through Efficient Multi-Modal
    Distribution Alignment, Peng, Zhang, COLING 2025, arXiv 2409.12545. In the authors' code soft
    ranks are projections on the permutahedron, and the union is that of all rows that are
    compared at once; here the ranks are sums of sigmoids, and each row has its own union.

    Args:
        source_logits: (B, C).
        target_logits: (B, C).
        k: how many classes of each prediction.
        temperature: of the ranks, see :func:`soft_ranks`; large values make it a correlation of
            the logits themselves.

    Returns:
        (B,) from 0 to 2; 0 without gradient where the target's logits are all the same.
    """
    index, members = union_of_top_k(source_logits, target_logits, k)
    size = members.sum(dim=1, keepdim=True)
    deviations = []
    for logits in (source_logits, target_logits):
        ranks = soft_ranks(logits.gather(1, index), temperature, members)
        mean = ranks.where(members, 0).sum(dim=1, keepdim=True) / size
        deviations.append((ranks - mean).where(members, 0))
    return pearson_distance(*deviations)


class TopKRank(PredictionObjective):
    """Ranking loss between predictions, see :func:`top_k_rank_loss`.

    RLKD adds half of a divergence to it: another term, of weight 0.5, with
    ``KnowledgeDistillation``, ``ReverseKnowledgeDistillation``, ``JensenShannon`` or
    ``TotalVariation``. The target is detached.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role whose order of classes it is pulled towards.
        k: how many classes of each prediction; 5 in the authors' code.
        temperature: of the soft ranks, in the unit of the logits.

    Raises:
        ValueError: when k or the temperature is not above 0, the numbers of logits differ, or
            there are fewer than two.
    """

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "teacher",
        k: int = 5,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(sizes, source, target, temperature)
        require_same_classes(self, sizes)
        if k < 1:
            raise ValueError(f"TopKRank.k must be at least 1, got {k}")
        self.k = k

    def compare(self, source: Tensor, target: Tensor) -> Tensor:
        """Return the (B,) distances of the orders."""
        return top_k_rank_loss(source, target, self.k, self.temperature)
