"""Sequence encoders: padding reaches no result."""

from functools import partial

import pytest
import torch

from cmkd.networks import GRUEncoder, TransformerEncoder

ENCODERS = pytest.mark.parametrize(
    "build",
    [
        partial(GRUEncoder, 5, width=8, layers=2),
        partial(GRUEncoder, 5, width=8, layers=1, bidirectional=False),
        partial(TransformerEncoder, 5, width=8, layers=2, heads=2, dropout=0.0),
    ],
    ids=["bidirectional GRU", "GRU", "transformer"],
)
LENGTHS = torch.tensor([4, 1, 3, 2])


def built(build):
    torch.manual_seed(0)
    return build()


def padded(steps, filling):
    x = torch.randn(4, 4, 5, generator=torch.Generator().manual_seed(2))
    x = torch.cat([x, torch.zeros(4, steps - 4, 5)], dim=1)
    for row, length in enumerate(LENGTHS):
        x[row, length:] = filling
    return x


@ENCODERS
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("steps", [4, 5, 40])
@pytest.mark.parametrize("filling", [0.0, 1e4, float("nan")])
def test_padding_changes_nothing_whatever_it_holds_and_however_long(build, mode, steps, filling):
    encoder = built(build).train(mode == "train")
    features = encoder(padded(steps, filling), LENGTHS)
    for row, length in enumerate(LENGTHS):
        alone = encoder(padded(4, 0.0)[row : row + 1, :length])
        torch.testing.assert_close(features.embedding[row], alone.embedding[0])
        for layer, layer_alone in zip(features.hidden, alone.hidden, strict=True):
            assert layer.shape[2] == steps
            torch.testing.assert_close(layer[row, :, :length], layer_alone[0])
            assert (layer[row, :, length:] == 0).all()


@ENCODERS
@pytest.mark.parametrize("no_grad", [False, True])
def test_an_empty_sequence_is_a_finite_constant_without_gradient(build, no_grad):
    encoder = built(build).train(not no_grad)
    x = torch.full((3, 4, 5), float("nan"))
    x[1] = 1.0
    lengths = torch.tensor([0, 4, 0])
    with torch.set_grad_enabled(not no_grad):
        embedding = encoder(x, lengths).embedding
    assert embedding.isfinite().all()
    assert (embedding[[0, 2]] == 0).all()
    assert embedding[1].abs().sum() > 0
    if not no_grad:
        embedding[[0, 2]].sum().backward()
        assert all((parameter.grad == 0).all() for parameter in encoder.parameters())


@ENCODERS
def test_padded_gradients_are_finite_and_zero_in_the_padding(build):
    encoder = built(build)
    x = padded(6, float("nan")).requires_grad_()
    encoder(x, LENGTHS).embedding.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())
    for row, length in enumerate(LENGTHS):
        assert (x.grad[row, length:] == 0).all()
        assert (x.grad[row, :length].abs().sum(dim=1) > 0).all()


@ENCODERS
def test_the_order_of_the_steps_matters(build):
    encoder = built(build).eval()
    x = torch.randn(1, 6, 5)
    assert not torch.allclose(encoder(x).embedding, encoder(x.flip(1)).embedding, atol=1e-4)


@ENCODERS
def test_sequences_without_steps_are_refused(build):
    with pytest.raises(ValueError, match="no steps"):
        built(build)(torch.zeros(2, 0, 5))


@pytest.mark.parametrize("width", [7, 10])
def test_a_transformer_refuses_a_width_it_cannot_divide(width):
    with pytest.raises(ValueError, match="multiple of heads=4"):
        TransformerEncoder(5, width=width, heads=4)


@pytest.mark.parametrize("encoder", [GRUEncoder, TransformerEncoder])
def test_encoders_without_layers_are_refused(encoder):
    with pytest.raises(ValueError, match="layers must be at least 1"):
        encoder(5, layers=0)
