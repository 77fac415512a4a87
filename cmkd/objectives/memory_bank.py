"""One pair of embeddings for every training sample, from when it was last seen."""

import math

import torch
from torch import Tensor

from cmkd.distributed import Replicated, gather_rows
from cmkd.objectives.numerics import unit_vectors


class MemoryBank(Replicated):
    """Slowly moving embeddings of the training set.

    After Unsupervised Feature Learning via Non-Parametric Instance Discrimination, Wu, Xiong, Yu,
    Lin, CVPR 2018. The content is saved with checkpoints and the same on all ranks: rows are
    gathered before they are written, which every rank does in place.

    Args:
        dim: width of the embeddings, D.
        momentum: what a visited entry keeps of itself; the rest is the new embedding.
    """

    source: Tensor | None
    target: Tensor | None

    def __init__(self, dim: int, momentum: float) -> None:
        super().__init__()
        self.dim = dim
        self.momentum = momentum
        self.register_buffer("source", None)
        self.register_buffer("target", None)

    def allocate(self, samples: int, like: Tensor) -> None:
        """Make the bank: random entries of length about 1, the same ones in every run and rank.

        Args:
            samples: number of training samples, N.
            like: gives device and type.
        """
        generator = torch.Generator().manual_seed(0)
        bound = math.sqrt(3 / self.dim)
        for name in ("source", "target"):
            entries = (2 * torch.rand(samples, self.dim, generator=generator) - 1) * bound
            self.register_buffer(name, entries.to(like))

    def entries(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the source's and the target's entries, (N, D) each: the bank itself, no copies.

        ``update`` writes it in place, before backward reads what the anchors met: copy what goes
        into the graph.

        Args:
            index: (B,) the sample numbers that will be looked up.

        Raises:
            RuntimeError: before ``allocate``.
            ValueError: for a sample number beyond the bank, found where that costs no
                synchronisation; elsewhere it is the device that complains.
        """
        if self.source is None or self.target is None:
            raise RuntimeError("the memory bank has no entries yet: call allocate(context) first")
        if index.device.type == "cpu" and len(index) and int(index.max()) >= len(self.source):
            raise ValueError(
                f"the batch's 'index' holds {int(index.max())}, but there are {len(self.source)} "
                "training samples; the datamodule has to number them from 0 and to give their "
                "number as 'train_samples'"
            )
        return self.source, self.target

    @torch.no_grad()
    def update(self, source: Tensor, target: Tensor, index: Tensor, mask: Tensor) -> None:
        """Move the entries of the valid rows of all ranks towards their embeddings.

        Args:
            source: (B, D) this rank's rows, of length 1; all ranks hold the same B.
            target: (B, D) their partners.
            index: (B,) their sample numbers.
            mask: (B,) bool, valid rows; the others change nothing.
        """
        pairs = gather_rows(torch.stack([source, target], dim=1))
        index, valid = gather_rows(torch.stack([index, mask.to(index)], dim=1)).unbind(1)
        # Of several valid rows of one sample the last counts, and all of them write it: the
        # order in which a device writes then does not matter, and ranks cannot drift apart.
        same = (index[:, None] == index) & valid.bool()
        last = (same * torch.arange(1, len(index) + 1, device=index.device)).amax(dim=1)
        pairs = pairs[(last - 1).clamp(min=0)]
        for bank, rows in ((self.source, pairs[:, 0]), (self.target, pairs[:, 1])):
            assert bank is not None  # noqa: S101 - for the type checker; entries() came before
            old = bank[index]
            moved = unit_vectors(self.momentum * old + (1 - self.momentum) * rows.to(old))
            bank[index] = moved.where((last > 0)[:, None], old)
