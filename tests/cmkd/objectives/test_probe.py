from functools import partial
from typing import Any

import pytest
import torch

from cmkd.objectives import (
    AdversarialConditionalEntropy,
    GaussianConditionalEntropy,
    InfoNCE,
    ObjectiveFactory,
    Probe,
)
from cmkd.objectives.base import StageContext
from tests.cmkd.objectives.helpers import SIZES, batch, pulled, representations, total

WATCHED: dict[str, ObjectiveFactory] = {
    "gaussian": GaussianConditionalEntropy,
    "info_nce": partial(InfoNCE, source="auxiliary"),
    "adversarial": partial(AdversarialConditionalEntropy, noise_dim=0),
}


@pytest.mark.parametrize("name", WATCHED)
def test_a_probe_has_the_value_and_logs_of_what_it_watches_and_pulls_no_network(name: str) -> None:
    given = representations()
    torch.manual_seed(0)
    watched = WATCHED[name](SIZES)(given, batch())
    torch.manual_seed(0)
    probe = Probe(SIZES, WATCHED[name])
    output = probe(given, batch())
    assert output.loss == 0
    torch.testing.assert_close(output.critic_loss, total(watched))
    torch.testing.assert_close(output.logs, watched.logs)
    (output.loss + output.critic_loss).backward()
    assert pulled(*given.values()) == [False] * 3
    assert all(p.grad is not None for p in probe.critic_parameters())


@pytest.mark.parametrize("name", WATCHED)
def test_all_of_a_probes_parameters_are_its_critics(name: str) -> None:
    probe = Probe(SIZES, WATCHED[name])
    assert {id(p) for p in probe.critic_parameters()} == {id(p) for p in probe.parameters()}


def test_a_probe_reads_the_networks_and_needs_the_rows_of_what_it_watches() -> None:
    probe = Probe(SIZES, partial(InfoNCE, source="auxiliary"))
    assert probe.roles() == {"auxiliary", "teacher"}
    assert probe.minimum_rows == 2


def test_a_watched_objective_hears_what_an_objective_is_told() -> None:
    class Listener(GaussianConditionalEntropy):
        def __init__(self, sizes: Any) -> None:
            super().__init__(sizes)
            self.heard: list[str] = []

        def allocate(self, context: Any) -> None:
            self.heard.append("allocate")

        def begin_stage(self, context: Any) -> None:
            self.heard.append("begin_stage")

        def set_epoch(self, epoch: float, length: float) -> None:
            self.heard.append("set_epoch")

        def observe(self, scores: Any) -> None:
            self.heard.append("observe")

    probe = Probe(SIZES, Listener)
    context = StageContext({}, 1, 2)
    probe.allocate(context)
    probe.begin_stage(context)
    probe.set_epoch(0, 1)
    probe.observe({})
    assert probe.inner.heard == ["allocate", "begin_stage", "set_epoch", "observe"]
