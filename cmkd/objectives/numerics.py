"""Precision, masked rows and argument checks that every objective shares."""

import math

import torch
from torch import Tensor


def full_precision(x: Tensor) -> Tensor:
    """Return x in float32 at least; float64 stays, so that gradients can be checked in it."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def without_autocast(x: Tensor) -> torch.autocast:
    """Return a context in which matrix products on x's device keep the precision they are given.

    Autocast would compute a float32 product in bfloat16, which has three digits.
    """
    return torch.autocast(x.device.type, enabled=False)


def zero_masked_rows(x: Tensor, mask: Tensor) -> Tensor:
    """Return x (B, ...) with zeros in the rows where mask (B,) is False.

    Masking the losses alone is not enough: a NaN in an absent row makes the gradient of its
    masked loss 0 * NaN = NaN.
    """
    return x.where(mask.view(-1, *[1] * (x.ndim - 1)), x.new_zeros(()))


def unit_vectors(x: Tensor, eps: float = 1e-6) -> Tensor:
    """Return x (..., D) scaled to length 1 along its last dimension.

    A vector no longer than eps has no direction: it becomes 0 and gets no gradient. Dividing it by
    eps instead would give it a gradient of 1/eps, and a batch of identical rows one of rounding.
    """
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / length.where(length > eps, math.inf)


def require_positive(owner: object, **arguments: float) -> None:
    """Raise a ValueError that names owner and argument unless every value is finite and > 0."""
    for name, value in arguments.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(
                f"{type(owner).__name__}.{name} must be a finite number above 0, got {value}"
            )
