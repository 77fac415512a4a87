"""Reading a window of a media file: video frames, and the audio of the same time.

The frames are those that decoding the whole file and slicing gives, on every file. The ways to get
them with less decoding each prove that or give up, and the next one tries.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from datamodules.media import (
    HEADER_SLACK,
    MediaError,
    frame_count,
    frame_rate,
    media_error,
    open_media,
    to_seconds,
    truncation_error,
    video_stream,
)
from datamodules.mpeg4 import decode_by_coding_order
from datamodules.seek import decode_by_index, decode_by_reading
from datamodules.window import Decoded, UnprovenError

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

#: From the fastest on: an index that says where to begin, reading all packets up to the window,
#: the order of packets where time stamps are of no use.
_SHORTCUTS = (decode_by_index, decode_by_reading, decode_by_coding_order)


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
        (T, H, W, 3) uint8, RGB, in whatever order in memory.

    Raises:
        ValueError: when ``start`` is negative, or ``frames`` or ``stride`` below 1.
        MediaError: when the file is empty or damaged, has no video or no frame that decodes, or
            ends before the window although its header promises more.
    """
    if start < 0 or frames < 1 or stride < 1:
        raise ValueError(
            f"start, frames, stride: a window begins at 0 or later and has at least 1 frame with "
            f"a step of at least 1, got {start}, {frames}, {stride}"
        )
    numbers = range(start, start + frames * stride, stride)
    for decode in _SHORTCUTS:
        try:
            return _read_frames(path, decode, numbers, size)
        # An error too: decoding from elsewhere may fail where decoding from the beginning does not.
        except (UnprovenError, MediaError):
            continue
    return _read_frames(path, _decode_from_beginning, numbers, size)


def _read_frames(
    path: str | Path,
    decode: "Callable[[InputContainer, VideoStream, Sequence[int]], Decoded]",
    numbers: Sequence[int],
    size: tuple[int, int] | None,
) -> Tensor:
    with open_media(path) as container:
        stream = video_stream(container, path)
        if get_worker_info() is not None:
            stream.thread_count = 1  # the loader's processes share the cores already
        decoded = decode(container, stream, numbers)
        if not decoded.frames:
            raise media_error(path, "no video frame decodes")
        if decoded.total is not None and decoded.total <= numbers[-1]:
            promised = frame_count(container, stream, path)
            # Containers may leave frames out and show the one before for longer: time counts too.
            seconds = to_seconds(decoded.latest - (stream.start_time or 0), stream.time_base)
            reached = max(decoded.total, round(seconds * frame_rate(stream, path)) + 1)
            # Without a count in the header, `promised` is a guess and proves nothing.
            if stream.frames and promised - reached > HEADER_SLACK:
                raise truncation_error(path, decoded.total, promised)
        return _to_tensor([decoded.frames[number] for number in numbers], size)


def _decode_from_beginning(
    container: "InputContainer", stream: "VideoStream", numbers: Sequence[int]
) -> Decoded:
    frames: dict[int, VideoFrame] = {}
    last, count, latest = None, 0, 0
    for last in container.decode(stream):
        if count in numbers:
            frames[count] = last
        count, latest = count + 1, max(latest, last.pts or 0)
        if count > numbers[-1]:
            return Decoded(frames, None, latest)
    if last is not None:  # past the end
        frames.update({number: last for number in numbers if number >= count})
    return Decoded(frames, count, latest)


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


def _to_tensor(frames: "Sequence[VideoFrame]", size: tuple[int, int] | None) -> Tensor:
    """Convert frames to (T, H, W, 3); one that comes again is converted once."""
    from av.video.reformatter import VideoReformatter

    height, width = size or (frames[0].height, frames[0].width)
    # Scaling into planes takes half the time of scaling into packed pixels. Without scaling,
    # planes would come out wrong: their last column where the width is odd.
    scales = any((frame.height, frame.width) != (height, width) for frame in frames)
    shape = (len(frames), 3, height, width) if scales else (len(frames), height, width, 3)
    result = np.empty(shape, np.uint8)
    scaler = VideoReformatter()  # one for all frames: it keeps megabytes of state
    for place, frame in enumerate(frames):
        if place and frame is frames[place - 1]:
            result[place] = result[place - 1]
            continue
        pixels = scaler.reformat(
            frame,
            width,
            height,
            format="gbrp" if scales else "rgb24",
            interpolation="BILINEAR",
            threads=1,
        )
        if scales:
            for channel, plane in zip((1, 2, 0), pixels.planes, strict=True):
                rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
                result[place, channel] = rows[:height, :width]
        else:
            result[place] = pixels.to_ndarray()
    window = torch.from_numpy(result)
    return window.permute(0, 2, 3, 1) if scales else window


def _mono(frames: "list[AudioFrame]") -> list[np.ndarray]:
    return [frame.to_ndarray().mean(axis=0) for frame in frames]


def _window(waveform: Tensor, offset: int, samples: int) -> Tensor:
    """Cut (1, samples) from (L,) at an offset; either end may lie outside."""
    window = torch.zeros(1, samples)
    inside = waveform[max(offset, 0) : max(offset + samples, 0)]
    begin = max(-offset, 0)
    window[0, begin : begin + len(inside)] = inside
    return window
