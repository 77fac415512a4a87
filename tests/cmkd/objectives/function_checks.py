"""What every pure function is compared with: a plain loop, finite differences, float32."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def assert_equals_loop(
    function: Callable[..., Tensor], loop: Callable[..., Any], *inputs: Tensor
) -> None:
    """The function gives what the loop over plain lists gives, in float64 and in float32."""
    expected = torch.tensor(loop(*(x.tolist() for x in inputs)), dtype=torch.float64)
    torch.testing.assert_close(function(*inputs), expected)
    single = function(*(x.float() if x.is_floating_point() else x for x in inputs))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single, expected.float(), atol=1e-4, rtol=1e-4)


def assert_gradient_is_exact(function: Callable[..., Any], *inputs: Tensor) -> None:
    """The gradient on every input is that of finite differences."""
    assert torch.autograd.gradcheck(function, [x.double().requires_grad_() for x in inputs])


def assert_computed_in_float32(function: Callable[..., Tensor], *inputs: Tensor) -> None:
    """Half precision inputs, or autocast, give what their values give in float32."""
    half = [x.bfloat16() if x.is_floating_point() else x for x in inputs]
    single = [x.float() if x.is_floating_point() else x for x in half]
    expected = function(*single)
    torch.testing.assert_close(function(*half), expected, atol=0, rtol=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(function(*single), expected, atol=0, rtol=0)
