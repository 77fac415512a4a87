import math
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from cmkd.objectives import InfoNCE, info_nce
from cmkd.objectives.negative_queue import NegativeQueue, QueuedNegatives
from tests.cmkd.objectives.checks import every
from tests.cmkd.objectives.function_checks import assert_gradient_is_exact
from tests.cmkd.objectives.helpers import SIZES, batch, pulled, representations
from tests.cmkd.objectives.stateful import StatefulContract, same_state_in_every_call
from tests.cmkd.objectives.two_ranks import of_two_ranks


def filled(sizes=SIZES, queue_size=20, **arguments):
    """InfoNCE whose queue holds pairs of samples 1 and 100 to 102, and empty places."""
    objective = InfoNCE(sizes, dim=3, queue_size=queue_size, **arguments)
    x, y = torch.randn(2, 4, 3)
    everything = torch.ones(4, dtype=torch.bool)
    objective.queue.push(x, y, torch.tensor([1, 100, 101, 102]), everything)
    return objective


@every(empty=partial(InfoNCE, dim=3, queue_size=20), filled=filled)
class TestContract(StatefulContract):
    pass


def cosine(a, b):
    return sum(p * q for p, q in zip(a, b, strict=True))


def one_way(anchors, others, queued, allowed, temperature):
    """The loss of every anchor by plain loops over unit vectors."""
    losses = []
    for i, anchor in enumerate(anchors):
        odds = [math.exp(cosine(anchor, other) / temperature) for other in others]
        further = [
            math.exp(cosine(anchor, old) / temperature)
            for q, old in enumerate(queued)
            if allowed[i][q]
        ]
        losses.append(-math.log(odds[i] / (sum(odds) + sum(further))))
    return losses


def queued(rows, size, dim):
    torch.manual_seed(rows)
    x, y = normalize(torch.randn(2, rows, dim, dtype=torch.float64), dim=2)
    old_x, old_y = normalize(torch.randn(2, size, dim, dtype=torch.float64), dim=2)
    return x, y, QueuedNegatives(old_x, old_y, torch.rand(rows, size) < 0.7)


@pytest.mark.parametrize(("rows", "size", "dim"), [(1, 1, 2), (3, 5, 4), (6, 12, 3)])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_the_loss_with_a_queue_is_that_of_a_plain_loop(rows, size, dim, temperature):
    x, y, queue = queued(rows, size, dim)
    xs, ys, old_xs, old_ys = (z.tolist() for z in (x, y, queue.source, queue.target))
    allowed = queue.allowed.tolist()
    forth = one_way(xs, ys, old_ys, allowed, temperature)
    back = one_way(ys, xs, old_xs, allowed, temperature)
    expected = [(a + b) / 2 for a, b in zip(forth, back, strict=True)]
    found = info_nce(x, y, temperature, queue=queue)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_the_gradient_with_a_queue_is_that_of_finite_differences():
    x, y, queue = queued(4, 6, 3)
    assert_gradient_is_exact(lambda x, y: info_nce(x, y, 0.3, queue=queue), x, y)


def push(queue, samples, valid=None):
    """Push rows that name their sample in their direction; return nothing."""
    angle = torch.tensor(samples, dtype=torch.float32) / 100
    rows = torch.stack([angle.cos(), angle.sin()], dim=1)
    mask = torch.tensor(valid if valid is not None else [True] * len(samples))
    queue.push(5 * rows, -rows, torch.tensor(samples), mask)


def samples_by_direction(rows):
    return (torch.atan2(rows[:, 1], rows[:, 0]) * 100).round().int().tolist()


def test_the_oldest_entries_go_first_and_pairs_stay_together():
    queue = NegativeQueue(5, 2)
    push(queue, [1, 2, 3])
    assert queue.sample.tolist() == [1, 2, 3, -1, -1]
    push(queue, [4, 5, 6])
    assert queue.sample.tolist() == [6, 2, 3, 4, 5]
    assert samples_by_direction(queue.source) == [6, 2, 3, 4, 5]
    torch.testing.assert_close(queue.target, -queue.source)
    torch.testing.assert_close(queue.source.norm(dim=1), torch.ones(5))


def test_masked_rows_never_enter_and_leave_no_gap():
    queue = NegativeQueue(4, 2)
    push(queue, [1, 2, 3], [False, True, False])
    push(queue, [4, 5], [False, False])
    push(queue, [6, 7], [False, True])
    assert queue.sample.tolist() == [2, 7, -1, -1]
    assert samples_by_direction(queue.source[:2]) == [2, 7]
    assert not queue.source[2:].any()


def test_an_entry_is_no_negative_of_its_own_sample_and_an_empty_place_of_none():
    queue = NegativeQueue(3, 2)
    push(queue, [1, 2])
    allowed = queue.negatives(torch.tensor([2, 1, 9])).allowed
    assert allowed.tolist() == [[True, False, False], [False, True, False], [True, True, False]]


def test_a_batch_larger_than_the_queue_is_refused():
    with pytest.raises(ValueError, match="queue_size is 2, but a batch has 3 rows"):
        push(NegativeQueue(2, 2), [1, 2, 3])


def test_a_queue_of_negative_size_is_refused():
    with pytest.raises(ValueError, match=r"InfoNCE\.queue_size must be 0 or more, got -1"):
        InfoNCE(SIZES, queue_size=-1)


def test_a_batch_meets_the_pairs_of_the_batches_before_it_and_the_bound_counts_them():
    torch.manual_seed(0)
    objective = InfoNCE(SIZES, dim=3, queue_size=8)
    first = objective(representations(rows=4), batch(4)).logs
    torch.testing.assert_close(first["ceiling"], torch.tensor(math.log(4)))

    # Samples 2 to 5: two of the four in the queue are their own for two of the anchors.
    data = batch(4) | {"index": torch.arange(2, 6)}
    output = objective(representations(rows=4), data)
    expected = (2 * math.log(4 + 3) + 2 * math.log(4 + 4)) / 4
    assert output.logs["ceiling"] == pytest.approx(expected)
    assert output.logs["bound"] == pytest.approx(expected - float(output.loss.detach()))
    assert objective.queue.sample.tolist() == [0, 1, 2, 3, 2, 3, 4, 5]


def test_a_queue_that_is_empty_changes_nothing():
    torch.manual_seed(0)
    plain = InfoNCE(SIZES, dim=3)
    torch.manual_seed(0)
    with_queue = InfoNCE(SIZES, dim=3, queue_size=16)
    given = representations()
    expected, found = plain(given, batch()), with_queue(given, batch())
    torch.testing.assert_close(found.loss, expected.loss)
    torch.testing.assert_close(found.logs, expected.logs)


def test_queued_pairs_are_pushed_off_without_a_gradient_of_their_own():
    torch.manual_seed(0)
    objective = filled()
    first, second = representations(seed=1), representations(seed=2)
    for given in (first, second):
        objective(given, batch()).loss.backward()
    assert pulled(second["student"], second["teacher"]) == [True, True]
    assert not objective.queue.source.requires_grad


def test_the_queue_is_saved_and_a_resumed_objective_goes_on_with_it():
    torch.manual_seed(0)
    objective = filled()
    objective(representations(seed=1), batch())
    resumed = InfoNCE(SIZES, dim=3, queue_size=20)
    resumed.load_state_dict(objective.state_dict())
    given = representations(seed=2)
    torch.testing.assert_close(resumed(given, batch()).loss, objective(given, batch()).loss)
    torch.testing.assert_close(resumed.state_dict(), objective.state_dict())


def steps(rank, ranks, rows=3):
    """Three steps on a rank's rows of the joint batch: what the queue holds then, and losses."""
    torch.manual_seed(0)
    objective = InfoNCE(SIZES, dim=4, queue_size=13).double()
    losses = []
    for step in range(3):
        part = slice(rank * rows, (rank + 1) * rows) if ranks > 1 else slice(None)
        joint = representations(2 * rows, seed=step)
        given = {
            role: type(r)(r.embedding.detach()[part].double(), r.logits[part], {}, r.valid[part])
            for role, r in joint.items()
        }
        # The first step leaves a rank without a row, the second one masks one of its rows.
        valid = torch.ones(2 * rows, dtype=torch.bool)
        valid[[[3, 4, 5], [1], []][step]] = False
        given["student"].valid.copy_(valid[part])
        data = {"index": (torch.arange(2 * rows) + 4 * step)[part]}
        losses.append(objective(given, data).loss.detach())
    return {"queue": objective.queue.state_dict(), "losses": torch.stack(losses)}


@pytest.mark.slow
def test_two_ranks_hold_the_queue_of_the_joint_batch_and_have_its_loss(tmp_path: Path):
    ranks = of_two_ranks(partial(steps, ranks=2), tmp_path)
    joint = steps(0, 1)
    for found in ranks:
        torch.testing.assert_close(found["queue"], joint["queue"], atol=0, rtol=0)
    torch.testing.assert_close(sum(r["losses"] for r in ranks) / 2, joint["losses"])
    assert joint["queue"]["sample"].tolist() == [13, 1, 2, 4, 6, 7, 8, 9, 8, 9, 10, 11, 12]


def test_the_contracts_helper_restores_what_a_call_changed():
    objective = same_state_in_every_call(filled())
    first = objective(representations(), batch()).loss
    torch.testing.assert_close(objective(representations(), batch()).loss, first)
