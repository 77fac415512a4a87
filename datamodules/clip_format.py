"""What a sample of a clip holds."""

from collections.abc import Sequence
from dataclasses import dataclass

from datamodules.clip_transforms import KINETICS_MEAN, KINETICS_STD


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
        image_size: side of the square crop of a still image; it shows what ``size`` shows of
            ``resize``.
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
    image_size: int = 224
    sample_rate: int = 16_000
    audio_seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("frames", "frame_stride", "size", "image_size", "sample_rate"):
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

    @property
    def image_resize(self) -> tuple[int, int]:
        """Return the (height, width) that a still image is scaled to before its crop."""
        height, width = self.resize
        scale = self.image_size / self.size
        return max(self.image_size, round(height * scale)), max(
            self.image_size, round(width * scale)
        )
