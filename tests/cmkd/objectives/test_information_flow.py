import math

import pytest
import torch

from cmkd.objectives.information_flow import (
    InformationFlow,
    cosine_kernel,
    critical_period,
    jeffreys_divergence,
    student_t_kernel,
)
from cmkd.objectives.layers import pool
from cmkd.objectives.pkt import probabilistic_knowledge_transfer
from cmkd.representation import Sizes
from tests.cmkd.objectives.checks import ObjectiveContract, every
from tests.cmkd.objectives.function_checks import (
    assert_computed_in_float32,
    assert_equals_loop,
    assert_gradient_is_exact,
)
from tests.cmkd.objectives.helpers import SIZES, batch, pulled, representations

KERNELS = [cosine_kernel, student_t_kernel]


def flow(sizes=SIZES, source="student", target="teacher", **arguments):
    return InformationFlow(sizes, source, target, **arguments)


@every(flow=flow)
class TestContract(ObjectiveContract):
    pass


def by_hand(kernel):
    """Jeffreys divergence of every row by plain double loops."""

    def cosine(a, b):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return (dot / (math.hypot(*a) * math.hypot(*b)) + 1) / 2

    affinity = {
        cosine_kernel: cosine,
        student_t_kernel: lambda a, b: 1 / (1 + math.dist(a, b)),
    }[kernel]

    def neighbours(rows):
        found = [[affinity(a, b) for b in rows] for a in rows]
        return [[value / sum(row) for value in row] for row in found]

    return lambda source, target: [
        sum((p - q) * (math.log(p) - math.log(q)) for p, q in zip(ps, qs, strict=True))
        for qs, ps in zip(neighbours(source), neighbours(target), strict=True)
    ]


@pytest.mark.parametrize(("rows", "source", "target"), [(1, 3, 2), (2, 2, 5), (9, 8, 4)])
@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_divergence_is_that_of_plain_loops(rows, source, target, scale, kernel):
    torch.manual_seed(rows)
    s = scale * torch.randn(rows, source, dtype=torch.float64)
    t = torch.randn(rows, target, dtype=torch.float64)
    assert_equals_loop(lambda s, t: jeffreys_divergence(s, t, kernel), by_hand(kernel), s, t)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_gradient_is_that_of_finite_differences(kernel):
    torch.manual_seed(0)
    assert_gradient_is_exact(
        lambda s, t: jeffreys_divergence(s, t, kernel), torch.randn(4, 3), torch.randn(4, 2)
    )


@pytest.mark.parametrize("kernel", KERNELS)
def test_half_precision_is_raised_to_float32(kernel):
    torch.manual_seed(0)
    assert_computed_in_float32(
        lambda s, t: jeffreys_divergence(s, t, kernel), *torch.randn(2, 5, 4)
    )


def test_with_the_cosine_kernel_it_is_pkt_both_ways():
    torch.manual_seed(0)
    s, t, mask = torch.randn(6, 4), torch.randn(6, 3), torch.arange(6) != 2
    both = probabilistic_knowledge_transfer(s, t, mask) + probabilistic_knowledge_transfer(
        t, s, mask
    )
    found = jeffreys_divergence(s, t, cosine_kernel, mask)
    torch.testing.assert_close(found[mask], both[mask])


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_same_neighbourhoods_cost_nothing(kernel):
    torch.manual_seed(0)
    s = torch.randn(6, 4)
    turned = s @ torch.linalg.qr(torch.randn(4, 4))[0]
    torch.testing.assert_close(jeffreys_divergence(turned, s, kernel), torch.zeros(6))
    assert (jeffreys_divergence(torch.randn(6, 4), s, kernel) > 1e-4).all()


def test_the_weight_falls_by_the_decay_with_every_finished_epoch():
    assert [critical_period(e) for e in (0, 0.9, 1, 1.5)] == [100, 100, *[pytest.approx(70)] * 2]
    assert critical_period(3, 10, 0.5) == 1.25
    given, data = representations(), batch()
    objective = flow(initial=8.0, decay=0.5)
    for epoch, weight in ((0, 8.0), (2.3, 2.0)):
        objective.set_epoch(epoch, 8)
        output = objective(given, data)
        expected = output.logs["last_layer"] + weight * output.logs["intermediate"]
        torch.testing.assert_close(output.loss.detach(), expected)


def test_embedding_and_all_shared_layers_meet_under_both_kernels():
    given = representations()

    def divergence(s, t):
        return sum(jeffreys_divergence(s, t, kernel).mean() for kernel in KERNELS).detach()

    s, t = given["student"], given["teacher"]
    layers = zip(s.hidden["video"], t.hidden["video"], strict=True)
    expected = {
        "last_layer": divergence(s.embedding, t.embedding),
        "intermediate": sum(divergence(pool(x), pool(y)) for x, y in layers),
    }
    output = flow()(given, batch())
    torch.testing.assert_close(output.logs, expected)
    output.loss.backward()
    assert pulled(s, t) == [True, False]


def test_rows_in_which_a_layers_modality_is_absent_keep_their_embedding():
    given, data = representations(), batch()
    data["present"]["video"][2:] = False
    for r in given.values():
        for layer in r.hidden.get("video", []):
            layer.data[2:] = float("nan")
    output = flow()(given, data)
    output.loss.backward()
    assert output.loss.isfinite()
    assert given["student"].embedding.grad[2:].any(dim=1).all()
    assert not given["student"].hidden["video"][0].grad[2:].any()


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        ({"audio": [3, 4]}, "have no hidden layer of the same modality"),
        ({"video": [3]}, "of 'video' the student has 2 and the teacher 1"),
    ],
)
def test_networks_without_partners_for_their_layers_are_refused(theirs, message):
    sizes = {"student": Sizes(6, 4, {"video": [3, 4]}), "teacher": Sizes(5, 4, theirs)}
    with pytest.raises(ValueError, match=message):
        flow(sizes)


@pytest.mark.parametrize("name", ["initial", "decay"])
def test_arguments_out_of_range_are_refused(name):
    with pytest.raises(ValueError, match=rf"InformationFlow\.{name} must be"):
        flow(**{name: 0.0})
