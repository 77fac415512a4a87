"""Reads optical flow stored as images, a folder of them a clip."""

import re
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from datamodules.clip_format import ClipFormat
from datamodules.clip_table import Clip, Source
from datamodules.clip_transforms import crop
from datamodules.media import media_error
from datamodules.still_image import read_image
from datamodules.views import CLOCK, Timeline, View

_NUMBER = re.compile(r"(\d+)$")
IMAGES = (".jpg", ".jpeg", ".png")


class FlowFolder:
    """Finds the flow images of clips, in either of the two usual layouts.

    ``<root>/<clip>/flow_x_00001.jpg`` and ``flow_y_00001.jpg``, or
    ``<root>/u/<clip>/frame000001.jpg`` and ``<root>/v/<clip>/frame000001.jpg``.

    Args:
        root: the folder.

    Raises:
        FileNotFoundError: when root is no folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise FileNotFoundError(f"flow_folder: there is no folder {root}")
        self.root = root
        self._divided = (root / "u").is_dir() and (root / "v").is_dir()

    def find(self, clip: str) -> Source | None:
        """Return where a clip's horizontal flow lies, None where there is none."""
        folder = self.root / "u" / clip if self._divided else self.root / clip
        return Source(folder) if folder.is_dir() else None


class FlowReader:
    """Reads ``flow``: (2, T, size, size) float32 in [-1, 1], horizontal and vertical.

    Flow images hold 0 to 255 for what was clipped at a symmetric bound, 128 (127.5) for no motion.
    The flow from frame ``n`` to the next has the number of frame ``n``; the last frame has none,
    and the flow before it stands for it. A mirrored view changes the horizontal flow's sign.

    Args:
        form: what a sample holds.
        modality: the source's name; the source is the folder of the horizontal flow.
    """

    is_sequence = False

    def __init__(self, form: ClipFormat, modality: str = "flow") -> None:
        self.form = form
        self.modality = modality

    def has(self, clip: Clip) -> bool:
        """Return whether there is a folder."""
        return self.modality in clip.sources

    def timeline(self, clip: Clip) -> Timeline | None:
        """Return the number of flow images, at 25 a second."""
        source = clip.sources.get(self.modality)
        return None if source is None else Timeline(len(flow_images(source.path)[0]), CLOCK)

    def read(self, clip: Clip, view: View) -> Tensor | None:
        """Return the window's flow; the last image fills what it has beyond the clip's end."""
        source = clip.sources.get(self.modality)
        if source is None:
            return None
        form = self.form
        both = flow_images(source.path)
        numbers = range(view.frame, view.frame + form.span, form.frame_stride)
        last = len(both[0]) - 1
        channels = [
            torch.stack([read_image(images[min(number, last)])[..., 0] for number in numbers])
            for images in both
        ]
        resized = F.interpolate(
            torch.stack(channels).float(), form.resize, mode="bilinear", antialias=True
        )
        square = crop(resized.permute(1, 2, 3, 0), form.size, view.crop, view.flip)
        flow = square.permute(3, 0, 1, 2).sub(127.5).div_(127.5)
        if view.flip:
            flow[0].neg_()
        return flow.contiguous()

    def blank(self) -> Tensor:
        """Return zeros (2, T, size, size): no motion."""
        return torch.zeros(2, self.form.frames, self.form.size, self.form.size)


@lru_cache(maxsize=256)  # evaluation asks for a clip's windows one after the other
def flow_images(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the images of the horizontal and of the vertical flow, in the order of time.

    Raises:
        MediaError: when there are none, or not as many of one as of the other.
    """
    files = _numbered(folder)
    if folder.parent.name == "u":
        vertical = folder.parent.parent / "v" / folder.name
        x, y = files, _numbered(vertical)
    else:
        x = [path for path in files if path.stem.startswith("flow_x")]
        y = [path for path in files if path.stem.startswith("flow_y")]
    if not x or len(x) != len(y):
        raise media_error(
            folder, f"it holds {len(x)} images of horizontal flow and {len(y)} of vertical"
        )
    return x, y


def _numbered(folder: Path) -> list[Path]:
    found = [
        (int(number[1]), path)
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.suffix.lower() in IMAGES and (number := _NUMBER.search(path.stem))
    ]
    return [path for _, path in sorted(found)]
