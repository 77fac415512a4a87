import copy
import math

import pytest
import torch
from torch import Tensor, nn

from cmkd.objectives import (
    ConditionalDiscriminator,
    Discriminator,
    PairDiscriminator,
    slope_penalty,
)
from cmkd.objectives.discriminators import call_frozen

SOURCE, TARGET = 3, 2


def inputs(rows: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    return tuple(torch.randn(rows, w).requires_grad_() for w in (SOURCE, TARGET, TARGET))


def build(kind: type[Discriminator], **arguments: object) -> Discriminator:
    torch.manual_seed(0)
    return kind(SOURCE, TARGET, 8, 2, **arguments)


def largest_singular_values(discriminator: Discriminator) -> list[float]:
    layers = [layer for layer in discriminator.mlp.layers if isinstance(layer, nn.Linear)]
    return [torch.linalg.matrix_norm(layer.weight, 2).item() for layer in layers]


def test_a_pair_is_judged_by_target_and_candidate() -> None:
    d, (s, t, candidate) = build(PairDiscriminator), inputs()
    expected = d.mlp(torch.cat([t, candidate], 1))[:, 0]
    torch.testing.assert_close(d(s, t, candidate), expected)


def test_a_condition_is_judged_by_source_and_candidate() -> None:
    d, (s, t, candidate) = build(ConditionalDiscriminator), inputs()
    expected = d.mlp(torch.cat([s, candidate], 1))[:, 0]
    torch.testing.assert_close(d(s, t, candidate), expected)


@pytest.mark.parametrize("kind", [PairDiscriminator, ConditionalDiscriminator])
def test_only_the_candidate_gets_a_gradient(kind: type[Discriminator]) -> None:
    s, t, candidate = inputs()
    build(kind)(s, t, candidate).sum().backward()
    assert s.grad is None
    assert t.grad is None
    assert candidate.grad.any()


def test_noise_falls_linearly_to_nothing_over_the_stage() -> None:
    d = build(PairDiscriminator, noise=0.4)
    found = []
    for epoch in (0.0, 2.5, 5.0, 10.0):
        d.set_epoch(epoch, 10.0)
        found.append(d.current_noise)
    assert found == pytest.approx([0.4, 0.3, 0.2, 0.0])
    d.set_epoch(3.0, math.inf)
    assert d.current_noise == 0.4


@pytest.mark.parametrize("kind", [PairDiscriminator, ConditionalDiscriminator])
def test_noise_of_the_given_deviation_is_on_every_input(kind: type[Discriminator]) -> None:
    d = build(kind, noise=0.4)
    seen: list[Tensor] = []
    d.mlp.register_forward_pre_hook(lambda module, given: seen.append(given[0].detach()))
    zeros = [torch.zeros(4000, width) for width in (SOURCE, TARGET, TARGET)]
    d(*zeros)
    torch.testing.assert_close(
        seen[0].std(0), torch.full((seen[0].shape[1],), 0.4), atol=0.02, rtol=0
    )
    d.set_epoch(1.0, 1.0)
    d(*zeros)
    assert not seen[1].any()


@pytest.mark.parametrize("noise", [-0.1, math.inf])
def test_noise_out_of_range_is_refused(noise: float) -> None:
    with pytest.raises(ValueError, match=r"PairDiscriminator\.noise must be 0 or more"):
        build(PairDiscriminator, noise=noise)


def test_spectral_norm_brings_every_layer_to_a_largest_singular_value_of_1() -> None:
    assert min(largest_singular_values(build(PairDiscriminator))) < 0.9
    normalised = build(PairDiscriminator, spectral_norm=True)
    for _ in range(20):
        normalised(*inputs())
    assert largest_singular_values(normalised) == pytest.approx([1.0] * 3, abs=0.01)


def test_spectral_norm_makes_the_scale_of_the_weights_meaningless() -> None:
    d = build(PairDiscriminator, spectral_norm=True).eval()
    before = d(*inputs())
    with torch.no_grad():
        for name, p in d.named_parameters():
            if name.endswith("original"):
                p.mul_(7.0)
    torch.testing.assert_close(d(*inputs()) - before, torch.zeros(5), atol=1e-5, rtol=0)


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_a_frozen_call_gives_the_logits_of_the_training_call_and_leaves_no_trace(
    spectral_norm: bool,
) -> None:
    d = build(PairDiscriminator, spectral_norm=spectral_norm)
    before = copy.deepcopy(d.state_dict())
    s, t, candidate = inputs()
    frozen = call_frozen(d, s, t, candidate)
    torch.testing.assert_close(d.state_dict(), before, atol=0, rtol=0)
    frozen.sum().backward()
    assert candidate.grad.any()
    assert all(p.grad is None for p in d.parameters())

    # The same step of the power method, hence the same singular value.
    torch.testing.assert_close(d(s, t, candidate), frozen, atol=0, rtol=0)
    moved = any(not torch.equal(x, before[name]) for name, x in d.named_buffers())
    assert moved == spectral_norm


def test_the_slope_penalty_is_the_squared_length_of_finite_differences() -> None:
    d = build(PairDiscriminator).double()
    s, t, candidate = (x.detach().double() for x in inputs())
    step = 1e-6
    expected = torch.zeros(5, dtype=torch.float64)
    for column in range(TARGET):
        shift = torch.zeros(TARGET, dtype=torch.float64)
        shift[column] = step
        rise = d(s, t, candidate + shift) - d(s, t, candidate - shift)
        expected += (rise.detach() / (2 * step)) ** 2
    candidate.requires_grad_()
    found = slope_penalty(d(s, t, candidate), candidate)
    torch.testing.assert_close(found.detach(), expected, atol=1e-8, rtol=1e-5)
    found.sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in d.parameters())
