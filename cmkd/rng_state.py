"""The global random generators as plain data, for a checkpoint."""

import random
from typing import Any

import numpy as np
import torch


def rng_state() -> dict[str, Any]:
    """Return the states of Python's, NumPy's and torch's global generators.

    Plain data and tensors, which load with ``weights_only=True``.
    """
    numpy = np.random.get_state(legacy=False)  # noqa: NPY002 - the one that user code draws from
    assert isinstance(numpy, dict)  # noqa: S101 - for the type checker
    words = torch.from_numpy(numpy["state"]["key"].astype(np.int64))
    version, internal, gauss = random.getstate()
    return {
        "python": [version, list(internal), gauss],
        "numpy": numpy | {"state": numpy["state"] | {"key": words}},
        "torch": torch.get_rng_state(),
        # Without a GPU this is an empty list.
        "cuda": torch.cuda.get_rng_state_all(),
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Take over what ``rng_state`` gave; the GPUs' only where there are as many."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    numpy = state["numpy"]
    key = numpy["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state(numpy | {"state": numpy["state"] | {"key": key}})  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
