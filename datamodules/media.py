"""Opening media files with PyAV, and what their headers say."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # PyAV is imported where a file is opened: `--help` has no use for it.
    from av.container import InputContainer
    from av.video.stream import VideoStream

#: Headers of intact files promise up to this many frames more than there are.
HEADER_SLACK = 3


class MediaError(ValueError):
    """A media file that cannot be read; the message names it, the reason and the remedy."""


@dataclass(frozen=True)
class MediaInfo:
    """What a file's header says.

    Attributes:
        frames: number of video frames; estimated from the duration where the header has no count.
        frame_rate: frames a second, the average where it varies.
        start: time of the first frame in seconds, on the clock that the audio shares.
        has_audio: whether there is an audio track.
    """

    frames: int
    frame_rate: float
    start: float
    has_audio: bool

    @property
    def duration(self) -> float:
        """Return the video's duration in seconds."""
        return self.frames / self.frame_rate

    def time_of(self, frame: float) -> float:
        """Return the time in seconds at which a frame begins, fractions of a frame allowed."""
        return self.start + frame / self.frame_rate


def probe(path: str | Path) -> MediaInfo:
    """Read a file's header, without decoding.

    Raises:
        MediaError: when the file is empty or damaged, is shorter than its header promises, or has
            no video.
    """
    with open_media(path) as container:
        stream = video_stream(container, path)
        return MediaInfo(
            frames=frame_count(container, stream, path),
            frame_rate=float(frame_rate(stream, path)),
            start=to_seconds(stream.start_time, stream.time_base),
            has_audio=bool(container.streams.audio),
        )


@contextmanager
def open_media(path: str | Path) -> Iterator["InputContainer"]:
    """Open a file for decoding and turn whatever FFmpeg reports meanwhile into a MediaError."""
    import av

    try:
        # Old clips hold meta data in whatever encoding; nothing here reads it.
        with av.open(str(path), metadata_errors="ignore") as container:
            yield container
    except MediaError:
        raise
    except (av.FFmpegError, ValueError) as error:
        file = Path(path)
        empty = file.is_file() and file.stat().st_size == 0
        reason = getattr(error, "strerror", None) or str(error)
        raise media_error(path, "it is empty (0 bytes)" if empty else reason) from error


def media_error(path: str | Path, reason: str) -> MediaError:
    """Return the error that names the file, the reason and the remedy."""
    return MediaError(
        f"cannot decode {path}: {reason}; replace the file by an intact copy or leave it out of "
        "the data"
    )


def truncation_error(path: str | Path, found: int, promised: int) -> MediaError:
    """Return the error for a file with fewer frames than its header promises."""
    return media_error(path, f"it ends after {found} of {promised} frames (truncated)")


def video_stream(container: "InputContainer", path: str | Path) -> "VideoStream":
    """Return the first video track or raise a MediaError."""
    if not container.streams.video:
        raise media_error(path, "there is no video track")
    return container.streams.video[0]


def to_seconds(ticks: int | None, time_base: Fraction | None) -> float:
    """Return a time stamp in seconds, 0 where the header gives none."""
    return float((ticks or 0) * (time_base or 0))


def frame_rate(stream: "VideoStream", path: str | Path) -> Fraction:
    """Return a video track's frames a second or raise a MediaError."""
    rate = stream.average_rate or stream.guessed_rate
    if not rate:
        raise media_error(path, "its header has no frame rate")
    return rate


def frame_count(container: "InputContainer", stream: "VideoStream", path: str | Path) -> int:
    """Return the number of frames by the header's count and duration.

    Where the two differ, an MP4 counts frames that its edit list hides from the decoder, and in
    anything else the duration follows the data and the count what was meant to be there.

    Raises:
        MediaError: when the header has neither, or shows that the file is truncated.
    """
    import av

    seconds = to_seconds(stream.duration, stream.time_base)
    if not seconds and not stream.frames:
        seconds = (container.duration or 0) / av.time_base
    by_duration = round(seconds * frame_rate(stream, path))
    if not stream.frames and not by_duration:
        raise media_error(path, "its header has neither a duration nor a frame count")
    if not stream.frames or not by_duration:
        return stream.frames or by_duration
    if "mp4" not in container.format.name and stream.frames - by_duration > HEADER_SLACK:
        raise truncation_error(path, by_duration, stream.frames)
    return min(stream.frames, by_duration)
