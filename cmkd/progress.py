"""How far a run has come in its stages, and the best networks of each."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from cmkd.snapshot import BestSnapshot
from cmkd.stages import Stage, stage_at


class StageProgress:
    """The current stage, what each stage before kept, and the networks' latest scores.

    Args:
        stages: of the run, in their order.
        mode: ``max`` or ``min``, which score is better.

    Attributes:
        stage: the current stage.
        scores: by role, the validation metric of the networks as they are now.
    """

    def __init__(self, stages: Sequence[Stage], mode: str) -> None:
        self.stages = list(stages)
        self.stage = self.stages[0]
        self.scores: dict[str, float] = {}
        self._kept = {stage.name: BestSnapshot(mode) for stage in self.stages[:-1]}
        self._begun: list[str] = []

    def best(self, stage: str) -> BestSnapshot | None:
        """Return what a stage kept; None for one that the run does not have, and the last."""
        return self._kept.get(stage)

    def move_to(self, epoch: int) -> Stage | None:
        """Go on to the stage of an epoch; return the one that was left, None if it stays."""
        left, self.stage = self.stage, stage_at(self.stages, epoch)
        return None if self.stage is left else left

    def begins(self) -> bool:
        """Return whether the current stage's first step is still to come, and take note of it."""
        if self.stage.name in self._begun:
            return False
        self._begun.append(self.stage.name)
        return True

    def note(self, scores: Mapping[str, float], epoch: int, networks: nn.ModuleDict) -> None:
        """Take note of validation metrics by role; keep the networks of a stage at its best."""
        self.scores |= scores
        kept, leader = self._kept.get(self.stage.name), self.stage.trained[0]
        if kept is not None and leader in scores:
            # A co-trained student is not kept: the student stage begins it anew.
            roles = [role for role in self.stage.trained if role != "student"]
            kept.offer(scores[leader], epoch, {role: networks[role] for role in roles}, scores)

    def restore(self, left: Stage, networks: nn.ModuleDict) -> bool:
        """Load what a stage kept; return False where it was never validated."""
        kept = self._kept[left.name]
        kept.restore({role: networks[role] for role in kept.states})
        self.scores |= kept.scores
        return kept.score is not None

    def state_dict(self) -> dict[str, Any]:
        """Return plain data and tensors, which load with ``weights_only=True``."""
        return {
            "stage": self.stage.name,
            "begun": self._begun,
            "scores": self.scores,
            "kept": {name: kept.state_dict() for name, kept in self._kept.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` gave.

        A stage that this run does not have, because its networks came from a file, is left out.
        """
        by_name = {stage.name: stage for stage in self.stages}
        self.stage = by_name.get(state["stage"], self.stages[-1])
        self._begun = list(state["begun"])
        self.scores = dict(state["scores"])
        for name, kept in state["kept"].items():
            if name in self._kept:
                self._kept[name].load_state_dict(kept)


def kept_networks(state: Mapping[str, Any]) -> dict[str, dict[str, Tensor]]:
    """Return the best networks that a saved progress holds, by role.

    The last stage keeps none: its networks are where the checkpoint has them.
    """
    states: dict[str, dict[str, Tensor]] = {}
    for kept in state["kept"].values():
        states |= kept["states"]
    return states
