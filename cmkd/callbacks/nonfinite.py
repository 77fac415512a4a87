"""What happens at a loss that is NaN or infinite."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.optim import Optimizer

from cmkd.batch import Batch
from cmkd.distributed import rank, world_size

Policy = Literal["stop", "skip"]
_COLUMNS = ("epoch", "batch", "global_step", "rank", "loss", "indices")
_NAMED = 20


class NonFiniteError(FloatingPointError):
    """A loss or its gradients are NaN or infinite."""


@dataclass
class _Seen:
    """A batch whose step is still to come."""

    batch: int
    index: Tensor
    loss: Tensor


class NonFiniteGuard(Callback):
    """Stops a run at a loss or a gradient that is NaN or infinite, or leaves the step out.

    It looks before the optimizers step: weights and optimizer states stay as they were. The
    samples of the batch are appended to ``nonfinite.csv`` in the run's folder (a line a batch and
    rank; ``indices`` are the samples' numbers in their dataset). With accumulation the whole window
    of batches is left out. Under DDP all ranks decide alike. A loss over the embeddings of all
    ranks, or over a queue, is NaN on every rank and in the window's later batches too: all of them
    are written down.

    A step costs the norm of the gradients and one transfer to the host; with ``skip`` also a copy
    of the buffers of what is trained (BatchNorm statistics, queues, memory banks), which are put
    back: the forward has the NaN in them already.

    Args:
        policy: ``stop`` ends the run, ``skip`` leaves the step out and goes on.
        max_skipped_in_a_row: with ``skip``, how many steps may be left out in a row before the run
            stops after all: networks that have diverged do not come back.

    Raises:
        ValueError: for an unknown policy or a number below 1.
    """

    def __init__(self, policy: Policy = "stop", max_skipped_in_a_row: int = 10) -> None:
        if policy not in ("stop", "skip"):
            raise ValueError(f"NonFiniteGuard.policy must be 'stop' or 'skip', got '{policy}'")
        if max_skipped_in_a_row < 1:
            raise ValueError(
                "NonFiniteGuard.max_skipped_in_a_row must be 1 or more, got "
                f"{max_skipped_in_a_row}; policy 'stop' skips none"
            )
        self.policy = policy
        self.max_skipped_in_a_row = max_skipped_in_a_row
        self._window: list[_Seen] = []
        self._buffers: list[tuple[Tensor, Tensor]] = []
        self._in_a_row = 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Begin with an empty window: no step spans two epochs."""
        self._window = []

    def on_train_batch_start(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Remember the samples, and at the beginning of a window the buffers."""
        if self.policy == "skip" and not self._window:
            self._buffers = [(b, b.detach().clone()) for b in _moving_buffers(pl_module)]
        index: Tensor = batch["index"]
        self._window.append(_Seen(batch_idx, index, torch.zeros((), device=index.device)))

    def on_before_backward(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        loss: Tensor,
    ) -> None:
        """Remember the loss, without waiting for its value."""
        self._window[-1].loss = loss.detach()

    def on_before_optimizer_step(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        optimizer: Optimizer,  # noqa: ARG002
    ) -> None:
        """Look at the losses and gradients of the window that ends here.

        Raises:
            NonFiniteError: where the policy is to stop, or too many were skipped in a row.
        """
        window, self._window = self._window, []
        if not window or _finite_on_all_ranks(window, pl_module):
            self._in_a_row = 0
            return
        path = Path(trainer.default_root_dir) / "nonfinite.csv"
        what = _written_down(window, trainer, path)
        self._in_a_row += 1
        if self.policy == "stop" or self._in_a_row > self.max_skipped_in_a_row:
            after = f", after {self._in_a_row - 1} skipped in a row" if self._in_a_row > 1 else ""
            raise NonFiniteError(
                f"{what}{after}. The step was not taken; every such sample is in {path}. Look at "
                "these samples or lower the learning rate, and go on from the last checkpoint with "
                "--ckpt_path; NonFiniteGuard's policy 'skip' leaves such steps out"
            )
        rank_zero_warn(f"{what}; the step is skipped, see {path}")
        for parameter in pl_module.parameters():
            # Without gradients the optimizers leave weights and their own states alone.
            parameter.grad = None
        with torch.no_grad():
            for buffer, before in self._buffers:
                buffer.copy_(before)


def _moving_buffers(module: nn.Module) -> list[Tensor]:
    """Return the buffers of all modules in training mode; what is frozen does not move."""
    training = (part for part in module.modules() if part.training)
    return [buffer for part in training for buffer in part.buffers(recurse=False)]


def _finite_on_all_ranks(window: list[_Seen], module: nn.Module) -> bool:
    losses = torch.stack([seen.loss.float() for seen in window])
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    total = losses.sum() + nn.utils.get_total_norm(gradients)
    finite = total.isfinite().float()
    if world_size() > 1:
        # Gradients are the same on all ranks, losses are not.
        dist.all_reduce(finite, op=dist.ReduceOp.MIN)
    return bool(finite)


def _written_down(window: list[_Seen], trainer: Trainer, path: Path) -> str:
    """Write the batches of all ranks to the file; return what is wrong with the first ones."""
    rows: list[dict[str, Any]] = [
        {
            "epoch": trainer.current_epoch,
            "batch": seen.batch,
            "global_step": trainer.global_step,
            "rank": rank(),
            "loss": float(seen.loss),
            "indices": " ".join(map(str, seen.index.tolist())),
        }
        for seen in window
    ]
    if world_size() > 1:
        gathered: list[list[dict[str, Any]]] = [[] for _ in range(world_size())]
        dist.all_gather_object(gathered, rows)
        rows = [row for of_rank in gathered for row in of_rank]
    broken = [row for row in rows if not torch.tensor(row["loss"]).isfinite()]
    # Finite losses with such gradients: any sample of the window may be the reason.
    named = broken or rows
    if trainer.is_global_zero:
        _append(path, named)
    first = named[0]
    found = f"the loss is {first['loss']}" if broken else "a gradient is NaN or infinite"
    where = f"in batch {first['batch']} of epoch {first['epoch']}"
    if world_size() > 1:
        ranks = sorted({row["rank"] for row in named})
        where += f" on rank {', '.join(map(str, ranks))}"
    numbers = " ".join(row["indices"] for row in named).split()
    listed = ", ".join(numbers[:_NAMED]) + (", ..." if len(numbers) > _NAMED else "")
    return f"{found} {where}: samples {listed}"


def _append(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    begins = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        if begins:
            writer.writeheader()
        writer.writerows(rows)
