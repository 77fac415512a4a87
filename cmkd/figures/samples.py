"""Input samples of each modality as the network sees them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmkd.figures.style import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FRAMES = 6
# (B, 1, L) with fewer steps is a sequence of one, not a sound.
_SHORTEST_SOUND = 256
_WINDOW = 256


def samples(tensors: Mapping[str, Tensor], captions: Sequence[str]) -> "Figure":
    """Draw samples below each other, modalities beside each other.

    A video (B, C, T, H, W) is a strip of frames, an image (B, C, H, W) itself, a waveform
    (B, 1, L) a spectrogram over time, a sequence (B, L, D) and vectors (B, D) an image of their
    values. Colours are stretched by sample: what is drawn is what the network gets, normalised.

    Args:
        tensors: by modality, with the same B.
        captions: of the B samples.

    Raises:
        ValueError: for nothing to draw, or tensors of another B or number of dimensions.
    """
    if not tensors or not captions:
        raise ValueError("samples: there is no sample to draw")
    for name, tensor in tensors.items():
        if len(tensor) != len(captions) or not 2 <= tensor.dim() <= 5:
            raise ValueError(
                f"samples: '{name}' has shape {tuple(tensor.shape)}; {len(captions)} captions need "
                f"({len(captions)}, ...) of two to five dimensions"
            )
    widths = [3.6 if tensor.dim() == 5 else 1.6 for tensor in tensors.values()]
    with new_figure(max(sum(widths), 3.4), 0.95 * len(captions) + 0.2) as figure:
        grid = figure.add_gridspec(len(captions), len(tensors), width_ratios=widths)
        for column, (name, tensor) in enumerate(tensors.items()):
            for row, caption in enumerate(captions):
                axes = figure.add_subplot(grid[row, column])
                _draw(axes, tensor[row].detach().float().cpu())
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                if row == 0:
                    axes.set_title(name)
                if column == 0:
                    axes.set_xlabel(caption, fontsize=7, loc="left", labelpad=2)
        return figure


def picture(image: Tensor, low: float | None = None, high: float | None = None) -> Tensor:
    """Return an image (C, H, W) of any range as (3, H, W) uint8.

    Three channels are colours; of others the mean is taken.

    Args:
        image: what is shown.
        low: value that becomes black; the image's least by default.
        high: value that becomes white; the image's greatest by default.
    """
    image = torch.nan_to_num(image.detach().float().cpu())
    if len(image) != 3:
        image = image.mean(0, keepdim=True).expand(3, -1, -1)
    low = float(image.min()) if low is None else low
    high = float(image.max()) if high is None else high
    scaled = (image - low) / max(high - low, 1e-12)
    return (255 * scaled).round().clamp(0, 255).to(torch.uint8)


def frames(video: Tensor, most: int | None = None) -> Tensor:
    """Return a video (C, T, H, W) as (T, 3, H, W) uint8, all frames stretched alike.

    Args:
        video: as the network sees it.
        most: number of frames that are kept, evenly spaced; None: all.
    """
    video = torch.nan_to_num(video.detach().float().cpu())
    if most is not None and video.shape[1] > most:
        video = video[:, torch.linspace(0, video.shape[1] - 1, most).round().long()]
    low, high = float(video.min()), float(video.max())
    return torch.stack([picture(frame, low, high) for frame in video.unbind(1)])


def spectrogram(waveform: Tensor) -> Tensor:
    """Return the (frequencies, times) log power of a waveform (..., L), lowest frequency first."""
    mono = torch.nan_to_num(waveform.detach().float().cpu()).reshape(-1, waveform.shape[-1]).mean(0)
    size = min(_WINDOW, len(mono))
    spectrum = torch.stft(
        mono, size, max(size // 4, 1), window=torch.hann_window(size), center=False,
        return_complex=True,
    )  # fmt: skip
    power = (spectrum.abs() ** 2).clamp(min=1e-10).log10()
    # 80 dB are what can be seen.
    return power.clamp(min=float(power.max()) - 8)


def _draw(axes: "Axes", value: Tensor) -> None:
    options: dict[str, Any] = {"aspect": "auto"}
    shown: NDArray[Any]
    if value.dim() == 4:
        strip = torch.cat(list(frames(value, _FRAMES)), dim=2)
        shown, options = strip.permute(1, 2, 0).numpy(), {}
    elif value.dim() == 3:
        shown, options = picture(value).permute(1, 2, 0).numpy(), {}
    elif value.dim() == 2 and len(value) == 1 and value.shape[1] >= _SHORTEST_SOUND:
        shown = spectrogram(value).numpy()
        options |= {"origin": "lower", "cmap": "magma"}
    else:
        shown = np.atleast_2d(value.numpy().T)
        options |= {"cmap": "viridis", "interpolation": "nearest"}
    axes.imshow(shown, **options)
