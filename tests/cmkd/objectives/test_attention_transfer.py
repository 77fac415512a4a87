import itertools
import math
import re
from functools import partial

import pytest
import torch

from cmkd.objectives import AttentionTransfer, Layer, attention_transfer_loss
from cmkd.representation import Representation, Sizes
from tests.cmkd.objectives.checks import (
    ObjectiveContract,
    assert_absent_modality_changes_nothing,
    every,
)
from tests.cmkd.objectives.function_checks import (
    assert_computed_in_float32,
    assert_equals_loop,
    assert_gradient_is_exact,
)
from tests.cmkd.objectives.helpers import SIZES, batch, pulled, representations

ACROSS = partial(
    AttentionTransfer, source_layers=[Layer("video", 1)], target_layers=[Layer("audio", -1)]
)


@every(all_layers=AttentionTransfer, across_modalities=ACROSS)
class TestContract(ObjectiveContract):
    pass


def by_hand(source_shape, target_shape):
    """Every row's loss by plain loops over positions, of flattened (B, C * positions) inputs."""
    positions = math.prod(source_shape)

    def attention(row, size):
        """The mean square over channels, and over the cell of the smaller map."""
        pooled = []
        for cell in itertools.product(*(range(n) for n in target_shape)):
            ranges = [
                range(c * n // m, -((c + 1) * n // -m))
                for c, n, m in zip(cell, size, target_shape, strict=True)
            ]
            values = []
            for place in itertools.product(*ranges):
                flat = 0
                for p, n in zip(place, size, strict=True):
                    flat = flat * n + p
                channels = row[flat :: math.prod(size)]
                values.append(sum(x * x for x in channels) / len(channels))
            pooled.append(sum(values) / len(values))
        length = math.sqrt(sum(a * a for a in pooled))
        return [a / length for a in pooled]

    def losses(source, target):
        assert len(source[0]) % positions == 0
        return [
            sum(
                (a - b) ** 2
                for a, b in zip(attention(s, source_shape), attention(t, target_shape), strict=True)
            )
            / math.prod(target_shape)
            for s, t in zip(source, target, strict=True)
        ]

    return losses


@pytest.mark.parametrize(
    ("source", "target"),
    [((6,), (6,)), ((7,), (3,)), ((2, 3), (2, 3)), ((4, 6), (2, 3)), ((4, 3, 5), (2, 3, 2))],
)
@pytest.mark.parametrize("rows", [1, 4])
def test_the_loss_is_that_of_plain_loops_on_maps_of_any_size(rows, source, target):
    torch.manual_seed(rows)
    s = torch.randn(rows, 3 * math.prod(source), dtype=torch.float64)
    t = torch.randn(rows, 2 * math.prod(target), dtype=torch.float64)
    assert_equals_loop(
        lambda s, t: attention_transfer_loss(s.view(rows, 3, *source), t.view(rows, 2, *target)),
        by_hand(source, target),
        s,
        t,
    )
    assert_equals_loop(
        lambda s, t: attention_transfer_loss(t.view(rows, 2, *target), s.view(rows, 3, *source)),
        by_hand(source, target),
        s,
        t,
    )


def test_each_dimension_takes_the_smaller_size():
    torch.manual_seed(0)
    wide, tall = torch.randn(2, 3, 2, 6), torch.randn(2, 3, 4, 3)
    energy = wide.square().mean(1).view(2, 2, 3, 2).mean(3), tall.square().mean(1)
    s = torch.nn.functional.normalize(energy[0].flatten(1))
    t = torch.nn.functional.normalize(energy[1].view(2, 2, 2, 3).mean(2).flatten(1))
    torch.testing.assert_close(attention_transfer_loss(wide, tall), (s - t).square().mean(1))


def test_the_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    s, t = torch.randn(2, 2, 4, 3), torch.randn(2, 3, 2, 3)
    assert_gradient_is_exact(attention_transfer_loss, s, t)
    length = torch.tensor([3, 1])
    assert_gradient_is_exact(
        lambda s, t: attention_transfer_loss(s, t, length),
        torch.randn(2, 2, 4),
        torch.randn(2, 3, 4),
    )


def test_half_precision_is_raised_to_float32():
    assert_computed_in_float32(attention_transfer_loss, *torch.randn(2, 4, 3, 5))


def test_the_same_attention_costs_nothing_whatever_signs_and_scale():
    torch.manual_seed(0)
    s, t = torch.randn(2, 4, 3, 5)
    torch.testing.assert_close(attention_transfer_loss(-7 * s, s), torch.zeros(4))
    assert (attention_transfer_loss(s, t) > 1e-3).all()


def test_small_activity_counts_and_none_costs_no_gradient():
    torch.manual_seed(0)
    s, t = torch.randn(2, 4, 3, 5)
    torch.testing.assert_close(attention_transfer_loss(1e-5 * s, t), attention_transfer_loss(s, t))
    dead = torch.zeros(4, 3, 5, requires_grad=True)
    attention_transfer_loss(dead, t).sum().backward()
    assert not dead.grad.any()


def test_padding_is_left_out_of_the_map_and_of_its_mean():
    torch.manual_seed(0)
    s, t = torch.randn(2, 3, 2, 5)
    length = torch.tensor([5, 2, 0])
    losses = attention_transfer_loss(s, t, length)
    for row in (0, 1):
        steps = slice(0, int(length[row]))
        alone = attention_transfer_loss(s[row : row + 1, :, steps], t[row : row + 1, :, steps])
        torch.testing.assert_close(losses[row : row + 1], alone)
    assert losses[2] == 0


def test_all_layers_of_shared_modalities_are_paired_and_summed():
    given = representations()
    objective = AttentionTransfer(SIZES)
    assert objective.pairs == [(Layer("video", i), Layer("video", i)) for i in (0, 1)]
    expected = sum(
        attention_transfer_loss(s, t).mean()
        for s, t in zip(
            given["student"].hidden["video"], given["teacher"].hidden["video"], strict=True
        )
    )
    output = objective(given, batch())
    torch.testing.assert_close(output.loss, expected)
    output.loss.backward()
    assert pulled(given["student"], given["teacher"]) == [True, False]


@pytest.mark.parametrize("modality", ["video", "audio"])
def test_rows_in_which_a_layers_modality_is_absent_are_masked(modality):
    assert_absent_modality_changes_nothing(ACROSS(SIZES), modality)


@pytest.mark.parametrize(("layer_steps", "matters"), [(4, False), (2, True)])
def test_padding_matters_only_where_a_layer_does_not_keep_the_inputs_steps(layer_steps, matters):
    torch.manual_seed(0)
    sizes = {role: Sizes(3, 2, {"text": [3]}) for role in ("student", "teacher")}
    valid = torch.ones(2, dtype=torch.bool)
    given = {
        role: Representation(
            torch.randn(2, 3), torch.randn(2, 2), {"text": [torch.randn(2, 3, layer_steps)]}, valid
        )
        for role in sizes
    }
    text = {
        "text": torch.randn(2, 4, 6),
        "length": {"text": torch.tensor([4, 1])},
        "present": {"text": valid},
    }
    objective = AttentionTransfer(sizes)
    before = objective(given, text).loss
    given["student"].hidden["text"][0][1, :, layer_steps // 2 :] += 5
    assert (objective(given, text).loss != before) == matters


@pytest.mark.parametrize(("source", "target"), [((4, 3), (4, 3)), ((4, 3, 5), (4, 3, 5, 5))])
def test_vectors_and_maps_of_different_dimensions_are_refused(source, target):
    with pytest.raises(ValueError, match=re.escape(f"got {source} and {target}; vectors (B, C)")):
        attention_transfer_loss(torch.randn(source), torch.randn(target))


def test_a_layer_that_is_a_vector_is_named():
    given = representations()
    given["student"].hidden["video"][1] = torch.randn(5, 4)
    with pytest.raises(ValueError, match="layer 1 of the student's 'video' and layer 1 of the tea"):
        AttentionTransfer(SIZES)(given, batch())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "auxiliary"}, "got 0 of the auxiliary and 0 of the teacher"),
        ({"source_layers": [Layer("video", 0)]}, "got 1 of the student and 0 of the teacher"),
        (
            {"source_layers": [Layer("audio", 0)], "target_layers": [Layer("audio", 0)]},
            "AttentionTransfer.source_layers: the student has no hidden layer 0 of 'audio'",
        ),
        (
            {"source_layers": [Layer("video", 0)], "target_layers": [Layer("audio", 9)]},
            "AttentionTransfer.target_layers: the teacher has no hidden layer 9 of 'audio'",
        ),
    ],
)
def test_layers_that_do_not_pair_up_are_refused(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        AttentionTransfer(SIZES, **arguments)
