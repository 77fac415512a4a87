"""From a media file to a student's inputs, as evaluation reads the clips of a dataset."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from cmkd.preprocessing import Preprocessing, Shape, Value, ready
from datamodules.clip_format import ClipFormat
from datamodules.clip_table import Clip, ClipTable, Source
from datamodules.clip_transforms import KINETICS_MEAN, KINETICS_STD
from datamodules.clips import ClipReader, ClipWindows
from datamodules.flow import FlowReader
from datamodules.readers import AudioReader, ImageReader, Reader, VideoReader

#: What a file is read as.
Kind = Literal["video", "audio", "image", "flow"]
_READERS: dict[Kind, type[VideoReader | AudioReader | ImageReader | FlowReader]] = {
    "video": VideoReader,
    "audio": AudioReader,
    "image": ImageReader,
    "flow": FlowReader,
}


def kind_of(reader: Reader) -> Kind | None:
    """Return as what a reader reads files; None for any other reader, subclasses included."""
    return next((kind for kind, known in _READERS.items() if type(reader) is known), None)


@dataclass(frozen=True)
class ClipPreprocessing(Preprocessing):
    """Reads clips: windows at a fixed stride, the middle crop, normalised; sound of their time.

    It uses the readers of the datasets, so a clip's windows are those of ``cmkd test`` (without a
    training cache, whose frames are JPEG images).

    Attributes:
        kinds: by modality, as what its file is read; the first that a clip has gives its length.
        given: by modality that comes as tensors (stored features, text), their shape; null for the
            steps of a sequence. All windows of a clip get the same.
        eval_stride: frames from one window to the next; None: the middle window alone.
        max_windows: most windows of a clip, evenly spaced; None: all.
        frames: of ``ClipFormat``, as all that follow.
        frame_stride: step between frames.
        resize: (height, width) before the crop.
        size: side of the crop.
        mean: by colour channel.
        std: by colour channel.
        image_size: side of the crop of a still image.
        sample_rate: audio samples a second.
        audio_seconds: length of the audio.

    Raises:
        ValueError: for an unknown kind or a number out of its range.
    """

    kinds: Mapping[str, Kind]
    given: Mapping[str, list[int | None]] = field(default_factory=dict)
    eval_stride: int | None = None
    max_windows: int | None = None
    frames: int = 16
    frame_stride: int = 1
    resize: tuple[int, int] = (128, 171)
    size: int = 112
    mean: tuple[float, float, float] = KINETICS_MEAN
    std: tuple[float, float, float] = KINETICS_STD
    image_size: int = 224
    sample_rate: int = 16_000
    audio_seconds: float | None = None

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.kinds.values()) - set(_READERS)):
            raise ValueError(f"kinds: unknown {unknown[0]}; choose of {', '.join(_READERS)}")
        for name in ("eval_stride", "max_windows"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise ValueError(f"{name}: must be at least 1, got {number}")
        _ = self.form

    @cached_property
    def form(self) -> ClipFormat:
        """What a window holds."""
        return ClipFormat(
            frames=self.frames,
            frame_stride=self.frame_stride,
            resize=(self.resize[0], self.resize[1]),
            size=self.size,
            mean=self.mean,
            std=self.std,
            image_size=self.image_size,
            sample_rate=self.sample_rate,
            audio_seconds=self.audio_seconds,
        )

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of each modality of a window."""
        read = {name: tuple(reader.blank().shape) for name, reader in self._readers.items()}
        return read | {name: tuple(shape) for name, shape in self.given.items()}

    @property
    def in_one_file(self) -> Collection[str]:
        """Return what a video file holds: everything but flow, and what comes as tensors."""
        return [name for name, kind in self.kinds.items() if kind != "flow"]

    def windows(self, values: Mapping[str, Value]) -> dict[str, Tensor]:
        """Return a clip's windows (V, ...) by modality; see ``Preprocessing.windows``.

        Args:
            values: by modality, the path of its media file (the folder of flow images), or a
                tensor of ready windows.

        Raises:
            ValueError: for a tensor that does not fit, or a clip without any of the modalities.
            MediaError: for a file that does not decode.
        """
        files = {
            name: Path(value)
            for name, value in values.items()
            if name in self.kinds and isinstance(value, str | Path)
        }
        for name, path in files.items():
            if not path.exists():
                raise FileNotFoundError(f"modality '{name}': there is no file {path}")
        windows = self._read(files) if files else {}
        if files and not windows:
            raise ValueError(
                f"{next(iter(files.values()))}: there is no {' or '.join(files)} in it"
            )
        shapes = self.shapes
        tensors = {
            name: ready(value, shapes[name], name)
            for name, value in values.items()
            if name not in files
        }
        count = max((len(one) for one in (*windows.values(), *tensors.values())), default=0)
        for name, tensor in tensors.items():
            # What belongs to the whole clip goes with each of its windows.
            windows[name] = tensor.expand(count, *tensor.shape[1:]) if len(tensor) == 1 else tensor
        return windows

    def _read(self, files: Mapping[str, Path]) -> dict[str, Tensor]:
        sources = {name: Source(path) for name, path in files.items()}
        table = ClipTable([Clip(name="clip", label=0, group="", sources=sources)])
        readers = {name: reader for name, reader in self._readers.items() if name in files}
        dataset = ClipWindows(
            ClipReader(table, readers, self.form), self.eval_stride, self.max_windows
        )
        samples = [dataset[place] for place in range(len(dataset))]
        present = [name for name in readers if samples[0]["present"][name]]
        return {name: torch.stack([sample[name] for sample in samples]) for name in present}

    @cached_property
    def _readers(self) -> dict[str, Reader]:
        return {name: _READERS[kind](self.form, name) for name, kind in self.kinds.items()}
