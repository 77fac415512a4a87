"""Readers that take frames and sound from the training cache."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from datamodules.clip_format import ClipFormat
from datamodules.clip_table import Clip
from datamodules.packed_frames import read_packed
from datamodules.packed_sound import read_sound
from datamodules.readers import AudioReader, VideoReader, frame_range
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

    def read(self, clip: Clip, view: View) -> Tensor | None:
        """Return the window's frames; the clip's last one fills what it has beyond its end."""
        source = clip.sources.get(self.modality)
        if source is None:
            return None
        form, info = self.form, self.probe(source.path)
        first, end = frame_range(source, info)
        start = first + min(round(view.begin * info.frame_rate), end - first - 1)
        inside = max(1, min(form.frames, -(-(end - start) // form.frame_stride)))
        path, square = self._find(source.path), square_part(view, form)
        frames = read_packed(path, start, inside, form.frame_stride, form.resize, *square)
        if inside < form.frames:
            rest = frames[:, -1:].expand(-1, form.frames - inside, -1, -1)
            frames = torch.cat([frames, rest], dim=1)
        mean, std = (torch.tensor(one).view(-1, 1, 1, 1) for one in (form.mean, form.std))
        return frames.div_(255).sub_(mean).div_(std)


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

    def read(self, clip: Clip, view: View) -> Tensor | None:
        """Return the sound around the window; None without an audio track."""
        source = clip.sources.get(self.modality)
        if source is None:
            return None
        info = self.probe(source.path)
        if not info.has_audio:
            return None
        rate, samples = self.form.sample_rate, self.form.samples
        origin = info.time_of(frame_range(source, info)[0]) if info.frames else source.begin
        begin = origin + view.begin + view.seconds / 2 - samples / rate / 2
        audio = read_sound(self._find(source.path), begin, samples, rate)
        if source.begin > 0:
            audio[:, : max(0, round((origin - begin) * rate))] = 0
        if source.end is not None:
            end = origin + source.end - source.begin
            audio[:, max(0, round((end - begin) * rate)) :] = 0
        return audio
