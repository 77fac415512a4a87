"""Losses of rows against many candidates, without the matrix of all their logits."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

#: Logits that are held at once; 64 MiB in float32, more than a batch of 4,096 against itself.
MAX_LOGITS = 2**24


def in_blocks_of_rows(
    losses: Callable[..., Tensor],
    rows: Sequence[Tensor],
    candidates: int,
    max_logits: int = MAX_LOGITS,
) -> Tensor:
    """Compute the losses of rows that do not depend on each other, a block of them at a time.

    Where all logits together are few, that is one plain call. Otherwise no block's logits outlive
    it: the backward computes them again (Training Deep Nets with Sublinear Memory Cost, Chen, Xu,
    Zhang, Guestrin, arXiv 1604.06174, 2016), a matrix product more for memory that is linear in
    the rows and in the candidates. Each row meets all candidates within one block, so that value
    and gradient are those of the plain call, up to the order in which the blocks' gradients of a
    candidate are added.

    Args:
        losses: gives the (B,) losses of a block of rows. It may use other tensors with gradient,
            such as the candidates and a temperature, but must draw no random numbers.
        rows: its arguments, (B, ...) each, which are cut into blocks.
        candidates: how many logits a row has.
        max_logits: how many are held at once; a row's are never divided.

    Returns:
        (B,) losses.
    """
    block = max(max_logits // max(candidates, 1), 1)
    if len(rows[0]) <= block:
        return losses(*rows)
    parts = [
        checkpoint(losses, *part, use_reentrant=False, preserve_rng_state=False)
        for part in zip(*(torch.split(x, block) for x in rows), strict=True)
    ]
    return torch.cat(parts)
