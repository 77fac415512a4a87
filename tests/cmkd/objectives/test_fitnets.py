import re

import pytest
import torch
from torch import Tensor

from cmkd.objectives import FitNets, Layer, hint_loss
from cmkd.objectives.layers import pool
from cmkd.representation import Representation, Sizes
from tests.cmkd.objectives.helpers import SIZES, batch, double_list, pulled, representations


def by_hand(x: Tensor, y: Tensor) -> list[float]:
    """The mean squared error of every row by a plain double loop."""
    return [
        sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) / len(p)
        for p, q in zip(double_list(x), double_list(y), strict=True)
    ]


@pytest.mark.parametrize(("rows", "dim"), [(1, 1), (3, 4), (6, 2)])
def test_the_loss_is_that_of_a_plain_double_loop(rows: int, dim: int) -> None:
    torch.manual_seed(rows)
    x, y = torch.randn(2, rows, dim, dtype=torch.float64)
    torch.testing.assert_close(hint_loss(x, y), torch.tensor(by_hand(x, y), dtype=torch.float64))


def test_the_gradient_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    inputs = [x.clone().requires_grad_() for x in torch.randn(2, 3, 4, dtype=torch.float64)]
    assert torch.autograd.gradcheck(hint_loss, inputs)


def test_by_default_the_teachers_embedding_is_regressed_linearly_on_the_students() -> None:
    torch.manual_seed(0)
    objective = FitNets(SIZES)
    given = representations()
    linear = objective.regressor.layers[0]
    regressed = given["student"].embedding @ linear.weight.T + linear.bias
    expected = sum(by_hand(regressed, given["teacher"].embedding)) / 5
    assert objective(given, batch()).loss.detach() == pytest.approx(expected, rel=1e-5)


def test_hidden_layers_are_averaged_over_their_positions() -> None:
    torch.manual_seed(0)
    objective = FitNets(SIZES, source_layer=Layer("video", 1), target_layer=Layer("audio", -2))
    given = representations()
    s = given["student"].hidden["video"][1].mean(dim=(2, 3))
    t = given["teacher"].hidden["audio"][0].mean(dim=(2, 3))
    expected = sum(by_hand(objective.regressor(s), t)) / 5
    assert objective(given, batch()).loss.detach() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5), (2, 3, 2, 4, 5)])
def test_pooling_keeps_rows_and_channels_of_any_shape(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape)
    expected = [[float(x[i, c].mean()) for c in range(3)] for i in range(2)]
    torch.testing.assert_close(pool(x), torch.tensor(expected))


def test_pooling_a_sequence_leaves_out_its_padding() -> None:
    x = torch.randn(3, 2, 5)
    length = torch.tensor([5, 2, 0])
    x[1, :, 2:] = float("nan")
    pooled = pool(x, length)
    torch.testing.assert_close(pooled[0], x[0].mean(1))
    torch.testing.assert_close(pooled[1], x[1, :, :2].mean(1))
    assert not pooled[2].any()


def sequences(layer_steps: int) -> tuple[dict[str, Representation], dict[str, object]]:
    """A student and a teacher of one text layer each, over a batch padded to 4 steps."""
    torch.manual_seed(0)
    valid = torch.ones(2, dtype=torch.bool)
    given = {
        role: Representation(
            torch.randn(2, 3), torch.randn(2, 2), {"text": [torch.randn(2, 3, layer_steps)]}, valid
        )
        for role in ("student", "teacher")
    }
    text = {
        "text": torch.randn(2, 4, 6),
        "length": {"text": torch.tensor([4, 1])},
        "present": {"text": valid},
    }
    return given, text


@pytest.mark.parametrize(("layer_steps", "matters"), [(4, False), (2, True)])
def test_padding_matters_only_where_a_layer_does_not_keep_the_inputs_steps(
    layer_steps: int, matters: bool
) -> None:
    sizes = {role: Sizes(3, 2, {"text": [3]}) for role in ("student", "teacher")}
    objective = FitNets(sizes, source_layer=Layer("text", 0), target_layer=Layer("text", 0))
    given, text = sequences(layer_steps)
    before = objective(given, text).loss
    given["student"].hidden["text"][0][1, :, layer_steps // 2 :] += 5
    assert (objective(given, text).loss != before) == matters


def test_rows_in_which_the_layers_own_modality_is_absent_are_masked() -> None:
    torch.manual_seed(0)
    objective = FitNets(SIZES, target_layer=Layer("audio", 0))
    given, data = representations(), batch()
    # The teacher saw the video of these rows: they are valid, but not for this layer.
    data["present"]["audio"] = torch.tensor([True, True, False, False, True])
    before = objective(given, data).loss
    with torch.no_grad():
        given["teacher"].hidden["audio"][0][2:4] = float("nan")
    after = objective(given, data).loss
    after.backward()
    assert after == before
    grad = given["student"].embedding.grad
    assert grad is not None
    assert grad.isfinite().all()
    assert not grad[2:4].any()


@pytest.mark.parametrize(
    "layers", [{}, {"source_layer": Layer("video", 0), "target_layer": Layer("video", 1)}]
)
def test_only_the_source_is_pulled(layers: dict[str, Layer]) -> None:
    torch.manual_seed(0)
    given = representations()
    FitNets(SIZES, **layers)(given, batch()).loss.backward()
    assert pulled(given["student"], given["teacher"]) == [True, False]


def test_twenty_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    objective = FitNets(SIZES)
    given = representations()
    optimizer = torch.optim.Adam(objective.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = objective(given, batch()).loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            {"source_layer": Layer("audio", 0)},
            "FitNets.source_layer: the student has no hidden layer 0 of 'audio'; "
            "it has video 0 to 1",
        ),
        (
            {"target_layer": Layer("video", 2)},
            "FitNets.target_layer: the teacher has no hidden layer 2 of 'video'; "
            "it has video 0 to 1, audio 0 to 1",
        ),
        ({"target_layer": Layer("video", -3)}, "the teacher has no hidden layer -3 of 'video'"),
    ],
)
def test_an_unknown_layer_is_refused_with_those_there_are(
    layers: dict[str, Layer], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        FitNets(SIZES, **layers)


def test_a_network_without_hidden_layers_says_so() -> None:
    with pytest.raises(ValueError, match="it has none at all"):
        FitNets(SIZES, source="auxiliary", source_layer=Layer("audio", 0))
