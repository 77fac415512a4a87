"""A part of the rows of a pass through evaluation data, for figures and probes."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from cmkd.distributed import world_size


class RowSample:
    """Keeps the rows of about ``limit`` samples, chosen at random but the same in every pass.

    Samples are ranked by a hash of their number, and those with the lowest are kept (a bottom-k
    sample: Cohen & Kaplan, "Summarizing Data using Bottom-k Sketches", PODC 2007). So the choice
    depends neither on the order of the rows, nor on how many there are, nor on the number of
    devices, and all windows of a sample are kept or none.

    Args:
        limit: most rows that are kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._clear()

    def _clear(self) -> None:
        self._rows: list[dict[str, Tensor]] = []
        self._count = 0
        self._below = torch.iinfo(torch.int64).max

    def wanted(self, index: Tensor) -> Tensor:
        """Return (B,) bool, the rows that may be among those kept, by their (B,) numbers."""
        return _hash(index) < self._below

    def add(self, rows: Mapping[str, Tensor]) -> None:
        """Add rows that are wanted.

        Args:
            rows: (B, ...) by name; ``index`` and ``window`` are their samples' and windows'
                numbers. Always the same names.
        """
        self._rows.append(dict(rows))
        self._count += len(rows["index"])
        if self._count > 2 * self._limit:
            self._rows = [self._lowest(_joined(self._rows))]
            self._count = len(self._rows[0]["index"])

    def pop(self) -> dict[str, Tensor]:
        """Return the rows of all ranks, each window once, by hash; empty where there are none.

        Every rank has to call it.
        """
        if not self._rows:
            return {}
        rows = self._lowest(_joined(self._rows))
        self._rows.clear()
        if world_size() > 1:
            # In one order on all ranks: an exchange meets whichever the others make next.
            rows = {name: torch.cat(gather_all_tensors(rows[name])) for name in sorted(rows)}
        rows = self._lowest(rows)
        self._clear()
        order = rows["window"].argsort(stable=True)
        order = order[rows["index"][order].argsort(stable=True)]
        order = order[_hash(rows["index"][order]).argsort(stable=True)]
        pairs = torch.stack([rows["index"][order], rows["window"][order]])
        # A DistributedSampler repeats rows to fill up the last batch.
        order = order[_begins(pairs)]
        return {name: row[order] for name, row in rows.items()}

    def _lowest(self, rows: dict[str, Tensor]) -> dict[str, Tensor]:
        hashed = _hash(rows["index"])
        if len(hashed) > self._limit:
            # Not the windows of a sample that has more behind the limit.
            self._below = min(self._below, int(hashed.sort().values[self._limit]))
        kept = hashed < self._below
        return {name: row[kept] for name, row in rows.items()}


def sample_means(values: Tensor, index: Tensor) -> Tensor:
    """Return (N, ...) means of values (R, ...) over the neighbours with the same index (R,)."""
    counts = torch.unique_consecutive(index, return_counts=True)[1]
    return torch.segment_reduce(values.float(), "mean", lengths=counts)


def first_rows(index: Tensor) -> Tensor:
    """Return (N,) numbers of the rows at which neighbours with the same index (R,) begin."""
    return _begins(index[None]).nonzero().squeeze(1)


def _begins(columns: Tensor) -> Tensor:
    """Return (R,) bool, where a column of (K, R) differs from the one before it."""
    begins = torch.ones(columns.shape[1], dtype=torch.bool, device=columns.device)
    begins[1:] = (columns[:, 1:] != columns[:, :-1]).any(0)
    return begins


def _hash(index: Tensor) -> Tensor:
    """Return (B,) numbers in [0, 2^32): Knuth's multiplicative hash, mixed twice."""
    mask = 0xFFFFFFFF
    value = (index + 1) * 2654435761 & mask
    value = (value ^ (value >> 16)) * 2246822519 & mask
    return value ^ (value >> 13)


def _joined(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
