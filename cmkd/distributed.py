"""Ranks: gathering over them, with the gradient of the one-process computation, and their end.

Nothing here knows Lightning: outside an initialised process group every function is the identity.
"""

import atexit
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

if dist.is_available() and not dist.is_initialized():
    # Before there is a group: the defaults of its functions hold the group that they are defined
    # under, and torch imports it late (to checkpoint, say). That group would outlive its end.
    import torch.distributed.nn.functional


def world_size() -> int:
    """Return the number of ranks, 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return this process's rank, 0 without a process group."""
    return dist.get_rank() if world_size() > 1 else 0


@cache
def destroy_group_at_exit() -> None:
    """Have Gloo's process group, if there is one then, taken down before the interpreter is.

    Threads of Gloo that let go of a tensor while the interpreter is being finalised abort the
    process, so that a run that has ended well would now and then exit by SIGABRT. Lightning takes
    down NCCL's group alone. To be called when a run has ended well: after a failure the other
    ranks may never answer.
    """
    atexit.register(_destroy_gloo)


def _destroy_gloo() -> None:
    if dist.is_available() and dist.is_initialized() and dist.get_backend() == "gloo":
        dist.destroy_process_group()


class _AllGather(torch.autograd.Function):
    """all_gather whose backward sums the gradients that every rank has for one's own rows.

    DDP averages over ranks afterwards, so a loss over local rows and gathered candidates gets
    exactly the gradient of the mean over all rows.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = x.shape[0]
        gathered = [torch.empty_like(x) for _ in range(world_size())]
        dist.all_gather(gathered, x.contiguous())
        return torch.cat(gathered)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        grad = grads[0].contiguous().clone()
        dist.all_reduce(grad)
        start = rank() * ctx.rows
        return grad[start : start + ctx.rows]


def gather_rows(x: Tensor) -> Tensor:
    """Concatenate x (B, ...) of all ranks in rank order -> (B * ranks, ...), with gradient.

    Every rank must hold the same number of rows.
    """
    if world_size() == 1:
        return x
    gathered: Tensor = _AllGather.apply(x)  # type: ignore[no-untyped-call]
    return gathered


def mean_over_ranks(x: Tensor) -> Tensor:
    """Return the mean of x over ranks, without gradient."""
    if world_size() == 1:
        return x.detach()
    total = x.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


class Replicated(nn.Module):
    """Base of modules all of whose buffers every rank writes alike, from gathered rows.

    Without :func:`keep_from_broadcast` DDP sends rank 0's buffers to the others in every forward
    pass: of a queue of 65,536 pairs of 128 numbers that is 64 MiB a step, in which nothing changes.
    """


def keep_from_broadcast(module: nn.Module) -> None:
    """Tell the DDP that will wrap a module to leave out the buffers of its replicated parts.

    Buffers that ranks write differently, as BatchNorm's statistics, stay rank 0's.
    """
    names = {
        f"{prefix}.{name}" if prefix else name
        for prefix, part in module.named_modules()
        if isinstance(part, Replicated)
        for name, _ in part.named_buffers()
    }
    ddp: Any = nn.parallel.DistributedDataParallel
    ddp._set_params_and_buffers_to_ignore_for_model(module, names)
