"""Opening media files with PyAV, and what their headers say."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # PyAV is imported where a file is opened: `--help` has no use for it.
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

#: Headers of intact files promise up to this many frames more than there are.
HEADER_SLACK = 3

#: Bytes that a WAV file's size may be off by: of a last chunk that is cut or not filled up.
_WAV_SLACK = 64


class MediaError(ValueError):
    """A media file that cannot be read; the message names it, the reason and the remedy."""


@dataclass(frozen=True)
class MediaInfo:
    """What a file's header says.

    Attributes:
        frames: number of video frames; estimated from the duration where the header has no count,
            0 where there is no video.
        frame_rate: frames a second, the average where it varies; 0 where there is no video.
        start: time of the first frame in seconds, on the clock that the audio shares; of the first
            sample where there is no video.
        has_audio: whether there is an audio track.
        audio_seconds: the audio track's duration, 0 without one.
        audio_rate: the audio track's samples a second, 0 without one.
    """

    frames: int
    frame_rate: float
    start: float
    has_audio: bool
    audio_seconds: float = 0.0
    audio_rate: int = 0

    @property
    def has_video(self) -> bool:
        """Return whether there is a video track."""
        return self.frames > 0

    @property
    def duration(self) -> float:
        """Return the duration in seconds, of the video where there is one, else of the audio."""
        return self.frames / self.frame_rate if self.has_video else self.audio_seconds

    def time_of(self, frame: float) -> float:
        """Return the time in seconds at which a frame begins, fractions of a frame allowed.

        Raises:
            ValueError: when there is no video.
        """
        if not self.has_video:
            raise ValueError("time_of: a file without a video track has no frames")
        return self.start + frame / self.frame_rate


def probe(path: str | Path) -> MediaInfo:
    """Read a file's header, without decoding.

    Raises:
        MediaError: when the file is empty or damaged, is shorter than its header promises, or has
            neither video nor audio.
    """
    with open_media(path) as container:
        audio = next(iter(container.streams.audio), None)
        video = _first_video(container)
        stream = video or audio
        if stream is None:
            raise media_error(path, "there is no video or audio track")
        if audio and container.format.name == "wav":
            check_wav_size(path)
        return MediaInfo(
            frames=frame_count(container, video, path) if video else 0,
            frame_rate=float(frame_rate(video, path)) if video else 0.0,
            start=to_seconds(stream.start_time, stream.time_base),
            has_audio=audio is not None,
            audio_seconds=_seconds(container, audio) if audio else 0.0,
            audio_rate=audio.rate if audio else 0,
        )


@lru_cache(maxsize=2**16)
def probe_once(path: Path) -> MediaInfo:
    """Read a file's header at its first use in this process; see ``probe``.

    A clip asks for it several times an epoch. A file that is exchanged meanwhile is not noticed.
    """
    return probe(path)


@contextmanager
def open_media(path: str | Path) -> Iterator["InputContainer"]:
    """Open a file for decoding and turn whatever FFmpeg reports meanwhile into a MediaError."""
    import av

    # FFmpeg reads megabytes of a stereo WAV file to find out whether they are DTS, not samples.
    options = {"max_probe_packets": "1"} if Path(path).suffix.lower() == ".wav" else {}
    try:
        # Old clips hold meta data in whatever encoding; nothing here reads it.
        # "file:", or a colon in the name would be taken for the end of a protocol.
        with av.open(f"file:{path}", options=options, metadata_errors="ignore") as container:
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


def check_wav_size(path: str | Path) -> None:
    """Raise a MediaError for a WAV file shorter than its header says; FFmpeg passes over that."""
    with Path(path).open("rb") as file:
        head = file.read(8)
    promised = int.from_bytes(head[4:], "little") + 8
    found = Path(path).stat().st_size
    # Programs that write to a pipe put in a number near the highest, signed or not.
    if found + _WAV_SLACK < promised < 0x7FFF_0000:
        raise media_error(path, f"it ends after {found} of {promised} bytes (truncated)")


def video_stream(container: "InputContainer", path: str | Path) -> "VideoStream":
    """Return the first video track or raise a MediaError."""
    stream = _first_video(container)
    if stream is None:
        raise media_error(path, "there is no video track")
    if stream.codec_context is None:
        raise media_error(path, "no decoder knows the codec of its video")
    return stream


def _first_video(container: "InputContainer") -> "VideoStream | None":
    from av.stream import Disposition

    # The picture of a song's cover is a video track to FFmpeg.
    return next(
        (
            stream
            for stream in container.streams.video
            if not stream.disposition & Disposition.attached_pic
        ),
        None,
    )


def to_seconds(ticks: int | None, time_base: Fraction | None) -> float:
    """Return a time stamp in seconds, 0 where the header gives none."""
    return float((ticks or 0) * (time_base or 0))


def _seconds(container: "InputContainer", stream: "AudioStream | VideoStream") -> float:
    """Return a track's duration, the whole file's where the header does not tell them apart."""
    import av

    seconds = to_seconds(stream.duration, stream.time_base)
    return seconds or (container.duration or 0) / av.time_base


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
    by_header = to_seconds(stream.duration, stream.time_base)
    seconds = by_header if stream.frames else _seconds(container, stream)
    by_duration = round(seconds * frame_rate(stream, path))
    if not stream.frames and not by_duration:
        raise media_error(path, "its header has neither a duration nor a frame count")
    if not stream.frames or not by_duration:
        return stream.frames or by_duration
    if "mp4" not in container.format.name and stream.frames - by_duration > HEADER_SLACK:
        raise truncation_error(path, by_duration, stream.frames)
    return min(stream.frames, by_duration)
