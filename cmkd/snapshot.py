"""The best state of some modules by a validation metric."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class BestSnapshot:
    """Keeps a CPU copy of modules at their best score, and gives it back.

    It is kept in memory and saved inside every checkpoint, so that the best teacher is what the
    student learns from also after a resume, whatever checkpoint files the user keeps.

    Args:
        mode: ``max`` where a higher score is better, ``min`` where a lower one is.
    """

    def __init__(self, mode: str = "max") -> None:
        self.sign = {"max": 1, "min": -1}[mode]
        self.score: float | None = None
        self.epoch: int | None = None
        self.scores: dict[str, float] = {}
        self.states: dict[str, dict[str, Tensor]] = {}

    def offer(
        self,
        score: float,
        epoch: int,
        modules: Mapping[str, nn.Module],
        scores: Mapping[str, float] | None = None,
    ) -> bool:
        """Copy the modules if score beats the best one; return whether it did.

        NaN never beats anything: a diverged teacher is not kept. ``scores`` are further scores of
        the same moment, to be remembered with it.
        """
        best = -float("inf") if self.score is None else self.sign * self.score
        if not self.sign * score > best:
            return False
        self.score, self.epoch, self.scores = score, epoch, dict(scores or {})
        self.states = {
            name: {key: value.detach().cpu().clone() for key, value in module.state_dict().items()}
            for name, module in modules.items()
        }
        return True

    def restore(self, modules: Mapping[str, nn.Module]) -> None:
        """Load the best state into the modules; nothing happens where none was kept."""
        for name, state in self.states.items():
            modules[name].load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        """Return plain data and tensors, which load with ``weights_only=True``."""
        return {
            "score": self.score,
            "epoch": self.epoch,
            "scores": self.scores,
            "states": self.states,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` gave."""
        self.score, self.epoch = state["score"], state["epoch"]
        self.scores, self.states = dict(state["scores"]), state["states"]
