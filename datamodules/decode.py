"""Reading a window of a media file: video frames, and the audio of the same time.

Files are decoded from their beginning and no further than the window's end. Seeking would save
work on long files, but AVI time stamps are not those of the frames where there are B-frames (21
of 110 UCF101 clips), so a seek cannot be told to land on the right frame.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from datamodules.media import (
    HEADER_SLACK,
    frame_count,
    frame_rate,
    media_error,
    open_media,
    to_seconds,
    truncation_error,
    video_stream,
)

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter


def read_video(
    path: str | Path,
    start: int,
    frames: int,
    stride: int = 1,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Decode every ``stride``-th frame of a window.

    A frame's number is its place in the order of display. Where the window goes past the video's
    end, the last frame is repeated.

    Args:
        path: the file.
        start: number of the window's first frame.
        frames: how many frames to return, T.
        stride: step between them.
        size: (height, width) to scale the frames to; None leaves them as they are.

    Returns:
        (T, H, W, 3) uint8, RGB.

    Raises:
        MediaError: when the file is empty or damaged, has no video or no frame that decodes, or
            ends before the window although its header promises more.
    """
    from av.video.reformatter import VideoReformatter

    taken: list[Tensor] = []
    scaler = VideoReformatter()  # one for all frames: it keeps megabytes of state
    with open_media(path) as container:
        stream = video_stream(container, path)
        if get_worker_info() is not None:
            stream.thread_count = 1  # the loader's processes share the cores already
        last, decoded, latest = None, 0, 0
        for frame in container.decode(stream):
            if decoded == start + len(taken) * stride:
                taken.append(_to_tensor(frame, size, scaler))
            last, decoded, latest = frame, decoded + 1, max(latest, frame.pts or 0)
            if len(taken) == frames:
                break
        if last is None:
            raise media_error(path, "no video frame decodes")
        if len(taken) < frames:
            promised = frame_count(container, stream, path)
            # Containers may leave frames out and show the one before for longer: time counts too.
            seconds = to_seconds(latest - (stream.start_time or 0), stream.time_base)
            reached = max(decoded, round(seconds * frame_rate(stream, path)) + 1)
            # Without a count in the header, `promised` is a guess and proves nothing.
            if stream.frames and promised - reached > HEADER_SLACK:
                raise truncation_error(path, decoded, promised)
            taken += [_to_tensor(last, size, scaler)] * (frames - len(taken))
    return torch.stack(taken)


def read_audio(path: str | Path, start: float, samples: int, sample_rate: int) -> Tensor | None:
    """Decode a window of the first audio track: the mean of its channels, resampled.

    Silence fills what the window has beyond the track's ends.

    Args:
        path: the file.
        start: the window's beginning in seconds, on the clock of ``MediaInfo.start``.
        samples: how many samples to return, L.
        sample_rate: samples a second of the result.

    Returns:
        (1, L) float32 in about [-1, 1]; None where there is no audio track.

    Raises:
        MediaError: when the file is empty or damaged, or its audio track holds no sound.
    """
    import av

    with open_media(path) as container:
        if not container.streams.audio:
            return None
        # Channels are averaged below: FFmpeg's own mix to mono is louder and can exceed 1.
        resampler = av.AudioResampler(format="fltp", rate=sample_rate)
        chunks: list[np.ndarray] = []
        offset, available = None, 0
        for frame in container.decode(container.streams.audio[0]):
            if offset is None:
                offset = round((start - to_seconds(frame.pts, frame.time_base)) * sample_rate)
            decoded = _mono(resampler.resample(frame))
            chunks += decoded
            available += sum(map(len, decoded))
            if available >= offset + samples:
                break
        if offset is None:
            raise media_error(path, "its audio track holds no sound")
        if available < offset + samples:
            chunks += _mono(resampler.resample(None))
    return _window(torch.from_numpy(np.concatenate(chunks)), offset, samples)


def _to_tensor(
    frame: "VideoFrame", size: tuple[int, int] | None, scaler: "VideoReformatter"
) -> Tensor:
    height, width = size or (frame.height, frame.width)
    scaled = scaler.reformat(
        frame, width, height, format="rgb24", interpolation="BILINEAR", threads=1
    )
    return torch.from_numpy(scaled.to_ndarray())


def _mono(frames: "list[AudioFrame]") -> list[np.ndarray]:
    return [frame.to_ndarray().mean(axis=0) for frame in frames]


def _window(waveform: Tensor, offset: int, samples: int) -> Tensor:
    """Cut (1, samples) from (L,) at an offset; either end may lie outside."""
    window = torch.zeros(1, samples)
    inside = waveform[max(offset, 0) : max(offset + samples, 0)]
    begin = max(-offset, 0)
    window[0, begin : begin + len(inside)] = inside
    return window
