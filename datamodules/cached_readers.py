"""Readers that take frames and sound from the training cache."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from datamodules.clip_format import ClipFormat
from datamodules.packed_frames import read_packed
from datamodules.packed_sound import read_sound
from datamodules.readers import AudioReader, VideoReader
from datamodules.views import View

#: Finds the file of the cache for a media file.
Find = Callable[[Path], str]


class CachedVideo(VideoReader):
    """Reads ``video`` as another reader does, from images.

    Args:
        reader: the one that reads the media files.
        find: tells where a file's frames are.
    """

    def __init__(self, reader: VideoReader, find: Find) -> None:
        super().__init__(reader.form, reader.modality, reader.probe)
        self._find = find

    def window(self, path: Path, start: int, frames: int, view: View) -> Tensor:
        """Return frames of a file, cropped as the view says and normalised."""
        form, square = self.form, square_part(view, self.form)
        images = self._find(path)
        video = read_packed(images, start, frames, form.frame_stride, form.resize, *square)
        mean, std = (torch.tensor(one).view(-1, 1, 1, 1) for one in (form.mean, form.std))
        return video.div_(255).sub_(mean).div_(std)


def square_part(view: View, form: ClipFormat) -> tuple[slice, slice]:
    """Return the rows and columns that ``clip_transforms.crop`` cuts, mirrored as the view is."""
    height, width = form.resize
    down, right = view.crop or (None, None)
    top = (height - form.size) // 2 if down is None else int(down * (height - form.size + 1))
    left = (width - form.size) // 2 if right is None else int(right * (width - form.size + 1))
    columns = range(left, left + form.size)[:: -1 if view.flip else 1]
    # A slice that ends before column 0 has no end.
    stop = columns.stop if columns.stop >= 0 else None
    return slice(top, top + form.size), slice(columns.start, stop, columns.step)


class CachedAudio(AudioReader):
    """Reads ``audio`` as another reader does, from plain samples.

    Args:
        reader: the one that reads the media files.
        find: tells where a file's samples are.
    """

    def __init__(self, reader: AudioReader, find: Find) -> None:
        super().__init__(reader.form, reader.modality, reader.probe)
        self._find = find

    def sound(self, path: Path, begin: float) -> Tensor | None:
        """Return a file's sound (1, L) from a time in seconds on."""
        return read_sound(self._find(path), begin, self.form.samples, self.form.sample_rate)
