"""One value a sample out of rows that are windows of samples."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from cmkd.distributed import world_size


@dataclass(frozen=True)
class Samples:
    """The samples of a pass, in the order of their numbers.

    Attributes:
        value: (N, ...) means over each sample's windows.
        target: (N,) labels.
        left_out: number of further samples without a valid row.
    """

    value: Tensor
    target: Tensor
    left_out: int


class SampleMeans:
    """Collects rows and averages them by sample, over all ranks.

    A row is counted once by its (index, window): a DistributedSampler repeats rows to fill up the
    last batch. What is added is sorted first, so that a sum has the same order, and the result
    the same bits, for any batch size and number of devices.
    """

    def __init__(self) -> None:
        self._value: list[Tensor] = []
        self._target: list[Tensor] = []
        self._index: list[Tensor] = []
        self._window: list[Tensor] = []
        self._absent: list[Tensor] = []

    def update(
        self, value: Tensor, target: Tensor, index: Tensor, window: Tensor, valid: Tensor
    ) -> None:
        """Add a batch.

        Args:
            value: (B, ...) of which a mean over windows makes sense.
            target: (B,) labels.
            index: (B,) sample numbers.
            window: (B,) numbers of the windows within their samples.
            valid: (B,) bool, rows that count.
        """
        self._value.append(value.detach().float()[valid])
        self._target.append(target[valid])
        self._index.append(index[valid])
        self._window.append(window[valid])
        self._absent.append(index[~valid])

    def compute(self) -> Samples:
        """Return the means over all ranks and start anew.

        Raises:
            ValueError: when windows of one sample have different labels.
        """
        if not self._index:
            return Samples(torch.empty(0), torch.empty(0), left_out=0)
        states = (self._value, self._target, self._index, self._window, self._absent)
        value, target, index, window, absent = (_over_ranks(state) for state in states)
        order = window.argsort(stable=True)
        order = order[index[order].argsort(stable=True)]
        order = order[_changes(index[order]) | _changes(window[order])]
        value, target, index = value[order], target[order], index[order]
        first = _changes(index).nonzero().squeeze(1)
        counts = torch.cat([first, first.new_tensor([len(index)])]).diff()
        differs = target != target[first].repeat_interleave(counts)
        if differs.any():
            raise ValueError(
                f"windows of sample {int(index[differs][0])} have different labels; a sample's "
                "index must be its own within a split"
            )
        if len(first) < len(value):
            value = torch.segment_reduce(value, "mean", lengths=counts)
        left_out = absent[torch.isin(absent, index, invert=True)]
        return Samples(value, target[first], len(set(left_out.tolist())))


def _changes(x: Tensor) -> Tensor:
    """Return (N,) bool, where a value of x (N,) differs from the one before it."""
    changes = torch.ones_like(x, dtype=torch.bool)
    changes[1:] = x[1:] != x[:-1]
    return changes


def _over_ranks(parts: list[Tensor]) -> Tensor:
    """Concatenate and free one rank's rows, then those of all ranks."""
    rows = torch.cat(parts)
    parts.clear()
    return torch.cat(gather_all_tensors(rows)) if world_size() > 1 else rows
