"""The variants of the adversary, each held to what the plain one is held to."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cmkd.objectives import (
    AdversarialConditionalEntropy,
    ConditionalDiscriminator,
    HingeLoss,
    Objective,
    ObjectiveFactory,
    PairDiscriminator,
    RunningStandardisation,
    Standardisation,
    WassersteinLoss,
)
from cmkd.representation import Representation, Sizes
from tests.cmkd.objectives.checks import ObjectiveContract, every
from tests.cmkd.objectives.helpers import SIZES, batch, leaves, pulled, representations
from tests.cmkd.objectives.ranks import assert_ranks_equal_one_process
from tests.cmkd.objectives.stateful import StatefulContract, same_state_in_every_call
from tests.cmkd.objectives.test_yaml import parse

VARIANTS: dict[str, dict[str, Any]] = {
    "hinge": {"loss": HingeLoss},
    "noise": {"discriminator": partial(PairDiscriminator, noise=0.3)},
    "spectral_norm": {"discriminator": partial(PairDiscriminator, spectral_norm=True)},
    "conditional": {"discriminator": ConditionalDiscriminator},
    "wasserstein": {
        "loss": WassersteinLoss,
        "discriminator": partial(PairDiscriminator, spectral_norm=True),
    },
    "running": {"standardisation": RunningStandardisation},
    "unstandardised": {"standardisation": Standardisation},
    "penalty": {"gradient_penalty": 1.0},
    "all": {
        "loss": HingeLoss,
        "discriminator": partial(ConditionalDiscriminator, noise=0.3, spectral_norm=True),
        "standardisation": RunningStandardisation,
        "gradient_penalty": 1.0,
        "fields": ["embedding", "logits"],
    },
}
EACH = pytest.mark.parametrize("arguments", list(VARIANTS.values()), ids=list(VARIANTS))


def factory(name: str) -> ObjectiveFactory:
    return partial(AdversarialConditionalEntropy, width=8, noise_dim=0, **VARIANTS[name])


def objective(**arguments: Any) -> AdversarialConditionalEntropy:
    torch.manual_seed(0)
    return AdversarialConditionalEntropy(SIZES, width=8, **arguments)


@every(**{name: factory(name) for name in ("hinge", "conditional", "unstandardised", "penalty")})
class TestContract(ObjectiveContract):
    """Variants without a state."""


@every(**{name: factory(name) for name in ("spectral_norm", "wasserstein", "running")})
class TestStatefulContract(StatefulContract):
    """Variants that keep vectors or statistics."""


@every(noise=factory("noise"), all=factory("all"))
class TestNoisyContract(StatefulContract):
    """Variants with noise on the inputs, here the same in every row and call."""

    @pytest.fixture(autouse=True)
    def _noise_without_a_generator(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def noise(x: Tensor) -> Tensor:
            return torch.linspace(-1, 1, x.shape[1], dtype=x.dtype).expand_as(x)

        monkeypatch.setattr(torch, "randn_like", noise)


@EACH
def test_each_loss_pulls_its_own_side_alone(arguments: dict[str, Any]) -> None:
    def grads(which: str) -> tuple[dict[str, Tensor | None], list[bool]]:
        term, given = objective(**arguments), representations()
        torch.manual_seed(3)
        output = term(given, batch())
        losses = {"loss": output.loss, "critic": output.critic_loss}
        losses["both"] = output.loss + output.critic_loss
        losses[which].backward()
        found = {name: p.grad for name, p in term.named_parameters()}
        found |= {f"student {i}": x.grad for i, x in enumerate(leaves(given["student"]))}
        return found, pulled(given["student"], given["teacher"])

    (loss, by_loss), (critic, by_critic), (both, by_both) = map(grads, ("loss", "critic", "both"))
    assert by_loss == by_both == [True, False]
    assert by_critic == [False, False]
    for name, value in both.items():
        mine, other = (critic, loss) if name.startswith("discriminator") else (loss, critic)
        torch.testing.assert_close(value, mine[name], rtol=0, atol=0)
        assert other[name] is None


@EACH
def test_the_losses_are_those_of_a_plain_reference_in_float64(arguments: dict[str, Any]) -> None:
    """Fields, scales, discriminator and penalty by their definitions, from the same weights."""
    term = objective(noise_dim=0, **arguments).double()
    given = {
        role: Representation(r.embedding.double(), r.logits.double(), {}, r.valid)
        for role, r in representations().items()
    }
    if term.discriminator.noise:
        term.set_epoch(1.0, 1.0)
    output = same_state_in_every_call(term)(given, batch())

    def standardised(x: Tensor) -> Tensor:
        kind = arguments.get("standardisation")
        if kind is Standardisation:
            return x
        dim = 0 if kind is RunningStandardisation else 1
        return (x - x.mean(dim, keepdim=True)) / (
            x.var(dim, correction=0, keepdim=True) + 1e-5
        ) ** 0.5

    s = torch.cat([getattr(given["student"], f) for f in term.fields], 1).detach()
    t = torch.cat([standardised(getattr(given["teacher"], f)) for f in term.fields], 1).detach()
    fake = term.reconstructor(s).detach()
    beside = s if isinstance(term.discriminator, ConditionalDiscriminator) else t
    # Weights in evaluation are those of the last step of the power method, which was this one.
    d = term.discriminator.eval().mlp
    real = t.clone().requires_grad_()
    real_logit = d(torch.cat([beside, real], 1))[:, 0]
    fake_logit = d(torch.cat([beside, fake], 1))[:, 0]
    if arguments.get("loss") is WassersteinLoss:
        loss = -fake_logit.mean()
        critic = (fake_logit - real_logit).mean()
    elif "loss" in arguments:
        loss = -fake_logit.mean()
        critic = ((1 - real_logit).clamp(min=0) + (1 + fake_logit).clamp(min=0)).mean()
    else:
        loss = -fake_logit.sigmoid().log().mean()
        critic = -(real_logit.sigmoid().log() + (1 - fake_logit.sigmoid()).log()).mean()
    if "gradient_penalty" in arguments:
        (slope,) = torch.autograd.grad(real_logit.sum(), real, retain_graph=True)
        critic = critic + slope.square().sum(1).mean()
    torch.testing.assert_close(output.loss, loss)
    torch.testing.assert_close(output.critic_loss, critic)


@EACH
def test_the_game_ends_where_the_reconstruction_is_the_target(arguments: dict[str, Any]) -> None:
    torch.manual_seed(0)
    sizes = {"student": Sizes(3, 3), "teacher": Sizes(3, 3)}
    term = AdversarialConditionalEntropy(sizes, noise_dim=0, width=32, **arguments)
    mixing = torch.linalg.qr(torch.randn(3, 3))[0]
    optimizers = [
        torch.optim.Adam(parameters, lr=2e-3, betas=(0.5, 0.9))
        for parameters in (term.reconstructor.parameters(), term.critic_parameters())
    ]
    valid = torch.ones(128, dtype=torch.bool)

    def draw() -> dict[str, Representation]:
        """A target that is a function of the source: H(T|S) = 0 can be reached."""
        s = torch.randn(128, 3)
        return {
            "student": Representation(s, s, {}, valid),
            "teacher": Representation(s @ mixing, s @ mixing, {}, valid),
        }

    def explained() -> float:
        """The share of the target's variance that the reconstruction explains."""
        with torch.no_grad():
            _, t, fake, _ = term.eval().reconstruct(draw())
        term.train()
        return 1 - float((fake - t).square().mean() / t.square().mean())

    assert explained() < 0.3
    for step in range(500):
        term.set_epoch(step, 500)
        output = term(draw(), {})
        for optimizer in optimizers:
            optimizer.zero_grad()
        # One backward for both sides, as in training.
        (output.loss + output.critic_loss).backward()
        for optimizer in optimizers:
            optimizer.step()
    assert explained() > 0.85


def test_the_position_in_the_stage_reaches_the_discriminator() -> None:
    term = objective(**VARIANTS["noise"])
    term.set_epoch(5.0, 10.0)
    assert term.discriminator.current_noise == pytest.approx(0.15)


def test_a_single_number_can_be_standardised_by_its_column() -> None:
    sizes = {"student": Sizes(4, 1), "teacher": Sizes(4, 1)}
    term: Objective = AdversarialConditionalEntropy(
        sizes, fields=["logits"], standardisation=RunningStandardisation
    )
    one = {role: Representation(r.embedding, r.logits[:, :1], {}, r.valid)
           for role, r in representations().items()}  # fmt: skip
    assert term(one, batch()).loss.isfinite()


def test_variants_are_plain_yaml() -> None:
    term: Any = parse(
        """
        class_path: cmkd.objectives.AdversarialConditionalEntropy
        init_args:
          loss: cmkd.objectives.HingeLoss
          discriminator:
            class_path: cmkd.objectives.ConditionalDiscriminator
            init_args: {noise: 0.2, spectral_norm: true}
          standardisation:
            class_path: cmkd.objectives.RunningStandardisation
            init_args: {momentum: 0.1}
          gradient_penalty: 2.0
        """
    )
    assert type(term.losses) is HingeLoss
    assert type(term.discriminator) is ConditionalDiscriminator
    assert term.discriminator.noise == 0.2
    assert term.discriminator.spectral_norm
    assert term.standardise[0].momentum == 0.1
    assert term.gradient_penalty == 2.0


@pytest.mark.slow
def test_two_ranks_give_value_and_gradient_of_the_joint_batch(tmp_path: Path) -> None:
    names = [name for name in VARIANTS if name not in ("noise", "all")]
    assert_ranks_equal_one_process({name: factory(name) for name in names}, tmp_path)
