import copy
from functools import partial
from itertools import permutations
from pathlib import Path

import pytest
import torch
from torch import nn

from cmkd.objectives import MFH, knowledge_distillation, linear_saliency, permutation_saliency
from cmkd.representation import Sizes
from tests.cmkd.objectives.checks import every
from tests.cmkd.objectives.helpers import SIZES, batch, pulled, representations
from tests.cmkd.objectives.stateful import StatefulContract, context
from tests.cmkd.objectives.two_ranks import of_two_ranks


@every(mfh=MFH, mfh_most=partial(MFH, keep=0.6, temperature=1.0))
class TestContract(StatefulContract):
    pass


def made(**arguments):
    objective = MFH(SIZES, **({"keep": 0.4} | arguments))
    objective.allocate(context())
    return objective


def setting(rows, classes, channels):
    torch.manual_seed(rows)
    head = nn.Linear(channels, classes).double()
    source = torch.randn(rows, classes, dtype=torch.float64)
    return source, torch.randn(rows, channels, dtype=torch.float64), head


def by_hand(source, target, head, orders):
    """The growth of the mean squared distance, by loops over permutations, channels and rows."""
    weight, bias = head.weight.tolist(), head.bias.tolist()

    def distance(embeddings):
        total = 0.0
        for s, e in zip(source.tolist(), embeddings, strict=True):
            for c, value in enumerate(s):
                output = bias[c] + sum(w * x for w, x in zip(weight[c], e, strict=True))
                total += (output - value) ** 2
        return total / source.numel()

    rows = target.tolist()
    saliency = []
    for channel in range(target.shape[1]):
        grown = 0.0
        for order in orders:
            shuffled = [list(row) for row in rows]
            for row, other in enumerate(order):
                shuffled[row][channel] = rows[other][channel]
            grown += distance(shuffled) - distance(rows)
        saliency.append(grown / len(orders))
    return torch.tensor(saliency, dtype=torch.float64)


@pytest.mark.parametrize(("rows", "classes", "channels"), [(1, 2, 3), (3, 4, 2), (5, 3, 4)])
def test_the_saliency_of_a_linear_head_is_the_mean_over_all_permutations(rows, classes, channels):
    source, target, head = setting(rows, classes, channels)
    expected = by_hand(source, target, head, list(permutations(range(rows))))
    found = linear_saliency(head(target) - source, target, head.weight)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("rows", "classes", "channels"), [(2, 2, 3), (7, 4, 2)])
def test_the_sampled_saliency_is_that_of_a_plain_loop_over_its_permutations(
    rows, classes, channels
):
    source, target, head = setting(rows, classes, channels)
    drawn = torch.Generator().manual_seed(3)
    orders = [torch.randperm(rows, generator=drawn).tolist() for _ in range(4)]
    found = permutation_saliency(source, target, head, 4, torch.Generator().manual_seed(3))
    torch.testing.assert_close(found, by_hand(source, target, head, orders))


def test_the_sampled_saliency_approaches_the_exact_one():
    source, target, head = setting(40, 3, 5)
    exact = linear_saliency(head(target) - source, target, head.weight)
    sampled = permutation_saliency(source, target, head, 200, torch.Generator().manual_seed(0))
    assert (sampled - exact).abs().max() < 0.05 * exact.abs().max()


def test_shared_channels_are_salient_and_the_teachers_own_are_not():
    torch.manual_seed(0)
    shared, own = torch.randn(2, 500, 3)
    # The student has learned what it can of the sum of both: the shared part.
    head = nn.Linear(6, 2)
    target = torch.cat([shared, own], 1)
    source = nn.functional.linear(shared, head.weight[:, :3], head.bias).detach()
    saliency = permutation_saliency(source, target, head)
    assert saliency[:3].min() > 5 * saliency[3:].abs().max()


def test_embeddings_of_one_width_are_compared_without_a_head():
    torch.manual_seed(0)
    x = torch.randn(50, 3)
    saliency = permutation_saliency(x, x + torch.tensor([0.0, 5.0, 0.0]))
    # The distance grows by twice the variance, in one of three channels.
    torch.testing.assert_close(saliency, 2 * x.var(0) / 3, atol=0.2, rtol=0)


def test_outputs_of_different_shapes_and_no_permutation_are_refused():
    with pytest.raises(ValueError, match=r"got \(4, 2\) of the student and \(4, 3\) of the"):
        permutation_saliency(torch.randn(4, 2), torch.randn(4, 3))
    with pytest.raises(ValueError, match="at least 1 permutation, got 0"):
        permutation_saliency(torch.randn(4, 2), torch.randn(4, 2), permutations=0)


def test_masked_rows_do_not_count():
    source, target, head = setting(6, 3, 4)
    mask = torch.tensor([True, False, True, True, False, True])
    residual = head(target) - source
    expected = linear_saliency(residual[mask], target[mask], head.weight)
    target, residual = target.clone(), residual.detach().clone()
    target[~mask], residual[~mask] = float("nan"), float("inf")
    torch.testing.assert_close(linear_saliency(residual, target, head.weight, mask), expected)
    assert not linear_saliency(residual, target, head.weight, mask & False).any()


def test_the_student_is_distilled_from_the_head_on_the_most_salient_channels():
    objective = made(temperature=2.0)
    given = representations()
    head = context().networks["teacher"].head[1]
    s, t = given["student"].logits, given["teacher"].embedding.detach()
    saliency = linear_saliency(head(t) - s.detach(), t, head.weight)
    kept = saliency.argsort(descending=True)[:2]
    masked = torch.zeros_like(t)
    masked[:, kept] = t[:, kept]
    output = objective(given, batch())
    expected = knowledge_distillation(s, head(masked), 2.0).mean()
    torch.testing.assert_close(output.loss, expected)
    same = (head(masked).argmax(1) == head(t).argmax(1)).float().mean()
    torch.testing.assert_close(output.logs, {"unchanged": same})
    torch.testing.assert_close(objective.average(), saliency)
    output.loss.backward()
    assert pulled(given["student"], given["teacher"]) == [True, False]
    assert head.weight.grad is None


def test_with_all_channels_kept_it_is_knowledge_distillation():
    given = representations()
    head = context().networks["teacher"].head[1]
    expected = knowledge_distillation(
        given["student"].logits, head(given["teacher"].embedding), 4.0
    ).mean()
    torch.testing.assert_close(made(keep=1.0)(given, batch()).loss, expected)


def test_a_student_that_predicts_as_the_masked_teacher_costs_nothing():
    objective = made(keep=1.0)
    given = representations()
    logits = context().networks["teacher"].head[1](given["teacher"].embedding)
    student = type(given["student"])(given["student"].embedding, logits, {}, given["student"].valid)
    loss = objective(given | {"student": student}, batch()).loss
    torch.testing.assert_close(loss, torch.tensor(0.0), atol=1e-5, rtol=0)


def test_saliency_is_averaged_over_the_batches_without_a_bias_towards_the_start():
    objective = made(decay=0.5)
    head = context().networks["teacher"].head[1]
    batches = []
    for seed in (1, 2):
        given = representations(seed=seed)
        t = given["teacher"].embedding
        batches.append(linear_saliency(head(t) - given["student"].logits, t, head.weight))
        objective(given, batch())
    empty = representations()
    empty["student"].valid[:] = False
    objective(empty, batch())
    torch.testing.assert_close(objective.average(), (batches[0] + 2 * batches[1]) / 3)


def test_the_average_is_saved_but_not_the_head_which_belongs_to_the_teacher():
    objective = made()
    objective(representations(), batch())
    assert set(objective.state_dict()) == {"saliency", "weight"}
    assert not list(objective.parameters())
    resumed = made()
    resumed.load_state_dict(objective.state_dict())
    given = representations(seed=2)
    torch.testing.assert_close(resumed(given, batch()).loss, objective(given, batch()).loss)


def test_a_copy_of_a_model_reads_its_own_head():
    networks = context()
    model = nn.ModuleDict({"teacher": networks.networks["teacher"], "mfh": made()})
    model["mfh"].allocate(networks)
    twin = copy.deepcopy(model)
    assert twin["mfh"]._head[0] is twin["teacher"].head[1]


def test_a_head_that_is_not_one_linear_layer_is_refused():
    given = context()
    given.networks["teacher"].head = nn.Sequential(nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 4))
    with pytest.raises(ValueError, match="has to be one linear layer, got Sequential"):
        MFH(SIZES).allocate(given)


def test_without_a_head_the_remedy_is_named():
    with pytest.raises(RuntimeError, match="call allocate"):
        MFH(SIZES)(representations(), batch())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keep": 0.0}, r"MFH\.keep must be"),
        ({"keep": 1.5}, r"MFH\.keep is a share of the channels, at most 1, got 1\.5"),
        ({"decay": 1.0}, r"MFH\.decay must be from 0 to below 1"),
        ({"temperature": 0.0}, r"MFH\.temperature must be"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MFH(SIZES, **arguments)


def test_different_numbers_of_classes_are_refused():
    with pytest.raises(ValueError, match="student has 3 logits and the teacher 4"):
        MFH({"student": Sizes(4, 3), "teacher": Sizes(4, 4)})


def steps(rank, ranks, rows=3):
    """Three steps on a rank's rows of the joint batch; state, losses and gradients."""
    objective = made(keep=0.6).double()
    found = {"losses": [], "rows": []}
    for step in range(3):
        part = slice(rank * rows, (rank + 1) * rows) if ranks > 1 else slice(None)
        joint = representations(2 * rows, seed=step)
        given = {
            role: type(r)(
                r.embedding.detach()[part].double(),
                r.logits.detach()[part].double().requires_grad_(),
                {},
                r.valid[part],
            )
            for role, r in joint.items()
        }
        valid = torch.ones(2 * rows, dtype=torch.bool)
        valid[[[3, 4, 5], [1], []][step]] = False
        given["student"].valid.copy_(valid[part])
        loss = objective(given, batch()).loss
        loss.backward()
        found["losses"].append(loss.detach())
        found["rows"].append(given["student"].logits.grad)
    return found | {"state": dict(objective.named_buffers())}


@pytest.mark.slow
def test_two_ranks_hold_the_saliency_of_the_joint_batch_and_have_its_loss(tmp_path: Path):
    ranks = of_two_ranks(partial(steps, ranks=2), tmp_path)
    joint = steps(0, 1)
    torch.testing.assert_close(ranks[0]["state"], ranks[1]["state"], atol=0, rtol=0)
    torch.testing.assert_close(ranks[0]["state"], joint["state"])
    losses = [(a + b) / 2 for a, b in zip(*(r["losses"] for r in ranks), strict=True)]
    torch.testing.assert_close(losses, joint["losses"])
    rows = [torch.cat(pair) / 2 for pair in zip(*(r["rows"] for r in ranks), strict=True)]
    torch.testing.assert_close(rows, joint["rows"])
