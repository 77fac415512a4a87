"""The dataset of audio-visual clips: windows of video, and the audio of the same time."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datamodules.clip_transforms import (
    KINETICS_MEAN,
    KINETICS_STD,
    center_crop,
    normalize,
    random_crop,
)
from datamodules.collate import Sample
from datamodules.decode import read_audio, read_video
from datamodules.media import MediaInfo, probe
from datamodules.sampler import sample_rng


@dataclass(frozen=True)
class Clip:
    """A media file with its class number."""

    path: Path
    label: int


@dataclass(frozen=True)
class ClipFormat:
    """What a sample holds of its clip.

    Attributes:
        frames: frames of a window, T.
        frame_stride: step between them in frames of the file.
        resize: (height, width) that frames are scaled to before the crop.
        size: side of the square crop.
        mean: subtracted, by colour channel, from values in [0, 1].
        std: what the difference is divided by.
        sample_rate: audio samples a second.
        audio_seconds: length of the audio, centred on the window of frames; None: as long as the
            window is at 25 frames a second, UCF101's usual rate. Fixed, because a batch needs one
            length whatever the files' frame rates.

    Raises:
        ValueError: for a number out of its range; names the argument.
    """

    frames: int = 16
    frame_stride: int = 1
    resize: tuple[int, int] = (128, 171)
    size: int = 112
    mean: Sequence[float] = KINETICS_MEAN
    std: Sequence[float] = KINETICS_STD
    sample_rate: int = 16_000
    audio_seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("frames", "frame_stride", "size", "sample_rate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
        if self.size > min(self.resize):
            raise ValueError(
                f"size: the crop of {self.size} does not fit into frames of resize "
                f"{tuple(self.resize)}; make size smaller or resize larger"
            )
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError("mean, std: give three numbers each, those of std above 0")
        if self.samples < 1:
            raise ValueError(
                f"audio_seconds: {self.audio_seconds} at {self.sample_rate} samples a second is "
                "less than one sample"
            )

    @property
    def span(self) -> int:
        """Return how many frames of the file a window covers."""
        return (self.frames - 1) * self.frame_stride + 1

    @property
    def samples(self) -> int:
        """Return the number of audio samples, L."""
        seconds = self.audio_seconds
        if seconds is None:
            seconds = self.frames * self.frame_stride / 25
        return round(seconds * self.sample_rate)


class Clips:
    """Samples of clips: ``video`` (3, T, size, size) float32 and ``audio`` (1, L) float32.

    A training sample (``clips[index, epoch]``) has a random window, crop and flip; any other
    (``clips[index]``) the middle ones. The audio is centred on the time of the frames. Where a
    clip has no audio track it is zeros and ``present`` says so. A modality that is not asked for
    is not decoded.

    Args:
        clips: the files and their labels; a sample's ``index`` is its place here.
        modalities: ``video``, ``audio`` or both.
        form: what a sample holds.
        seed: seed of the augmentation.
    """

    def __init__(
        self, clips: Sequence[Clip], modalities: Sequence[str], form: ClipFormat, seed: int = 0
    ) -> None:
        self.clips = list(clips)
        self.modalities = list(modalities)
        self.form = form
        self.seed = seed

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, key: int | tuple[int, int]) -> Sample:
        index = key[0] if isinstance(key, tuple) else key
        rng = sample_rng(self.seed, key[1], index) if isinstance(key, tuple) else None
        clip = self.clips[index]
        info = probe(clip.path)
        last_start = max(0, info.frames - self.form.span)
        start = last_start // 2 if rng is None else int(rng.integers(last_start + 1))
        sample: Sample = {"label": clip.label, "index": index, "present": {}}
        if "video" in self.modalities:
            sample["video"] = self._video(clip.path, start, rng)
            sample["present"]["video"] = True
        if "audio" in self.modalities:
            audio = self._audio(clip.path, start, info)
            sample["present"]["audio"] = audio is not None
            sample["audio"] = torch.zeros(1, self.form.samples) if audio is None else audio
        return sample

    def count_without_audio(self) -> int:
        """Return how many clips have no audio track, reading nothing but the headers.

        Raises:
            MediaError: for the first file that does not open.
        """
        # Threads, because over a network file system opening a file is mostly waiting.
        with ThreadPoolExecutor(max_workers=8) as pool:
            infos = pool.map(probe, [clip.path for clip in self.clips])
            return sum(not info.has_audio for info in infos)

    def _video(self, path: Path, start: int, rng: np.random.Generator | None) -> Tensor:
        form = self.form
        frames = read_video(path, start, form.frames, form.frame_stride, form.resize)
        crop = (
            center_crop(frames, form.size) if rng is None else random_crop(frames, form.size, rng)
        )
        return normalize(crop, form.mean, form.std)

    def _audio(self, path: Path, start: int, info: MediaInfo) -> Tensor | None:
        form = self.form
        center = info.time_of(start + form.frames * form.frame_stride / 2)
        begin = center - form.samples / form.sample_rate / 2
        return read_audio(path, begin, form.samples, form.sample_rate)
