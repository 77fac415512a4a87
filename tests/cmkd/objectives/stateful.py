"""Objectives that keep something from batch to batch, under the contract of all objectives.

The contract compares calls with each other, so each call has to begin with the same state.
"""

import pytest
import torch
from torch import nn

from cmkd.objectives.base import Objective, StageContext
from tests.cmkd.objectives.checks import ObjectiveContract
from tests.cmkd.objectives.helpers import CLASSES, EMBEDDING, SIZES

SAMPLES = 32


def context(samples: int = SAMPLES, seed: int = 0) -> StageContext:
    """What objectives get told of a run: networks that are nothing but their heads."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        networks = {role: nn.Module() for role in EMBEDDING}
        for role, network in networks.items():
            network.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(EMBEDDING[role], CLASSES))
            network.eval()
    return StageContext(networks, samples, CLASSES)


def same_state_in_every_call(objective: Objective) -> Objective:
    """Let every call begin with the buffers that the objective has now."""
    state = {name: buffer.clone() for name, buffer in objective.named_buffers()}

    def restore(module: nn.Module, args: object) -> None:
        for name, buffer in module.named_buffers():
            buffer.copy_(state[name])

    objective.register_forward_pre_hook(restore)
    return objective


class StatefulContract(ObjectiveContract):
    """Inherit it under ``every``, as the contract itself."""

    @pytest.fixture
    def objective(self, factory):
        torch.manual_seed(0)
        objective = factory(SIZES)
        objective.allocate(context())
        return same_state_in_every_call(objective)
