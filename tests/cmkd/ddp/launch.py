"""Ranks on this machine, each a process, as torchrun would start them."""

import os
import socket
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as mp
from lightning.pytorch.strategies import DDPStrategy

#: What a rank computes: by name, anything that torch.save takes.
Work = Callable[..., dict[str, Any]]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def rank_variables(rank: int, ranks: int, port: int) -> dict[str, str]:
    """The environment of a rank, from which Lightning knows that it was started by torchrun."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",
    }


def gloo(**arguments: Any) -> DDPStrategy:
    """DDP as ``strategy: ddp`` gives it; a rank that waits for a dead one gives up soon."""
    return DDPStrategy(process_group_backend="gloo", timeout=timedelta(minutes=5), **arguments)


def _enter(rank: int, variables: list[Mapping[str, str]], folder: str, work: Work) -> None:
    os.environ.update(variables[rank])
    torch.set_num_threads(1)
    torch.save(work(Path(folder), len(variables)), f"{folder}/rank {rank}.pt")


def on_ranks(work: Work, ranks: int, folder: Path) -> list[dict[str, Any]]:
    """Run ``work(folder, ranks)`` in as many processes and return what each of them gave."""
    port = free_port()
    variables = [rank_variables(rank, ranks, port) for rank in range(ranks)]
    mp.spawn(_enter, args=(variables, str(folder), work), nprocs=ranks)
    return [torch.load(folder / f"rank {rank}.pt") for rank in range(ranks)]
