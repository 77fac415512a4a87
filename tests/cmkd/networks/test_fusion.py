"""Fusions: any subset of modalities, whatever stands in the absent ones' rows."""

from functools import partial
from itertools import product

import pytest
import torch

from cmkd.networks import AttentionFusion, Average, Concatenation, GatedSum

MODALITIES, DIM = 3, 8
FUSIONS = pytest.mark.parametrize(
    "build",
    [Average, Concatenation, GatedSum, partial(GatedSum, per_dimension=True), AttentionFusion],
    ids=["average", "concatenation", "gated sum", "gated sum per dimension", "attention"],
)
SUBSETS = torch.tensor(list(product([False, True], repeat=MODALITIES)))


@pytest.fixture
def tokens():
    return torch.randn(len(SUBSETS), MODALITIES, DIM, generator=torch.Generator().manual_seed(1))


def built(build):
    torch.manual_seed(0)
    return build(MODALITIES, DIM)


@FUSIONS
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e30])
def test_absent_tokens_do_not_matter_whatever_they_hold(build, mode, garbage, tokens):
    fusion = built(build).train(mode == "train")
    clean = fusion(tokens, SUBSETS)
    dirty = fusion(tokens.masked_fill(~SUBSETS.unsqueeze(-1), garbage), SUBSETS)
    assert clean.shape == (len(SUBSETS), DIM)
    torch.testing.assert_close(dirty, clean, rtol=0, atol=0)


@FUSIONS
def test_every_subset_gives_finite_values_and_gradients_to_every_parameter(build, tokens):
    fusion = built(build)
    tokens = tokens.masked_fill(~SUBSETS.unsqueeze(-1), float("nan")).requires_grad_()
    fused = fusion(tokens, SUBSETS)
    assert fused.isfinite().all()
    fused.square().sum().backward()
    assert (tokens.grad[~SUBSETS] == 0).all()
    for name, parameter in fusion.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@FUSIONS
def test_a_batch_without_a_modality_gives_zero_gradients_and_none_is_missing(build, tokens):
    fusion = built(build)
    present = torch.zeros(len(tokens), MODALITIES, dtype=torch.bool)
    # An average has no parameter, so that its tokens have to learn.
    fusion(tokens.requires_grad_(), present).sum().backward()
    assert (tokens.grad == 0).all()
    for name, parameter in fusion.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@FUSIONS
def test_every_present_token_matters(build, tokens):
    fusion = built(build)
    everything = torch.ones(len(tokens), MODALITIES, dtype=torch.bool)
    fused = fusion(tokens, everything)
    for m in range(MODALITIES):
        changed = tokens.clone()
        changed[:, m] = changed[:, m].flip(-1)
        assert not torch.allclose(fusion(changed, everything), fused, atol=1e-3)


@FUSIONS
def test_the_rows_of_a_batch_are_independent(build, tokens):
    fusion = built(build).eval()
    together = fusion(tokens, SUBSETS)
    for row in range(len(tokens)):
        alone = fusion(tokens[row : row + 1], SUBSETS[row : row + 1])
        torch.testing.assert_close(alone[0], together[row])


def test_average_is_the_mean_of_the_present_tokens(tokens):
    fused = built(Average)(tokens, SUBSETS)
    for row, subset in enumerate(SUBSETS.tolist()):
        there = [token for token, is_there in zip(tokens[row], subset, strict=True) if is_there]
        mean = sum(there) / len(there) if there else torch.zeros(DIM)
        torch.testing.assert_close(fused[row], mean)


def test_concatenation_tells_absent_from_zero():
    fusion = built(Concatenation)
    zeros = torch.zeros(1, MODALITIES, DIM)
    present, absent = torch.tensor([[True, True, True]]), torch.tensor([[True, True, False]])
    assert not torch.allclose(fusion(zeros, present), fusion(zeros, absent), atol=1e-3)


@pytest.mark.parametrize("per_dimension", [False, True])
def test_gated_sum_of_equal_tokens_is_that_token_for_every_subset(per_dimension):
    fusion = built(partial(GatedSum, per_dimension=per_dimension))
    token = torch.randn(DIM)
    fused = fusion(token.expand(len(SUBSETS), MODALITIES, DIM), SUBSETS)
    torch.testing.assert_close(fused[1:], token.expand(len(SUBSETS) - 1, DIM))
    assert (fused[0] == 0).all()


def test_attention_gives_absent_tokens_no_weight():
    fusion = built(AttentionFusion)
    with torch.no_grad():
        fusion.modality.zero_()
    fused = fusion(torch.randn(DIM).expand(len(SUBSETS), MODALITIES, DIM), SUBSETS)[1:]
    torch.testing.assert_close(fused, fused[:1].expand_as(fused))


def test_attention_knows_which_modality_a_token_is_of(tokens):
    fusion = built(AttentionFusion).eval()
    with torch.no_grad():
        fusion.modality.normal_()
    everything = torch.ones(len(tokens), MODALITIES, dtype=torch.bool)
    fused, swapped = fusion(tokens, everything), fusion(tokens.flip(1), everything)
    assert not torch.allclose(fused, swapped, atol=1e-3)


def test_attention_refuses_a_width_its_heads_do_not_divide():
    with pytest.raises(ValueError, match="heads=4"):
        AttentionFusion(2, 10)
