import math

import pytest
import torch
from torch import Tensor

from cmkd.objectives import (
    AdversarialLoss,
    HingeLoss,
    LogisticLoss,
    WassersteinLoss,
    discrimination_loss,
    hinge_discrimination_loss,
    reconstruction_loss,
)
from tests.cmkd.objectives.function_checks import assert_equals_loop, assert_gradient_is_exact

EACH = pytest.mark.parametrize("losses", [LogisticLoss(), HingeLoss(), WassersteinLoss()])


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def logits(rows: int, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    torch.manual_seed(rows)
    real, fake = scale * torch.randn(2, rows, dtype=torch.float64)
    return real, fake


@pytest.mark.parametrize("rows", [1, 4, 9])
@pytest.mark.parametrize("scale", [0.1, 5.0])
def test_the_losses_are_those_of_a_plain_loop(rows: int, scale: float) -> None:
    real, fake = logits(rows, scale)
    assert_equals_loop(
        discrimination_loss,
        lambda rs, fs: [
            -math.log(sigmoid(r)) - math.log(1 - sigmoid(f)) for r, f in zip(rs, fs, strict=True)
        ],
        real,
        fake,
    )
    assert_equals_loop(
        hinge_discrimination_loss,
        lambda rs, fs: [max(0, 1 - r) + max(0, 1 + f) for r, f in zip(rs, fs, strict=True)],
        real,
        fake,
    )
    assert_equals_loop(reconstruction_loss, lambda fs: [-math.log(sigmoid(f)) for f in fs], fake)
    assert_equals_loop(
        WassersteinLoss().discrimination,
        lambda rs, fs: [f - r for r, f in zip(rs, fs, strict=True)],
        real,
        fake,
    )
    for losses in (HingeLoss(), WassersteinLoss()):
        assert_equals_loop(losses.reconstruction, lambda fs: [-f for f in fs], fake)


def test_the_gradients_are_those_of_finite_differences() -> None:
    real, fake = logits(5)
    assert_gradient_is_exact(discrimination_loss, real, fake)
    assert_gradient_is_exact(hinge_discrimination_loss, real, fake)
    assert_gradient_is_exact(reconstruction_loss, fake)


@EACH
def test_both_sides_know_what_they_want(losses: AdversarialLoss) -> None:
    fake = torch.tensor([-0.5, 0.0, 0.5])
    falling = losses.reconstruction(fake)
    assert falling[0] > falling[1] > falling[2]
    real = torch.zeros(3)
    rising = losses.discrimination(real, fake)
    assert rising[0] < rising[1] < rising[2]
    paid = losses.discrimination(fake, real)
    assert paid[0] > paid[1] > paid[2]


def test_a_discriminator_that_knows_nothing_pays_the_same_whatever_it_sees() -> None:
    zero = torch.zeros(1)
    assert LogisticLoss().discrimination(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert HingeLoss().discrimination(zero, zero).item() == 2
    assert WassersteinLoss().discrimination(zero, zero).item() == 0


@EACH
def test_a_sure_discriminator_leaves_the_reconstructor_a_gradient(losses: AdversarialLoss) -> None:
    fake = torch.tensor([-200.0], requires_grad=True)
    loss = losses.reconstruction(fake)
    loss.backward()
    assert loss == 200
    assert fake.grad == -1


def test_beyond_the_margin_the_hinge_pulls_no_more() -> None:
    real = torch.tensor([1.5], requires_grad=True)
    fake = torch.tensor([-1.5], requires_grad=True)
    loss = HingeLoss().discrimination(real, fake)
    loss.backward()
    assert loss == 0
    assert real.grad == fake.grad == 0
