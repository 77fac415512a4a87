"""What tells one network, or one training set, from another."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def fingerprint(network: nn.Module, *further: str) -> str:
    """Return a hexadecimal digest of a network's structure, settings and weights.

    Args:
        network: its parameters, its buffers (those that are not saved too) and what its modules
            hold as plain numbers and words all count, its mode does not.
        further: whatever else the digest is to tell apart.
    """
    digest = hashlib.sha256(repr([repr(network), *further]).encode())
    for name, module in network.named_modules():
        settings = {k: v for k, v in _public(module).items() if k != "training"}
        digest.update(f"{name}: {_json(settings)}".encode())
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        digest.update(f"{name}: {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def describe(data: object) -> str:
    """Return what is known of a datamodule: its class, its public arguments, training labels.

    Args:
        data: any; the labels are those of ``dataset("train").all_labels()``, where it has them.
    """
    known = {"class": _name(data), "arguments": _public(data)}
    dataset = data.dataset("train") if hasattr(data, "dataset") else None
    if dataset is not None and hasattr(dataset, "all_labels"):
        known["labels"] = _digest(dataset.all_labels())
    return _json(known)


def _bytes(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().view(-1)
    # NumPy has no bfloat16.
    return flat.view(torch.uint8).numpy().tobytes()


def _digest(array: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _public(thing: object) -> dict[str, Any]:
    return {k: v for k, v in vars(thing).items() if not k.startswith("_") and k != "trainer"}


def _name(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(_plain(value, 3), sort_keys=True)


def _plain(value: Any, depth: int) -> Any:
    """Return a value as JSON knows it; of other objects the class and, not too deep, the rest."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic | np.ndarray):
        return _digest(value)
    if isinstance(value, Mapping):
        return {str(k): _plain(v, depth) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v, depth) for v in _ordered(value)]
    if isinstance(value, Tensor | nn.Module) or depth == 0 or not hasattr(value, "__dict__"):
        return _name(value)
    return {"class": _name(value), **_plain(_public(value), depth - 1)}


def _ordered(value: Iterable[Any]) -> Iterable[Any]:
    return sorted(value, key=repr) if isinstance(value, set | frozenset) else value
