"""Representations and networks that the tests of multi-network objectives need."""

from collections.abc import Mapping

import torch
from torch import Tensor

from cmkd.batch import Batch
from cmkd.objectives import Objective, ObjectiveFactory, ObjectiveOutput
from cmkd.representation import Representation, Sizes
from cmkd.subsets import network_of
from tests.cmkd.objectives.helpers import batch, representations


def representations_with_teacher_ahead(rows: int = 5, seed: int = 0) -> dict[str, Representation]:
    """Representations in which the teacher is the surest of the true class in every row."""
    given = representations(rows, seed)
    with torch.no_grad():
        given["teacher"].logits[torch.arange(rows), batch(rows)["label"]] += 5
    return given


def as_subset(r: Representation, role: str) -> Representation:
    """What a network could give with some of its modalities: other logits, a function of these."""
    classes = r.logits.shape[1]
    generator = torch.Generator().manual_seed(sum(map(ord, role)))
    mixing: Tensor = torch.randn(classes, classes, generator=generator).to(r.logits)
    return Representation(r.embedding, r.logits @ mixing, r.hidden, r.valid)


class WithSubsets(Objective):
    """An objective that reads subsets, given whole networks: the subsets are made of them."""

    def __init__(self, inner: Objective) -> None:
        torch.nn.Module.__init__(self)
        self.inner = inner
        self.source, self.target = inner.source, inner.target

    def roles(self) -> frozenset[str]:
        return frozenset(network_of(role) for role in self.inner.roles())

    def forward(
        self, representations: Mapping[str, Representation], batch: Batch
    ) -> ObjectiveOutput:
        given = {
            role: r if role == network_of(role) else as_subset(r, role)
            for role in self.inner.roles()
            for r in [representations[network_of(role)]]
        }
        output: ObjectiveOutput = self.inner(given, batch)
        return output


def with_subsets(factory: ObjectiveFactory) -> ObjectiveFactory:
    """Build the objective so that it can be tested with whole networks."""

    def build(sizes: Mapping[str, Sizes], **arguments: str) -> Objective:
        return WithSubsets(factory(sizes, **arguments))

    return build
