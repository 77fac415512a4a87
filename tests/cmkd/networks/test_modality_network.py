"""The network of teacher, auxiliary model and student."""

import pytest
import torch

from cmkd.networks import (
    MLP,
    Concatenation,
    Fusion,
    ModalityNetwork,
    TorchvisionImage,
)
from cmkd.networks.fusion import zero_absent
from cmkd.representation import Sizes
from tests.cmkd.networks.small_networks import ENCODERS, FUSIONS, ROWS, batch, network, without


@FUSIONS
def test_sizes_agree_with_the_representation(fusion):
    model = network(fusion)
    out = model(batch())
    assert model.sizes == Sizes(
        embedding=out.embedding.shape[1],
        logits=out.logits.shape[1],
        hidden={name: [h.shape[1] for h in layers] for name, layers in out.hidden.items()},
    )
    assert out.embedding.shape == (ROWS, 12)
    assert out.logits.shape == (ROWS, 3)
    assert out.valid.all()
    assert list(out.hidden) == model.modalities == list(ENCODERS)


@FUSIONS
@pytest.mark.parametrize("modality", ENCODERS)
@pytest.mark.parametrize("garbage", [float("nan"), 1e20])
def test_an_absent_row_leaves_the_others_and_all_gradients_alone(fusion, modality, garbage):
    model = network(fusion)
    everything = batch()
    full = model(everything)
    clean = model(without(everything, modality, [1, 3]))
    dirty = model(without(everything, modality, [1, 3], garbage))
    torch.testing.assert_close(clean.embedding[[0, 2]], full.embedding[[0, 2]])
    assert not torch.allclose(clean.embedding[1], full.embedding[1], atol=1e-3)
    torch.testing.assert_close(dirty.embedding, clean.embedding, rtol=0, atol=0)
    assert dirty.valid.all()
    dirty.logits.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


class SecondToken(Fusion):
    def forward(self, tokens, present):
        return zero_absent(tokens, present)[:, 1]


def test_the_gradient_is_that_of_the_present_rows_alone():
    everything = batch()
    model = network(SecondToken, ["face", "text"])
    reference = network(modalities=["text"])
    for part in ("encoders", "projections"):
        own, others = getattr(reference, part), getattr(model, part)
        own["text"].load_state_dict(others["text"].state_dict())
    model(without(everything, "text", [1], float("nan"))).embedding.square().sum().backward()
    kept = torch.tensor([0, 2, 3])
    fewer = {
        "text": everything["text"][kept],
        "length": {"text": everything["length"]["text"][kept]},
    }
    reference(fewer).embedding.square().sum().backward()
    expected = dict(reference.encoders["text"].named_parameters())
    for name, parameter in model.encoders["text"].named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-4, atol=1e-5)


@FUSIONS
def test_with_everything_present_every_parameter_gets_a_gradient(fusion):
    model = network(fusion)
    model(batch()).logits.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@FUSIONS
@pytest.mark.parametrize("modality", ENCODERS)
def test_a_modality_absent_in_the_whole_batch_gets_zero_gradients_not_none(fusion, modality):
    model = network(fusion)
    out = model(without(batch(), modality, slice(None), float("nan")))
    assert out.embedding.isfinite().all()
    out.logits.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert all((p.grad == 0).all() for p in model.encoders[modality].parameters())


@FUSIONS
def test_a_row_without_any_modality_is_finite_and_not_valid(fusion):
    model = network(fusion)
    sparse = batch()
    for modality in ENCODERS:
        sparse = without(sparse, modality, [2], float("nan"))
    out = model(sparse)
    assert out.valid.tolist() == [True, True, False, True]
    assert out.embedding.isfinite().all()
    assert out.logits.isfinite().all()


def test_a_lone_modality_is_its_own_embedding_without_a_fusion():
    def never(modalities, dim):
        raise AssertionError("a fusion was built for one modality")

    model = network(never, ["face"])
    everything = batch()
    token = model.projections["face"](model.encoders["face"](everything["face"]).embedding)
    out = model(without(everything, "face", [1], float("nan")))
    torch.testing.assert_close(out.embedding[[0, 2, 3]], token[[0, 2, 3]])
    assert (out.embedding[1] == 0).all()
    assert out.valid.tolist() == [True, False, True, True]
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {
        "encoders",
        "projections",
        "head",
    }


def test_other_modalities_of_the_batch_are_not_read():
    model = network(modalities=["face", "text"])
    own = {name: value for name, value in batch().items() if name not in ("video", "audio")}
    expected = model(own).logits
    poisoned = {**batch(), "video": None, "audio": object()}
    assert torch.equal(model(poisoned).logits, expected)


@FUSIONS
def test_without_presence_flags_everything_is_present(fusion):
    model = network(fusion)
    flags = batch()
    bare = {name: value for name, value in flags.items() if name != "present"}
    some = {**flags, "present": {"face": flags["present"]["face"]}}
    expected = model(flags)
    for other in (bare, some):
        torch.testing.assert_close(model(other).logits, expected.logits)
        assert model(other).valid.all()


def test_the_lengths_of_a_sequence_reach_its_encoder():
    model = network(modalities=["text"])
    padded = batch()
    expected = model(padded).embedding
    padded["text"][1, 3:] = 1e6
    torch.testing.assert_close(model(padded).embedding, expected)


def test_an_encoder_sees_present_rows_in_turn_in_place_of_absent_ones():
    class Recorder(MLP):
        def forward(self, x, length=None):
            self.seen = x, length
            return super().forward(x, length)

    recorder = Recorder(1)
    model = ModalityNetwork({"text": recorder}, Concatenation, embedding_dim=4, num_outputs=2)
    model(
        {
            "text": torch.tensor([[0.0], [float("nan")], [2.0], [9.0], [9.0], [9.0]]),
            "length": {"text": torch.tensor([10, 0, 12, 0, 0, 0])},
            "present": {"text": torch.tensor([True, False, True, False, False, False])},
        }
    )
    x, length = recorder.seen
    assert x.flatten().tolist() == [0, 0, 2, 2, 0, 2]
    assert length.tolist() == [10, 10, 12, 12, 10, 12]


@pytest.mark.parametrize("absent", [[1, 3], [0, 2]])
def test_batch_statistics_are_those_of_the_present_rows(absent):
    def image_network():
        torch.manual_seed(0)
        return ModalityNetwork(
            {"image": TorchvisionImage("resnet18")}, Concatenation, embedding_dim=8, num_outputs=2
        )

    x = torch.randn(ROWS, 3, 32, 32)
    present = torch.ones(ROWS, dtype=torch.bool)
    present[absent] = False
    masked, fewer = image_network(), image_network()
    polluted = x.clone()
    polluted[absent] = 1e3
    out = masked({"image": polluted, "present": {"image": present}})
    expected = fewer({"image": x[present]})
    torch.testing.assert_close(out.embedding[present], expected.embedding, rtol=1e-3, atol=1e-4)
    for name, buffer in fewer.named_buffers():
        # The variance's own correction n/(n-1) counts the stand-ins.
        torch.testing.assert_close(masked.get_buffer(name), buffer, rtol=0.3, atol=1e-3, msg=name)


@FUSIONS
def test_two_networks_share_no_storage(fusion):
    first, second = network(fusion), network(fusion)
    owned = {tensor.data_ptr() for tensor in first.state_dict().values()}
    assert not owned & {tensor.data_ptr() for tensor in second.state_dict().values()}


@FUSIONS
def test_bfloat16_autocast_trains_with_modalities_absent(fusion):
    model = network(fusion)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(without(batch(), "audio", [0], float("nan")))
    assert out.embedding.isfinite().all()
    out.logits.float().square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_batch_of_one_trains():
    model = network().train()
    one = {name: x[:1] for name, x in batch().items() if name in ENCODERS}
    model(one).logits.sum().backward()
    assert model(one).logits.isfinite().all()


def test_dropout_sits_between_embedding_and_logits():
    torch.manual_seed(0)
    model = ModalityNetwork(
        {"face": MLP(7, width=16)}, Concatenation, embedding_dim=64, num_outputs=3, dropout=0.5
    )
    inputs = batch()
    first, second = model(inputs), model(inputs)
    assert torch.equal(first.embedding, second.embedding)
    assert not torch.equal(first.logits, second.logits)


def test_a_modality_the_batch_lacks_is_named_with_what_the_batch_holds():
    model = network(modalities=["face", "audio"])
    with pytest.raises(ValueError, match=r"needs modality 'audio', but the batch holds face, text"):
        model({"face": batch()["face"], "text": batch()["text"], "label": batch()["label"]})


def test_a_wrong_shape_names_the_modality():
    with pytest.raises(ValueError, match=r"modality 'face': MLP expects .*D=7.*got \(4, 9\)"):
        network(modalities=["face"])({"face": torch.zeros(4, 9)})


@pytest.mark.parametrize("name", ["rgb.flow", "", "label", "present", "keys", "training", "type"])
def test_names_that_cannot_be_used_are_refused(name):
    with pytest.raises(ValueError, match=f"modality name '{name}'"):
        ModalityNetwork({name: MLP(3)}, Concatenation, embedding_dim=4, num_outputs=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoders": {}}, "encoders is empty"),
        ({"embedding_dim": 0}, "embedding_dim must be at least 1"),
        ({"num_outputs": 0}, "num_outputs must be at least 1"),
    ],
)
def test_empty_networks_are_refused(arguments, message):
    defaults = {
        "encoders": {"face": MLP(3)},
        "fusion": Concatenation,
        "embedding_dim": 4,
        "num_outputs": 2,
    }
    with pytest.raises(ValueError, match=message):
        ModalityNetwork(**(defaults | arguments))
