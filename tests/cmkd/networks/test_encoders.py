"""What every encoder must do."""

import copy

import pytest
import torch

from cmkd.networks import TorchvisionImage, TorchvisionVideo
from tests.cmkd.networks.cases import (
    BATCH_FREE,
    BATCH_NORM,
    SLOW,
    parameters,
    random_input,
)

CHANNELS_SECOND = 1


@pytest.mark.parametrize(("build", "shape"), parameters(BATCH_FREE, BATCH_NORM, SLOW))
def test_announced_sizes_are_the_real_ones_and_every_parameter_gets_a_gradient(build, shape):
    encoder = build()
    features = encoder(random_input(shape))
    assert features.embedding.shape == (shape[0], encoder.out_features)
    channels = [layer.shape[CHANNELS_SECOND] for layer in features.hidden]
    assert channels == encoder.hidden_features
    assert channels
    assert all(layer.shape[0] == shape[0] for layer in features.hidden)
    features.embedding.square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(("build", "shape"), parameters(BATCH_FREE))
def test_a_batch_of_one_trains_and_equals_its_row_of_the_batch(build, shape):
    torch.manual_seed(0)
    encoder = build()
    x = random_input(shape)
    alone = encoder.train()(x[:1])
    assert alone.embedding.shape == (1, encoder.out_features)
    encoder.eval()
    torch.testing.assert_close(encoder(x[:1]).embedding, encoder(x).embedding[:1])


@pytest.mark.parametrize(("build", "shape"), parameters(BATCH_FREE, BATCH_NORM))
def test_two_networks_of_one_factory_share_no_storage(build, shape):
    first, second = build(), build()
    owned = {tensor.data_ptr() for tensor in first.state_dict().values() if tensor.numel()}
    assert owned
    assert not owned & {t.data_ptr() for t in second.state_dict().values() if t.numel()}


@pytest.mark.parametrize(("build", "shape"), parameters(BATCH_FREE, BATCH_NORM))
def test_bfloat16_autocast_trains_on_a_cpu(build, shape):
    torch.manual_seed(0)
    encoder = build()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = encoder(random_input(shape))
    assert features.embedding.isfinite().all()
    features.embedding.float().square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())


@pytest.mark.parametrize(("build", "shape"), parameters(BATCH_FREE, BATCH_NORM))
def test_another_shape_or_dtype_is_refused_with_the_expected_one(build, shape):
    encoder = build()
    wrong_rank, integers = torch.zeros(shape).unsqueeze(0), torch.zeros(shape, dtype=torch.uint8)
    for x in (wrong_rank, integers):
        with pytest.raises(ValueError, match=r"expects a float tensor \(B, ") as error:
            encoder(x)
        assert str(tuple(x.shape)) in str(error.value)


@pytest.mark.parametrize(
    ("build", "shape"),
    parameters({name: BATCH_FREE[name] for name in ("MLP", "SmallVideoNet", "AudioCNN")}),
)
def test_wrong_channels_are_refused_with_the_expected_number(build, shape):
    wrong = (shape[0], shape[1] + 1, *shape[2:])
    with pytest.raises(ValueError, match=rf"(C|D)={shape[1]}"):
        build()(torch.zeros(wrong))


@pytest.mark.parametrize(
    "build",
    [lambda: TorchvisionImage("resnet18"), lambda: TorchvisionVideo("r3d_18")],
    ids=["image", "video"],
)
def test_a_deep_copy_collects_its_own_hidden_layers(build):
    encoder = build().eval()
    twin = copy.deepcopy(encoder)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    x = torch.ones((1, 3, 32, 32) if isinstance(encoder, TorchvisionImage) else (1, 3, 2, 32, 32))
    original, zeroed = encoder(x), twin(x)
    assert original.hidden[-1].abs().sum() > 0
    assert zeroed.hidden[-1].abs().sum() == 0
