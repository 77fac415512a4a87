"""How strongly each network is pulled."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from cmkd.callbacks.step_values import is_logged, log_values
from cmkd.optimization import accumulation_window
from cmkd.staged import StagedModule


class GradientNorms(Callback):
    """Logs ``gradient_norm/<network>``, the L2 norm of each network's gradient before clipping.

    Networks that the stage does not train have none. Computed in the steps alone that are logged,
    every ``log_every_n_steps``-th and the last of an epoch: the others cost nothing. With
    accumulation it is the gradient of the window of batches that the logged one belongs to.
    """

    def __init__(self) -> None:
        self._due = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Begin anew: no window spans two epochs."""
        self._due = False

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the norms where it is time; under DDP the gradients are those of all ranks."""
        self._due = self._due or is_logged(trainer)
        if not self._due or not isinstance(pl_module, StagedModule):
            return
        _, _, last = accumulation_window(
            trainer.fit_loop.batch_idx, trainer.num_training_batches, pl_module.accumulate
        )
        if not last:
            return
        self._due = False
        norms = {
            role: nn.utils.get_total_norm(gradients)
            for role, network in pl_module.networks.items()
            if (gradients := [p.grad for p in network.parameters() if p.grad is not None])
        }
        if norms:
            # One transfer to the host for all of them.
            values = torch.stack([norm.float() for norm in norms.values()]).tolist()
            names = (f"gradient_norm/{role}" for role in norms)
            log_values(trainer, dict(zip(names, values, strict=True)))
