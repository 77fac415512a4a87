"""The batch of some sources' windows, with what they lack masked."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from cmkd.batch import Batch
from cmkd.preprocessing import Shape


def assemble(sources: Sequence[Mapping[str, Tensor]], shapes: Mapping[str, Shape]) -> Batch:
    """Put the windows of sources together, as ``cmkd.batch`` describes a batch.

    Args:
        sources: of each, windows (V, ...) by modality; a modality left out is absent.
        shapes: of the modalities; sequences, whose steps are None, are padded with zeros.

    Returns:
        Rows in the order of sources and windows; ``index`` is the source's number.
    """
    counts = [len(next(iter(windows.values()))) for windows in sources]
    batch: Batch = {"index": torch.arange(len(sources)).repeat_interleave(torch.tensor(counts))}
    batch["present"], lengths = {}, {}
    for name, shape in shapes.items():
        blank = torch.zeros([1 if size is None else size for size in shape])
        rows = [
            row
            for windows, count in zip(sources, counts, strict=True)
            for row in windows.get(name, blank.expand(count, *blank.shape))
        ]
        there = torch.tensor([name in windows for windows in sources])
        batch["present"][name] = there[batch["index"]]
        if shape[0] is None:
            lengths[name] = torch.tensor([len(row) for row in rows])
            batch[name] = pad_sequence(rows, batch_first=True)
        else:
            batch[name] = torch.stack(rows)
    if lengths:
        batch["length"] = lengths
    return batch
