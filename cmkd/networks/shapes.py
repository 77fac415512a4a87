"""One check for the input of every encoder, so that all of them complain alike."""

from torch import Tensor


def require_shape(network: str, x: Tensor, **dims: int | None) -> None:
    """Check rank, fixed sizes and dtype of an encoder's input.

    Args:
        network: the encoder's name, for the message.
        x: the input.
        dims: the expected dimensions in order, by name; None for any size.

    Raises:
        ValueError: when x has another rank, another fixed size, or is not floating point.
    """
    fits = x.dim() == len(dims) and all(
        size is None or size == actual for size, actual in zip(dims.values(), x.shape, strict=True)
    )
    if fits and x.is_floating_point():
        return
    expected = ", ".join(name if size is None else f"{name}={size}" for name, size in dims.items())
    raise ValueError(
        f"{network} expects a float tensor ({expected}), got {tuple(x.shape)} of {x.dtype}"
    )
