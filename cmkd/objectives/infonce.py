"""Mutual information, bounded from below by contrast."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from cmkd.batch import Batch
from cmkd.distributed import gather_rows, mean_over_ranks, rank, world_size
from cmkd.objectives.base import Objective, ObjectiveOutput, masked_mean
from cmkd.objectives.blocked_logits import MAX_LOGITS, in_blocks_of_rows
from cmkd.objectives.mlp import MLP
from cmkd.objectives.negative_queue import NegativeQueue, QueuedNegatives
from cmkd.objectives.numerics import (
    full_precision,
    require_positive,
    without_autocast,
    zero_masked_rows,
)
from cmkd.representation import Representation, Sizes

#: CLIP's bound on the learned inverse temperature; above it training becomes unstable.
MAX_INVERSE_TEMPERATURE = 100.0


def info_nce(
    x: Tensor,
    y: Tensor,
    temperature: float | Tensor,
    mask: Tensor | None = None,
    queue: QueuedNegatives | None = None,
    max_logits: int = MAX_LOGITS,
) -> Tensor:
    """Symmetric InfoNCE of the local rows, against the candidates of all ranks.

    Row i of x has to find row i of y by its cosine among all valid rows of y, and the other way
    round; the two cross-entropies are averaged. Under DDP the local rows meet the rows of every
    rank, gathered with gradient, so that DDP's average of the gradients of ``masked_mean`` of the
    result is the gradient of the joint batch.

    Representation Learning with Contrastive Predictive Coding, van den Oord, Li, Vinyals,
    arXiv 1807.03748, 2018; symmetric as in CLIP (Learning Transferable Visual Models From Natural
    Language Supervision, Radford et al., ICML 2021).

    Where a batch and its candidates are large, the logits are computed in blocks of rows and again
    in the backward, so that memory grows with the batch and not with its square.

    Args:
        x: (B, D), any scale: rows are L2-normalised here. All ranks hold the same B.
        y: (B, D), the partner of each row.
        temperature: divides the cosines; a number or a scalar tensor above 0.
        mask: (B,) bool, valid rows; the others are no candidates, and their own losses are finite
            numbers without meaning. None means all.
        queue: further negatives, x's as its source and y's as its target; they get no gradient.
        max_logits: how many are held at once; beyond it they are computed in blocks.

    Returns:
        (B,) nats, in float32 at least and whatever autocast says.

    Raises:
        ValueError: when x and y are not two matrices of one shape.
    """
    if x.ndim != 2 or x.shape != y.shape:
        raise ValueError(
            f"info_nce needs x and y of one shape (B, D), got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    rows = x.shape[0]
    if mask is None:
        mask = torch.ones(rows, dtype=torch.bool, device=x.device)
    with without_autocast(x):
        # The eps bounds the gradient of a row that collapsed to zero.
        local = [
            normalize(zero_masked_rows(full_precision(z), mask), dim=1, eps=1e-6) for z in (x, y)
        ]
        # One collective for both sides, forward and backward.
        candidates = gather_rows(torch.stack(local, dim=1)).flip(1).unbind(1)
        own = torch.arange(rows, device=x.device) + rank() * rows
        valid = gather_rows(mask)
        queued: list[tuple[Tensor, Tensor] | None] = [None, None]
        if queue is not None:
            queued = [(queue.target, queue.allowed), (queue.source, queue.allowed)]
        losses = [
            _one_way(z, own, others, valid, temperature, further, max_logits)
            for z, others, further in zip(local, candidates, queued, strict=True)
        ]
        return (losses[0] + losses[1]) / 2


def _one_way(
    anchors: Tensor,
    own: Tensor,
    candidates: Tensor,
    valid: Tensor,
    temperature: float | Tensor,
    queued: tuple[Tensor, Tensor] | None,
    max_logits: int,
) -> Tensor:
    """Return the (B,) cross-entropies of unit vectors among their candidates.

    Args:
        anchors: (B, D).
        own: (B,) which candidate is an anchor's partner.
        candidates: (N, D).
        valid: (N,) bool, which of them count.
        temperature: divides the cosines.
        queued: further negatives (Q, D), and which of them an anchor has, (B, Q) bool.
        max_logits: how many are held at once.
    """
    further, allowed = (None, []) if queued is None else (queued[0].to(anchors), [queued[1]])

    def losses(anchors: Tensor, own: Tensor, *allowed: Tensor) -> Tensor:
        # A row is always a candidate of its own: an invalid row's softmax over nothing would be
        # NaN, and so would be its gradient, even behind a mask.
        counts = valid.repeat(len(own), 1).scatter_(1, own[:, None], True)
        logits = _scores(anchors, candidates, temperature, counts)
        if further is not None:
            logits = torch.cat([logits, _scores(anchors, further, temperature, *allowed)], dim=1)
        return cross_entropy(logits, own, reduction="none")

    columns = len(candidates) + (0 if further is None else len(further))
    return in_blocks_of_rows(losses, [anchors, own, *allowed], columns, max_logits)


def _scores(
    anchors: Tensor, candidates: Tensor, temperature: float | Tensor, allowed: Tensor
) -> Tensor:
    """Return the (B, N) logits of unit vectors (B, D) and (N, D), -inf where not allowed."""
    return (anchors @ candidates.T / temperature).masked_fill_(~allowed, -math.inf)


def mutual_information_bound(loss: Tensor, candidates: Tensor) -> Tensor:
    """Return log N - L, which in expectation is at most the mutual information.

    Args:
        loss: scalar or (B,), the InfoNCE loss in nats.
        candidates: scalar or (B,), with how many candidates it was compared, itself included.

    Returns:
        In nats, never above log N; 0 where there is no candidate.
    """
    return candidates.clamp(min=1).to(loss.dtype).log() - loss


class InfoNCE(Objective):
    """Lower bound on the mutual information between two networks' embeddings.

    Source and target embedding go through a projection head each, are L2-normalised and compared
    by :func:`info_nce`. Where the target comes without gradient (a frozen teacher) only the source
    and both heads learn; where it comes with gradient both networks are pulled together.

    The heads are linear by default, as in CRD (Contrastive Representation Distillation, Tian,
    Krishnan, Isola, ICLR 2020), so that what is shared becomes linearly readable from the
    embedding itself; ``projection_hidden`` makes them SimCLR's one-hidden-layer MLPs (A Simple
    Framework for Contrastive Learning of Visual Representations, Chen et al., ICML 2020), which
    leave the embeddings more freedom.

    With a queue every row also meets pairs of earlier batches, see
    :class:`cmkd.objectives.negative_queue.NegativeQueue`. They come from the networks as they were,
    so that the bound holds up to how far these have moved.

    Logs ``bound`` (nats), its ``ceiling`` log N, and a learned ``temperature``.

    Args:
        sizes: the networks' widths by role.
        source: the role that is pulled.
        target: the role it is compared with.
        dim: width of the space in which rows are compared.
        temperature: divides the cosines; the initial value where it is learned.
        learn_temperature: train the logarithm of the inverse temperature, kept at 1/100 or
            warmer as in CLIP.
        projection_hidden: hidden width of the projection heads; None makes them linear.
        queue_size: how many pairs of earlier batches are further negatives; 0 for none.

    Raises:
        ValueError: for a width or temperature that is not above 0, a queue of negative size, or a
            learned temperature that would start below 1/100.
    """

    minimum_rows = 2

    def __init__(
        self,
        sizes: Mapping[str, Sizes],
        source: str = "student",
        target: str = "teacher",
        dim: int = 128,
        temperature: float = 0.1,
        learn_temperature: bool = False,
        projection_hidden: int | None = None,
        queue_size: int = 0,
    ) -> None:
        super().__init__(sizes, source, target)
        require_positive(self, dim=dim, temperature=temperature)
        if queue_size < 0:
            raise ValueError(f"InfoNCE.queue_size must be 0 or more, got {queue_size}")
        if projection_hidden is not None:
            require_positive(self, projection_hidden=projection_hidden)
        if learn_temperature and temperature < 1 / MAX_INVERSE_TEMPERATURE:
            raise ValueError(
                f"InfoNCE.temperature: a learned temperature stays at or above "
                f"{1 / MAX_INVERSE_TEMPERATURE}, it cannot start at {temperature}"
            )
        depth = 0 if projection_hidden is None else 1
        self.source_projection, self.target_projection = (
            MLP(sizes[role].embedding, dim, projection_hidden or 0, depth)
            for role in (source, target)
        )
        self.fixed_temperature = temperature
        self.log_inverse_temperature = (
            nn.Parameter(torch.tensor(-math.log(temperature))) if learn_temperature else None
        )
        self.queue = NegativeQueue(queue_size, dim) if queue_size else None

    def temperature(self) -> float | Tensor:
        """Return the temperature in use, a scalar tensor with gradient where it is learned."""
        if self.log_inverse_temperature is None:
            return self.fixed_temperature
        with torch.no_grad():
            # On the parameter itself, as CLIP does: a clamp in the graph would have no gradient
            # beyond the bound, and the temperature could never come back.
            self.log_inverse_temperature.clamp_(max=math.log(MAX_INVERSE_TEMPERATURE))
        return full_precision(-self.log_inverse_temperature).exp()

    def forward(
        self, representations: Mapping[str, Representation], batch: Batch
    ) -> ObjectiveOutput:
        """Compute the loss of one batch; 0 where there is no second pair to compare with."""
        source, target, mask = self.pair(representations)
        temperature = self.temperature()
        x = self.source_projection(zero_masked_rows(source.embedding, mask))
        y = self.target_projection(zero_masked_rows(target.embedding, mask))
        queued = None if self.queue is None else self.queue.negatives(batch["index"])
        losses = info_nce(x, y, temperature, mask, queued)
        in_batch = mean_over_ranks(mask.sum().to(losses.dtype)) * world_size()
        candidates = in_batch.expand(len(mask)).clamp(min=1)
        if self.queue is not None and queued is not None:
            candidates = candidates + queued.allowed.sum(dim=1)
            self.queue.push(x, y, batch["index"], mask)
        logs = {
            "bound": masked_mean(mutual_information_bound(losses.detach(), candidates), mask),
            "ceiling": masked_mean(candidates.log(), mask),
        }
        if isinstance(temperature, Tensor):
            logs["temperature"] = temperature.detach()
        return ObjectiveOutput(masked_mean(losses, mask), logs=logs)
