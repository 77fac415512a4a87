"""The contract of the objectives that came first, and the precision of their functions."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from cmkd.objectives import (
    AdversarialConditionalEntropy,
    FitNets,
    GaussianConditionalEntropy,
    InfoNCE,
    KnowledgeDistillation,
    Layer,
    categorical_conditional_entropy,
    discrimination_loss,
    gaussian_conditional_entropy,
    hint_loss,
    info_nce,
    knowledge_distillation,
    reconstruction_loss,
)
from cmkd.objectives.mlp import MLP
from tests.cmkd.objectives.checks import ObjectiveContract, every


@every(
    info_nce=partial(InfoNCE, dim=3),
    info_nce_learned=partial(InfoNCE, dim=3, learn_temperature=True, projection_hidden=7),
    adversarial=partial(AdversarialConditionalEntropy, width=8),
    adversarial_both=partial(
        AdversarialConditionalEntropy, width=8, noise_dim=0, fields=["embedding", "logits"]
    ),
    gaussian=partial(GaussianConditionalEntropy, width=8),
    categorical=KnowledgeDistillation,
    fitnets=FitNets,
    fitnets_hidden=partial(
        FitNets, source_layer=Layer("video", 0), target_layer=Layer("audio", -1)
    ),
)
class TestContract(ObjectiveContract):
    """Adversary, bounds, contrast, regression."""


@pytest.mark.parametrize(
    "loss",
    [
        lambda x, y: info_nce(x, y, 0.1),
        lambda x, y: gaussian_conditional_entropy(x, y, y),
        categorical_conditional_entropy,
        knowledge_distillation,
        hint_loss,
        lambda x, y: reconstruction_loss(x[:, 0]),
        lambda x, y: discrimination_loss(x[:, 0], y[:, 0]),
    ],
)
def test_losses_of_half_precision_inputs_are_computed_in_float32(
    loss: Callable[[Tensor, Tensor], Tensor],
) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(2, 4, 3).bfloat16()
    torch.testing.assert_close(loss(x, y), loss(x.float(), y.float()), atol=0, rtol=0)


def test_layers_hand_float32_to_the_losses() -> None:
    layers = MLP(3, 2, width=4, depth=1)
    assert layers.bfloat16()(torch.randn(5, 3)).dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layers.float()(torch.randn(5, 3)).dtype == torch.float32
