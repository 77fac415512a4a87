from functools import partial

import pytest
import torch

from cmkd.objectives import (
    AdversarialConditionalEntropy,
    InfoNCE,
    KnowledgeDistillation,
    ObjectiveFactory,
    Unlabelled,
)
from tests.cmkd.objectives.helpers import SIZES, batch, pulled, representations, total

INNER: dict[str, ObjectiveFactory] = {
    "categorical": KnowledgeDistillation,
    "info_nce": InfoNCE,
    "adversarial": partial(AdversarialConditionalEntropy, noise_dim=0),
}


@pytest.mark.parametrize("name", INNER)
def test_only_pairs_without_a_label_count(name: str) -> None:
    given, labelled = representations(), torch.tensor([True, False, False, True, False])
    objective = Unlabelled(SIZES, INNER[name])
    output = objective(given, batch() | {"labelled": labelled})
    alone = {
        role: type(r)(r.embedding[~labelled], r.logits[~labelled], {}, r.valid[~labelled])
        for role, r in given.items()
    }
    torch.testing.assert_close(total(output), total(objective.inner(alone, batch(3))))
    output.loss.backward()
    assert given["student"].logits.grad is None or not given["student"].logits.grad[labelled].any()
    embedding = given["student"].embedding.grad
    assert embedding is None or not embedding[labelled].any()


def test_with_every_label_known_nothing_is_pulled() -> None:
    given = representations()
    output = Unlabelled(SIZES, KnowledgeDistillation)(given, batch())
    assert output.loss == 0
    output.loss.backward()
    assert not any(pulled(*given.values()))


def test_without_any_label_it_is_the_objective_itself() -> None:
    given, none = representations(), torch.zeros(5, dtype=torch.bool)
    torch.testing.assert_close(
        Unlabelled(SIZES, KnowledgeDistillation)(given, batch() | {"labelled": none}).loss,
        KnowledgeDistillation(SIZES)(given, batch()).loss,
    )


def test_the_discriminator_stays_a_critic_and_the_rows_needed_are_the_same() -> None:
    adversarial = Unlabelled(SIZES, AdversarialConditionalEntropy)
    assert adversarial.critic_parameters() == adversarial.inner.critic_parameters() != []
    assert Unlabelled(SIZES, InfoNCE).minimum_rows == 2
