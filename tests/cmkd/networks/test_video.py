"""Video and image networks."""

from functools import partial

import pytest
import torch
from torchvision.models import get_model
from torchvision.models._api import WeightsEnum

from cmkd.networks import R2Plus1D10, SmallVideoNet, TorchvisionImage, TorchvisionVideo


def test_the_small_network_is_small():
    assert sum(parameter.numel() for parameter in SmallVideoNet().parameters()) < 400_000


def test_the_one_block_network_has_ten_layers():
    convolutions = [
        module for module in R2Plus1D10().modules() if isinstance(module, torch.nn.Conv3d)
    ]
    # A (2+1)-D layer is two convolutions; three stages shrink their short cut by one more.
    stem, blocks, short_cuts = 2, 4 * 2 * 2, 3
    assert len(convolutions) == stem + blocks + short_cuts


@pytest.mark.parametrize("build", [lambda: SmallVideoNet(width=8), R2Plus1D10])
def test_the_direction_of_motion_is_seen(build):
    torch.manual_seed(0)
    frames = torch.rand(1, 3, 1, 32, 32)
    clip = torch.cat([frames.roll(2 * t, dims=-1) for t in range(6)], dim=2)
    network = build().eval()
    forwards, backwards = network(clip).embedding, network(clip.flip(2)).embedding
    assert (forwards - backwards).norm() > 1e-3 * forwards.norm()


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 17, 23), (8, 48, 48)])
def test_the_small_network_takes_any_size(size):
    assert SmallVideoNet(width=8)(torch.randn(1, 3, *size)).embedding.isfinite().all()


@pytest.mark.parametrize(
    ("build", "frames"),
    [(lambda: SmallVideoNet(width=8), 2), (R2Plus1D10, 4), (partial(TorchvisionVideo, "s3d"), 8)],
)
def test_under_autocast_a_cpu_gives_the_gradient_of_float32(build, frames):
    torch.manual_seed(0)
    network, clip = build(), torch.randn(2, 3, frames, 32, 32)
    gradients = []
    for enabled in (False, True):
        network.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            embedding = network(clip).embedding
        embedding.square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-3)


def test_the_small_network_refuses_a_width_its_norm_cannot_divide():
    with pytest.raises(ValueError, match="multiple of 8"):
        SmallVideoNet(width=12)


@pytest.mark.parametrize(
    ("network", "architecture", "head", "shape"),
    [
        (TorchvisionVideo, "r3d_18", "fc", (2, 3, 4, 32, 32)),
        (TorchvisionVideo, "s3d", "classifier", (1, 3, 16, 224, 224)),
        (TorchvisionVideo, "swin3d_t", "head", (1, 3, 4, 32, 32)),
        (TorchvisionImage, "resnet18", "fc", (2, 3, 32, 32)),
    ],
)
def test_weights_are_passed_through_and_the_embedding_is_what_the_classifier_gets(
    network, architecture, head, shape, monkeypatch
):
    reference = get_model(architecture).eval()
    loaded = []

    def state_dict(weights, *args, **kwargs):
        # The file is checked against its hash and not read as code.
        assert kwargs == {"check_hash": True, "weights_only": True}
        loaded.append(weights.name)
        return reference.state_dict()

    monkeypatch.setattr(WeightsEnum, "get_state_dict", state_dict)
    name = "IMAGENET1K_V1" if network is TorchvisionImage else "KINETICS400_V1"
    encoder = network(architecture, weights=name).eval()
    assert loaded == [name]
    seen = []
    getattr(reference, head).register_forward_hook(lambda module, args, out: seen.append(args[0]))
    x = torch.randn(shape)
    with torch.no_grad():
        reference(x)
        embedding = encoder(x).embedding
    torch.testing.assert_close(embedding, seen[0].reshape(shape[0], -1))


def test_nothing_is_downloaded_by_default(monkeypatch):
    def refuse(weights, *args, **kwargs):
        raise AssertionError(f"{weights} was fetched")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", refuse)
    TorchvisionVideo("mc3_18")
    TorchvisionImage()


@pytest.mark.parametrize(
    ("network", "known"), [(TorchvisionVideo, "r3d_18, mc3_18"), (TorchvisionImage, "resnet18")]
)
def test_an_unknown_architecture_is_answered_with_the_known_ones(network, known):
    with pytest.raises(ValueError, match=f"unknown architecture 'vgg16'; choose one of {known}"):
        network("vgg16")


@pytest.mark.parametrize(
    ("network", "architecture", "known"),
    [(TorchvisionVideo, "s3d", "KINETICS400_V1"), (TorchvisionImage, "resnet50", "IMAGENET1K_V2")],
)
def test_unknown_weights_are_answered_with_the_known_ones(network, architecture, known):
    with pytest.raises(ValueError, match=f"'{architecture}' has no weights 'mine'.*{known}"):
        network(architecture, weights="mine")


@pytest.mark.parametrize(
    ("architecture", "clip", "limit"),
    [
        ("mvit_v2_s", (16, 112, 112), r"exactly \(16, 224, 224\)"),
        ("mvit_v2_s", (32, 224, 224), r"exactly \(16, 224, 224\)"),
        ("s3d", (4, 112, 112), r"at least \(8, 17, 17\)"),
    ],
)
def test_a_clip_of_a_size_the_model_cannot_take_is_refused(architecture, clip, limit):
    with pytest.raises(ValueError, match=limit):
        TorchvisionVideo(architecture)(torch.zeros(1, 3, *clip))


@pytest.mark.parametrize("architecture", ["s3d", "r3d_18"])
def test_hidden_layers_go_from_shallow_to_deep(architecture):
    hidden = TorchvisionVideo(architecture).eval()(torch.randn(1, 3, 16, 64, 64)).hidden
    sizes = [layer[0, 0].numel() for layer in hidden]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)


@pytest.mark.slow
def test_mvit_maps_are_its_tokens_without_the_class_token():
    encoder = TorchvisionVideo("mvit_v2_s").eval()
    tokens = []
    encoder.model.blocks[15].register_forward_hook(lambda m, a, out: tokens.append(out[0]))
    with torch.no_grad():
        last = encoder(torch.randn(1, 3, 16, 224, 224)).hidden[-1]
    assert last.shape == (1, 768, 8, 7, 7)
    torch.testing.assert_close(last[0, :, 0, 0, 1], tokens[0][0, 2])
