"""Manual optimization: the optimizers of the stages, clipping, accumulation windows."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer


@dataclass
class _StageOptimizers:
    main: Optimizer
    critic: Optimizer | None
    critic_groups: Sequence[Sequence[nn.Parameter]]

    def __post_init__(self) -> None:
        # From the config, not from the optimizers' state: a resumed run takes the new value.
        self.rates = [[group["lr"] for group in opt.param_groups] for opt in self.all()]

    def all(self) -> list[Optimizer]:
        return [self.main] if self.critic is None else [self.main, self.critic]


class Stepper:
    """The optimizers of each stage: one for the networks, one for the critics if there are any.

    Args:
        optimizer: builds the optimizer of a stage's networks and its objectives' own layers.
        critic_optimizer: builds that of its discriminators and probes.
        clip_norm: largest gradient norm, of the networks together and of each critic; None for no
            clipping.
    """

    def __init__(
        self,
        optimizer: OptimizerCallable,
        critic_optimizer: OptimizerCallable,
        clip_norm: float | None,
    ) -> None:
        self._optimizer = optimizer
        self._critic_optimizer = critic_optimizer
        self._clip_norm = clip_norm
        self.stages: dict[str, _StageOptimizers] = {}

    def add_stage(
        self,
        stage: str,
        parameters: list[nn.Parameter],
        critic_groups: Sequence[Sequence[nn.Parameter]],
    ) -> list[Optimizer]:
        """Build the optimizers of a stage and return them, the networks' first."""
        critics = [parameter for group in critic_groups for parameter in group]
        self.stages[stage] = _StageOptimizers(
            self._optimizer(parameters),
            self._critic_optimizer(critics) if critics else None,
            critic_groups,
        )
        return self.stages[stage].all()

    def zero_grad(self, stage: str) -> None:
        """Drop the gradients of a stage's parameters."""
        for optimizer in self.stages[stage].all():
            optimizer.zero_grad(set_to_none=True)

    def step(
        self, stage: str, wrapped: Sequence[LightningOptimizer], rate_factor: float
    ) -> dict[str, Tensor]:
        """Set the rates, clip, and take one step with each optimizer of a stage.

        Args:
            stage: the stage's name.
            wrapped: Lightning's wrappers of all optimizers. Only the step of the networks' counts
                in ``global_step``; the critics' is stepped bare, so that ``global_step`` counts
                batches.
            rate_factor: what the configured learning rates are multiplied with.

        Returns:
            ``learning_rate``, with critics ``critic_learning_rate``, and with clipping the
            networks' ``gradient_norm`` before it.
        """
        optimizers = self.stages[stage]
        for optimizer, rates in zip(optimizers.all(), optimizers.rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * rate_factor
        logs = {"learning_rate": torch.tensor(optimizers.main.param_groups[0]["lr"])}
        if optimizers.critic is not None:
            rate = optimizers.critic.param_groups[0]["lr"]
            logs["critic_learning_rate"] = torch.tensor(rate)
        if self._clip_norm is not None:
            networks = [p for group in optimizers.main.param_groups for p in group["params"]]
            logs["gradient_norm"] = nn.utils.clip_grad_norm_(networks, self._clip_norm)
            for critic in optimizers.critic_groups:
                nn.utils.clip_grad_norm_(critic, self._clip_norm)
        next(w for w in wrapped if w.optimizer is optimizers.main).step()
        if optimizers.critic is not None:
            optimizers.critic.step()
        return logs


def accumulation_window(batch: int, batches: float, accumulate: int) -> tuple[int, bool, bool]:
    """Tell how a batch belongs to its accumulation window.

    The last window of an epoch may be shorter; its gradients are divided by its own length.

    Args:
        batch: number of the batch in the epoch, from 0.
        batches: batches of the epoch, ``inf`` where unknown.
        accumulate: batches a step.

    Returns:
        (length of the window, batch is its first, batch is its last).
    """
    start = batch - batch % accumulate
    length = int(min(accumulate, batches - start))
    return length, batch == start, batch == start + length - 1
