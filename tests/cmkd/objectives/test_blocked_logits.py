"""Logits in blocks of rows against all of them at once."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize
from torch.utils._python_dispatch import TorchDispatchMode

from cmkd.objectives import info_nce, masked_mean
from cmkd.objectives.blocked_logits import in_blocks_of_rows
from cmkd.objectives.negative_queue import QueuedNegatives
from tests.cmkd.objectives.two_ranks import of_two_ranks

EVERYTHING = 2**62


def case(rows, dim, queued, dtype):
    torch.manual_seed(rows + queued)
    x, y = torch.randn(2, rows, dim, dtype=dtype)
    mask = torch.rand(rows) < 0.8
    queue = None
    if queued:
        old_x, old_y = normalize(torch.randn(2, queued, dim, dtype=dtype), dim=2)
        queue = QueuedNegatives(old_x, old_y, torch.rand(rows, queued) < 0.7)
    return x, y, mask, queue


def value_and_gradients(x, y, mask, queue, max_logits):
    x, y = (z.clone().requires_grad_() for z in (x, y))
    temperature = torch.tensor(0.2, dtype=x.dtype, requires_grad=True)
    losses = info_nce(x, y, temperature, mask, queue, max_logits)
    masked_mean(losses, mask).backward()
    return losses.detach(), x.grad, y.grad, temperature.grad


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("rows", "queued"), [(1, 0), (17, 0), (12, 9), (5, 30)])
@pytest.mark.parametrize("max_logits", [1, 40, 100])
def test_value_and_gradients_in_blocks_are_those_at_once(rows, queued, max_logits, dtype):
    given = case(rows, 4, queued, dtype)
    found = value_and_gradients(*given, max_logits)
    torch.testing.assert_close(found, value_and_gradients(*given, EVERYTHING))


def test_the_gradient_in_blocks_is_that_of_finite_differences():
    x, y, mask, queue = case(5, 3, 4, torch.float64)
    temperature = torch.tensor(0.3, dtype=torch.float64)
    inputs = [z.clone().requires_grad_() for z in (x, y, temperature)]
    assert torch.autograd.gradcheck(lambda x, y, t: info_nce(x, y, t, mask, queue, 20), inputs)


def test_autocast_does_not_lower_the_precision_of_blocks_that_are_computed_again():
    x, y, mask, queue = case(16, 8, 0, torch.float32)
    expected = value_and_gradients(x, y, mask, queue, 50)
    x.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = masked_mean(info_nce(x, y, 0.2, mask, max_logits=50), mask)
    loss.backward()
    torch.testing.assert_close(x.grad, expected[1], atol=0, rtol=0)


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that an operation returns."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
        return result


@pytest.mark.parametrize("rows", [256, 1024])
def test_neither_forward_nor_backward_ever_holds_more_logits_than_allowed(rows):
    x, y = torch.randn(2, rows, 4)
    with Largest() as largest:
        value_and_gradients(x, y, torch.ones(rows, dtype=torch.bool), None, 16 * rows)
    # The pairs of all rows are no logits; they are as many numbers as 8 rows of logits.
    assert largest.numel == 16 * rows
    with Largest() as largest:
        value_and_gradients(x, y, torch.ones(rows, dtype=torch.bool), None, EVERYTHING)
    assert largest.numel == rows * rows


def test_few_logits_are_one_plain_call():
    calls = []

    def losses(x):
        calls.append(len(x))
        return x.square().sum(1)

    x = torch.randn(6, 2, requires_grad=True)
    in_blocks_of_rows(losses, [x], candidates=10, max_logits=60).sum().backward()
    assert calls == [6]
    in_blocks_of_rows(losses, [x], candidates=10, max_logits=59).sum().backward()
    # Each block once more in the backward.
    assert sorted(calls[1:]) == [1, 1, 5, 5]


ROWS = 6


def joint():
    torch.manual_seed(0)
    x, y = torch.randn(2, 2 * ROWS, 3, dtype=torch.float64)
    mask = torch.tensor([True] * ROWS + [False] * 2 + [True] * (ROWS - 2))
    return x, y, mask


def of_rank(rank):
    x, y, mask = (z[rank * ROWS : (rank + 1) * ROWS] for z in joint())
    return value_and_gradients(x, y, mask, None, 30)


@pytest.mark.slow
def test_two_ranks_in_blocks_give_value_and_gradient_of_the_joint_batch_at_once(tmp_path: Path):
    ranks = of_two_ranks(of_rank, tmp_path)
    losses, x, y, temperature = value_and_gradients(*joint(), None, EVERYTHING)
    valid = joint()[2]
    torch.testing.assert_close(torch.cat([r[0] for r in ranks])[valid], losses[valid])
    for number, expected in ((1, x), (2, y)):
        torch.testing.assert_close(torch.cat([r[number] for r in ranks]) / 2, expected)
    torch.testing.assert_close((ranks[0][3] + ranks[1][3]) / 2, temperature)
