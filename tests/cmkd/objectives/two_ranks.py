"""The same function on two ranks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

RANKS = 2


def of_two_ranks(compute: Callable[[int], Any], folder: Path) -> list[Any]:
    """Return what a function of a module gives on each rank of two processes."""
    mp.spawn(_work, args=(str(folder), compute), nprocs=RANKS)
    return [torch.load(folder / f"{rank}.pt") for rank in range(RANKS)]


def _work(rank: int, folder: str, compute: Callable[[int], Any]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=RANKS
    )
    torch.save(compute(rank), f"{folder}/{rank}.pt")
    dist.destroy_process_group()
