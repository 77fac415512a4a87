"""Which part of a clip a sample shows: the window in time, the crop and the flip."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datamodules.clip_format import ClipFormat

#: Frames a second on which clips without video are divided into windows; UCF101's usual rate.
CLOCK = 25.0


@dataclass(frozen=True)
class Timeline:
    """A clip's length.

    Attributes:
        frames: number of frames, at least 1.
        frame_rate: frames a second.
    """

    frames: int
    frame_rate: float


@dataclass(frozen=True)
class View:
    """A window of a clip, the same for all of its modalities.

    Attributes:
        frame: number of the window's first frame, counted from the clip's first.
        frame_rate: frames a second of this count.
        seconds: length of the window.
        moment: time of a still image, in seconds from the clip's beginning.
        crop: place of the crop within what it leaves over, (down, right) in [0, 1); None: middle.
        flip: whether the image is mirrored.
    """

    frame: int
    frame_rate: float
    seconds: float
    moment: float
    crop: tuple[float, float] | None = None
    flip: bool = False

    @property
    def begin(self) -> float:
        """Return the window's first time in seconds from the clip's beginning."""
        return self.frame / self.frame_rate


def random_view(timeline: Timeline, form: ClipFormat, rng: np.random.Generator) -> View:
    """Draw a training view: any window, any frame of the clip as the image, any crop, a flip."""
    start = int(rng.integers(max(0, timeline.frames - form.span) + 1))
    return View(
        frame=start,
        frame_rate=timeline.frame_rate,
        seconds=form.frames * form.frame_stride / timeline.frame_rate,
        moment=int(rng.integers(timeline.frames)) / timeline.frame_rate,
        crop=(rng.random(), rng.random()),
        flip=bool(rng.random() < 0.5),
    )


def view_at(timeline: Timeline, form: ClipFormat, start: int) -> View:
    """Return the evaluation view of a window: the middle crop, the middle frame as the image."""
    seconds = form.frames * form.frame_stride / timeline.frame_rate
    middle = min(start + form.span // 2, timeline.frames - 1)
    return View(start, timeline.frame_rate, seconds, middle / timeline.frame_rate)


def middle_view(timeline: Timeline, form: ClipFormat) -> View:
    """Return the evaluation view of the middle window."""
    return view_at(timeline, form, max(0, timeline.frames - form.span) // 2)


def window_starts(
    frames: int, span: int, stride: int | None, max_windows: int | None
) -> Sequence[int]:
    """Return the first frames of a clip's evaluation windows.

    Args:
        frames: length of the clip.
        span: length of a window.
        stride: step from one window to the next; None for the middle window alone.
        max_windows: take so many of them at most, evenly spaced.

    Returns:
        All windows that lie inside the clip at that stride; for a clip shorter than a window, 0.
    """
    last = max(0, frames - span)
    if stride is None:
        return [last // 2]
    starts = range(0, last + 1, stride)
    if max_windows is None or len(starts) <= max_windows:
        return starts
    places = np.linspace(0, len(starts) - 1, max_windows).round().astype(int)
    return [starts[place] for place in places]
