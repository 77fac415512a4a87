"""Reading a still image."""

from pathlib import Path

import torch
from torch import Tensor

from datamodules.media import media_error


def read_image(path: str | Path) -> Tensor:
    """Decode a JPEG, PNG, WebP or GIF file.

    Grey images get three equal channels; an alpha channel is dropped.

    Args:
        path: the file.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        MediaError: when the file is not there, empty, damaged, or of another kind.
    """
    # Not PyAV: of a truncated JPEG it gives the upper part and says nothing.
    from torchvision.io import ImageReadMode, decode_image  # type: ignore[import-untyped]

    try:
        content = bytearray(Path(path).read_bytes())
    except OSError as error:
        raise media_error(path, error.strerror or str(error)) from error
    if not content:
        raise media_error(path, "it is empty (0 bytes)")
    try:
        image: Tensor = decode_image(
            torch.frombuffer(content, dtype=torch.uint8), ImageReadMode.RGB
        )
    except RuntimeError as error:
        raise media_error(path, str(error).splitlines()[0]) from error
    return image.permute(1, 2, 0)
