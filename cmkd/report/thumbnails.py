"""Samples as small pictures, and moving ones of clips."""

import base64
import io
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from cmkd.batch import Batch, batch_modalities
from cmkd.figures import frames, picture, spectrogram

# Of a picture's longer side.
_SIDE = 128
# A window is short: played at half the usual speed it can be seen what happens.
_MILLISECONDS = 80
_SHORTEST_SOUND = 256


@dataclass(frozen=True)
class Picture:
    """A sample to look at.

    Attributes:
        frames: (T, 3, H, W) uint8; one of them for what does not move.
    """

    frames: Tensor

    @property
    def still(self) -> Tensor:
        """The (3, H, W) frame in the middle."""
        return self.frames[len(self.frames) // 2]


def picture_of(batch: Batch, row: int) -> Picture | None:
    """Return a sample as the networks see it; None where there is nothing to look at.

    A video comes before an image and an image before a sound, whose spectrogram is shown: what a
    clip is, one sees best in the video, whoever has to do without it.

    Args:
        batch: that holds it.
        row: where.
    """
    there = [name for name in batch_modalities(batch) if bool(batch["present"][name][row])]
    values = [batch[name][row] for name in there]
    for dimensions in (4, 3):
        for value in values:
            if value.dim() == dimensions:
                shown = frames(value) if dimensions == 4 else picture(value)[None]
                return Picture(_small(shown))
    for value in values:
        if value.dim() == 2 and len(value) == 1 and value.shape[1] >= _SHORTEST_SOUND:
            return Picture(_small(picture(spectrogram(value).flip(0)[None])[None]))
    return None


def still_url(shown: Picture) -> str:
    """Return a data URL of the frame in the middle."""
    return _webp(shown.still[None])


def moving_url(shown: Picture) -> str | None:
    """Return a data URL of all frames, again and again; None for a single one."""
    return _webp(shown.frames) if len(shown.frames) > 1 else None


def _small(images: Tensor) -> Tensor:
    longest = max(images.shape[-2:])
    if longest <= _SIDE:
        return images
    size = [max(1, round(side * _SIDE / longest)) for side in images.shape[-2:]]
    scaled = interpolate(images.float(), size, mode="bilinear", antialias=True)
    return scaled.round().clamp(0, 255).to(torch.uint8)


def _webp(images: Tensor) -> str:
    from PIL import Image

    first, *rest = [Image.fromarray(one.permute(1, 2, 0).numpy()) for one in images]
    file = io.BytesIO()
    first.save(
        file, "WEBP", quality=70, method=4, save_all=bool(rest), append_images=rest,
        duration=_MILLISECONDS, loop=0,
    )  # fmt: skip
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
