"""Reads one modality of a clip: video, the sound of its time, a still image."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from datamodules.clip_format import ClipFormat
from datamodules.clip_table import Clip, Source
from datamodules.clip_transforms import IMAGENET_MEAN, IMAGENET_STD, crop, normalize
from datamodules.decode import read_audio, read_video
from datamodules.media import MediaInfo, media_error, probe
from datamodules.views import CLOCK, Timeline, View

#: What tells a file's header: ``datamodules.media.probe``, or an index made beforehand.
Probe = Callable[[Path], MediaInfo]


class Reader(Protocol):
    """Reads one modality."""

    @property
    def is_sequence(self) -> bool:
        """Return whether samples are sequences (L, ...) of different lengths, to be padded."""
        ...

    def has(self, clip: Clip) -> bool:
        """Return whether the clip has this modality, reading headers at most."""
        ...

    def timeline(self, clip: Clip) -> Timeline | None:
        """Return the clip's length by this modality's file; None where it has no such thing."""
        ...

    def read(self, clip: Clip, view: View) -> Tensor | None:
        """Return what the view shows; None where the clip lacks the modality."""
        ...

    def blank(self) -> Tensor:
        """Return the zeros that stand for an absent modality."""
        ...


class MediaReader:
    """What the readers of media files share.

    Args:
        form: what a sample holds.
        modality: the source's name.
        probe: tells what a file's header says.
    """

    is_sequence = False

    def __init__(self, form: ClipFormat, modality: str, probe: Probe) -> None:
        self.form = form
        self.modality = modality
        self.probe = probe

    def timeline(self, clip: Clip) -> Timeline | None:
        """Return the clip's length: in frames of its video, also where only its sound is read."""
        source = clip.sources.get(self.modality)
        return None if source is None else media_timeline(source, self.probe(source.path))


class VideoReader(MediaReader):
    """Reads ``video``: (3, T, size, size) float32, normalised.

    Args:
        form: what a sample holds.
        modality: the source's name.
        probe: tells what a file's header says.
    """

    def __init__(self, form: ClipFormat, modality: str = "video", probe: Probe = probe) -> None:
        super().__init__(form, modality, probe)

    def has(self, clip: Clip) -> bool:
        """Return whether there is a file."""
        return self.modality in clip.sources

    def read(self, clip: Clip, view: View) -> Tensor | None:
        """Return the window's frames; the clip's last one fills what it has beyond its end."""
        source = clip.sources.get(self.modality)
        if source is None:
            return None
        form, info = self.form, self.probe(source.path)
        first, end = frame_range(source, info)
        start = first + min(round(view.begin * info.frame_rate), end - first - 1)
        inside = max(1, min(form.frames, -(-(end - start) // form.frame_stride)))
        video = self.window(source.path, start, inside, view)
        if inside < form.frames:
            rest = video[:, -1:].expand(-1, form.frames - inside, -1, -1)
            video = torch.cat([video, rest], dim=1)
        return video

    def window(self, path: Path, start: int, frames: int, view: View) -> Tensor:
        """Return frames of a file, cropped as the view says and normalised.

        Args:
            path: the file.
            start: number of the first.
            frames: how many, T.
            view: for crop and flip.

        Returns:
            (3, T, size, size) float32.
        """
        form = self.form
        decoded = read_video(path, start, frames, form.frame_stride, form.resize)
        return normalize(crop(decoded, form.size, view.crop, view.flip), form.mean, form.std)

    def blank(self) -> Tensor:
        """Return zeros (3, T, size, size)."""
        return torch.zeros(3, self.form.frames, self.form.size, self.form.size)


class ImageReader(VideoReader):
    """Reads ``image``, one frame of the video: (3, image_size, image_size), as ImageNet has it."""

    def __init__(self, form: ClipFormat, modality: str = "image", probe: Probe = probe) -> None:
        super().__init__(form, modality, probe)

    def read(self, clip: Clip, view: View) -> Tensor | None:
        """Return the frame at the view's moment."""
        source = clip.sources.get(self.modality)
        if source is None:
            return None
        info = self.probe(source.path)
        first, end = frame_range(source, info)
        number = first + min(round(view.moment * info.frame_rate), end - first - 1)
        frame = read_video(source.path, number, 1, size=self.form.image_resize)
        square = crop(frame, self.form.image_size, view.crop, view.flip)
        return normalize(square, IMAGENET_MEAN, IMAGENET_STD)[:, 0]

    def blank(self) -> Tensor:
        """Return zeros (3, image_size, image_size)."""
        return torch.zeros(3, self.form.image_size, self.form.image_size)


class AudioReader(MediaReader):
    """Reads ``audio``: a waveform (1, L) float32, centred on the window of frames.

    It is silent where a segment's sound would go on into its neighbours.

    Args:
        form: what a sample holds.
        modality: the source's name.
        probe: tells what a file's header says.
    """

    def __init__(self, form: ClipFormat, modality: str = "audio", probe: Probe = probe) -> None:
        super().__init__(form, modality, probe)

    def has(self, clip: Clip) -> bool:
        """Return whether the file has an audio track."""
        source = clip.sources.get(self.modality)
        return source is not None and self.probe(source.path).has_audio

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
        audio = self.sound(source.path, begin)
        if audio is not None and source.begin > 0:
            audio[:, : max(0, round((origin - begin) * rate))] = 0
        if audio is not None and source.end is not None:
            end = origin + source.end - source.begin
            audio[:, max(0, round((end - begin) * rate)) :] = 0
        return audio

    def sound(self, path: Path, begin: float) -> Tensor | None:
        """Return a file's sound (1, L) from a time in seconds on; None without an audio track."""
        return read_audio(path, begin, self.form.samples, self.form.sample_rate)

    def blank(self) -> Tensor:
        """Return silence (1, L)."""
        return torch.zeros(1, self.form.samples)


def frame_range(source: Source, info: MediaInfo) -> tuple[int, int]:
    """Return a clip's first frame and the one behind its last, numbers in its file."""
    first = round(source.begin * info.frame_rate)
    end = info.frames
    if source.end is not None:
        end = min(end, max(first + 1, round(source.end * info.frame_rate)))
    return first, end


def media_timeline(source: Source, info: MediaInfo) -> Timeline:
    """Return a clip's length in frames of its video, or on a clock where there is only sound.

    Raises:
        MediaError: when it begins past its file's end.
    """
    if info.frames:
        first, end = frame_range(source, info)
        frames, rate = end - first, info.frame_rate
    else:
        end_time = info.duration if source.end is None else min(source.end, info.duration)
        frames, rate = round((end_time - source.begin) * CLOCK), CLOCK
        if end_time > source.begin:
            frames = max(1, frames)
    if frames < 1:
        raise media_error(
            source.path,
            f"the clip from {source.begin:g} s lies past its end at {info.duration:.2f} s",
        )
    return Timeline(frames, rate)
