"""Manual optimization: the optimizers of a stage, clipping, accumulation windows."""

from collections.abc import Sequence

from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer


class StageOptimizers:
    """The optimizer of a stage's networks and, where there are critics, that of the critics.

    Args:
        main: optimizes the networks and the objectives' own layers.
        critic: optimizes discriminators and probes.
        critic_groups: the critics' parameters, each group clipped on its own.
        clip_norm: largest gradient norm, None for no clipping.
    """

    def __init__(
        self,
        main: Optimizer,
        critic: Optimizer | None,
        critic_groups: Sequence[Sequence[nn.Parameter]],
        clip_norm: float | None,
    ) -> None:
        self.main = main
        self.critic = critic
        self._critic_groups = critic_groups
        self._clip_norm = clip_norm
        # From the config, not from the optimizer's state: a resumed run takes the new value.
        self._base_rates = [[group["lr"] for group in opt.param_groups] for opt in self.all()]

    def all(self) -> list[Optimizer]:
        """Return the optimizers, the networks' first."""
        return [self.main] if self.critic is None else [self.main, self.critic]

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for optimizer in self.all():
            optimizer.zero_grad(set_to_none=True)

    def set_rate(self, factor: float) -> None:
        """Set every learning rate to its configured value times factor."""
        for optimizer, rates in zip(self.all(), self._base_rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor

    def step(self, ticker: LightningOptimizer) -> Tensor | None:
        """Clip and take one step with each optimizer.

        Args:
            ticker: Lightning's wrapper of ``main``. Only its step counts in ``global_step``; the
                critics' optimizer is stepped bare, so that ``global_step`` counts batches.

        Returns:
            The networks' gradient norm before clipping; None without clipping.
        """
        norm = None
        if self._clip_norm is not None:
            main = [p for group in self.main.param_groups for p in group["params"]]
            norm = nn.utils.clip_grad_norm_(main, self._clip_norm)
            for group in self._critic_groups:
                nn.utils.clip_grad_norm_(group, self._clip_norm)
        ticker.step()
        if self.critic is not None:
            self.critic.step()
        return norm


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


def check_precision(precision: str) -> None:
    """Refuse fp16 mixed precision.

    With two optimizers the gradient scaler is updated between their steps, and clipping would see
    scaled gradients.

    Raises:
        ValueError: for ``16-mixed`` and ``16-true``.
    """
    if precision.startswith("16"):
        raise ValueError(
            f"trainer.precision '{precision}' is not supported with two optimizers; use "
            "'bf16-mixed' or '32-true'"
        )
