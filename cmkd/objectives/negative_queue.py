"""Negatives from earlier batches, kept in a queue."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cmkd.distributed import Replicated, gather_rows
from cmkd.objectives.numerics import full_precision, unit_vectors

#: Stands for the sample number of a place that is still empty, and of a masked row.
NO_SAMPLE = -1


@dataclass(frozen=True)
class QueuedNegatives:
    """Pairs of earlier batches, as the anchors of one batch meet them.

    Attributes:
        source: (Q, D) of length 1, negatives of the target's rows.
        target: (Q, D) of length 1, negatives of the source's rows.
        allowed: (B, Q) bool, which of them are negatives of each anchor.
    """

    source: Tensor
    target: Tensor
    allowed: Tensor


class NegativeQueue(Replicated):
    """The newest embeddings of all ranks, in pairs, first in first out.

    After Momentum Contrast for Unsupervised Visual Representation Learning, He, Fan, Wu, Xie,
    Girshick, CVPR 2020, without the slowly moving encoder: an entry is as old as the number of
    steps that its place takes to come round, so a queue much longer than an epoch holds entries
    that the networks would no longer give.

    The content is saved with checkpoints and the same on all ranks: rows are gathered before they
    are written, which every rank does in place. It does not depend on how many ranks there are:
    the rows of a batch enter in the order of their sample numbers.

    Args:
        size: how many pairs it holds, Q.
        dim: their width, D.
    """

    source: Tensor
    target: Tensor
    sample: Tensor
    oldest: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("source", torch.zeros(size, dim))
        self.register_buffer("target", torch.zeros(size, dim))
        self.register_buffer("sample", torch.full((size,), NO_SAMPLE))
        self.register_buffer("oldest", torch.zeros((), dtype=torch.int64))

    def negatives(self, index: Tensor) -> QueuedNegatives:
        """Return what is in the queue; an entry is no negative of the sample it came from.

        Args:
            index: (B,) the anchors' sample numbers.
        """
        allowed = (self.sample != NO_SAMPLE) & (self.sample != index[:, None])
        # Copies, since the queue is written in place before backward reads what the anchors met.
        return QueuedNegatives(self.source.clone(), self.target.clone(), allowed)

    @torch.no_grad()
    def push(self, source: Tensor, target: Tensor, index: Tensor, mask: Tensor) -> None:
        """Put the valid rows of all ranks in the place of the oldest entries.

        Args:
            source: (B, D) this rank's rows, of any scale; all ranks hold the same B.
            target: (B, D) their partners.
            index: (B,) their sample numbers.
            mask: (B,) bool, valid rows; the others do not enter.

        Raises:
            ValueError: when the batch, over all ranks, is larger than the queue.
        """
        pairs = gather_rows(
            torch.stack([unit_vectors(full_precision(z)) for z in (source, target)], dim=1)
        )
        sample = gather_rows(index.masked_fill(~mask, NO_SAMPLE))
        size = len(self.sample)
        if len(sample) > size:
            raise ValueError(
                f"queue_size is {size}, but a batch has {len(sample)} rows over all ranks; make "
                "the queue at least as large, or the batch smaller"
            )
        # Valid rows first, so that they fill the queue without gaps; shapes stay fixed, and the
        # places behind them are written with what they hold. By number, since ranks deal a batch
        # among themselves in another order, and where the queue ends within a batch the order
        # decides what is pushed out.
        last = torch.iinfo(sample.dtype).max
        by_number = sample.masked_fill(sample == NO_SAMPLE, last).argsort(stable=True)
        sample, pairs = sample[by_number], pairs[by_number].to(self.source.dtype)
        valid = sample != NO_SAMPLE
        places = (self.oldest + torch.arange(len(sample), device=sample.device)) % size
        self.sample[places] = sample.where(valid, self.sample[places])
        for held, rows in ((self.source, pairs[:, 0]), (self.target, pairs[:, 1])):
            held[places] = rows.where(valid[:, None], held[places])
        self.oldest.copy_((self.oldest + valid.sum()) % size)
