"""The batch: the one thing the data and the networks have to agree on.

A batch is a plain ``dict``:

=============  =========================================================================
key            value
=============  =========================================================================
``<modality>`` one tensor a modality under its name, for example ``video`` (B, C, T, H, W),
               ``audio`` (B, 1, L) waveform, ``face`` (B, D) features or (B, L, D) a sequence
``label``      (B,) int64
``index``      (B,) int64, the sample's number in its dataset (windows of one clip share it)
``window``     (B,) int64, the window's number in its clip; may be missing, which means 0
``labelled``   (B,) bool, whose labels are known; may be missing: all are. A hidden label is 0
``present``    {modality: (B,) bool}; an absent modality is zeros here with ``present`` False
``length``     {modality: (B,) int64}; valid steps of a padded sequence, only for sequences
=============  =========================================================================

Absent rows are masked, never indexed away: a loss over ``x[mask]`` is NaN for an empty
selection and hangs DDP when one rank has no such row.
"""

from typing import Any, TypeAlias

import torch
from torch import Tensor

Batch: TypeAlias = dict[str, Any]

RESERVED_KEYS = frozenset({"label", "labelled", "index", "window", "present", "length"})


def batch_modalities(batch: Batch) -> list[str]:
    """Return the names of the modalities a batch holds, in its own order."""
    return [key for key in batch if key not in RESERVED_KEYS]


def batch_length(batch: Batch, modality: str) -> Tensor | None:
    """Return the (B,) number of valid steps of a padded sequence, None for anything else."""
    lengths: dict[str, Tensor] = batch.get("length", {})
    return lengths.get(modality)


def batch_window(batch: Batch) -> Tensor:
    """Return the (B,) windows' numbers in their clips, 0 where the batch has none."""
    index: Tensor = batch["index"]
    window: Tensor = batch.get("window", index.new_zeros(len(index)))
    return window


def batch_labelled(batch: Batch) -> Tensor:
    """Return (B,) bool, the rows whose labels are known."""
    if "labelled" in batch:
        labelled: Tensor = batch["labelled"]
        return labelled
    return torch.ones(len(batch["label"]), dtype=torch.bool, device=batch["label"].device)
