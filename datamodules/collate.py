"""Puts samples together into the batch that ``cmkd.batch`` describes."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from cmkd.batch import RESERVED_KEYS, Batch

#: What a dataset returns for one sample: the batch's keys, without the batch dimension.
Sample = dict[str, Any]
#: What a dataset is asked for: a sample's number; in training (number, epoch).
Key = int | tuple[int, int]


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples into a batch.

    Args:
        samples: each {modality: tensor, ``label``: int (float for regression), ``index``: int,
            ``present``: {modality: bool}, optionally ``length``: {modality: int} and ``window``:
            int}. A modality with a length is a sequence (L, ...) and is padded with zeros to the
            batch's longest.

    Raises:
        ValueError: when samples hold different modalities or tensors that do not stack; names the
            modality and the sample's index.
    """
    first = samples[0]
    modalities = _modalities(first)
    sequences = list(first.get("length", {}))
    for sample in samples:
        _check(sample, first, modalities, sequences)
    batch: Batch = {
        name: _stack([sample[name] for sample in samples], name in sequences) for name in modalities
    }
    batch["label"] = torch.tensor([sample["label"] for sample in samples])
    batch["index"] = torch.tensor([sample["index"] for sample in samples])
    if "window" in first:
        batch["window"] = torch.tensor([sample["window"] for sample in samples])
    batch["present"] = {
        name: torch.tensor([bool(sample["present"][name]) for sample in samples])
        for name in modalities
    }
    if sequences:
        batch["length"] = {
            name: torch.tensor([sample["length"][name] for sample in samples]) for name in sequences
        }
    return batch


def as_it_is(batch: Batch) -> Batch:
    """Put nothing together: for datasets whose ``__getitems__`` makes whole batches."""
    return batch


def row_of(key: Key) -> int:
    """Return the sample's number in a key, which in training holds the epoch too."""
    return key if isinstance(key, int) else key[0]


def _modalities(sample: Sample) -> list[str]:
    return [key for key in sample if key not in RESERVED_KEYS]


def _stack(tensors: list[Tensor], sequence: bool) -> Tensor:
    return pad_sequence(tensors, batch_first=True) if sequence else torch.stack(tensors)


def _check(sample: Sample, first: Sample, modalities: list[str], sequences: list[str]) -> None:
    where = f"sample {sample['index']}"
    if set(_modalities(sample)) != set(modalities):
        raise ValueError(
            f"{where} holds the modalities {sorted(_modalities(sample))}, sample {first['index']} "
            f"holds {sorted(modalities)}: give an absent modality as zeros with present False"
        )
    missing = set(modalities) - set(sample["present"])
    if missing:
        raise ValueError(f"{where}: 'present' says nothing about {sorted(missing)}")
    if set(sample.get("length", {})) != set(sequences):
        raise ValueError(
            f"{where}: lengths are given for {sorted(sample.get('length', {}))}, in sample "
            f"{first['index']} for {sorted(sequences)}; a sequence has a length in every sample"
        )
    for name in modalities:
        # Only the step dimension of a sequence may differ.
        skip = 1 if name in sequences else 0
        shape, expected = tuple(sample[name].shape), tuple(first[name].shape)
        if len(shape) != len(expected) or shape[skip:] != expected[skip:]:
            raise ValueError(
                f"{where}: modality '{name}' has shape {shape}, but sample {first['index']} of "
                f"the same batch has {expected}"
            )
        if skip and sample["length"][name] > shape[0]:
            raise ValueError(
                f"{where}: modality '{name}' has {shape[0]} steps, fewer than its length "
                f"{sample['length'][name]}"
            )
