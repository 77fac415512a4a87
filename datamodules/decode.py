"""Reading a window of a media file: its frames, and from here also its audio and still images.

The frames are those that decoding the whole file and slicing gives, on every file. The ways to get
them with less decoding each prove that or give up, and the next one tries.
"""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from datamodules.audio_window import read_audio as read_audio
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
from datamodules.still_image import read_image as read_image
from datamodules.window import Decoded, InapplicableError, UnprovenError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

Way = Callable[["InputContainer", "VideoStream", Sequence[int]], Decoded]

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
    ways = deque[Way]([*_SHORTCUTS, _decode_from_beginning])
    while True:
        try:
            return _read_frames(path, ways.popleft(), ways, numbers, size)
        # An error too: decoding from elsewhere may fail where decoding from the beginning does not.
        except (UnprovenError, MediaError):
            if not ways:
                raise


def _read_frames(
    path: str | Path,
    way: Way,
    others: deque[Way],
    numbers: Sequence[int],
    size: tuple[int, int] | None,
) -> Tensor:
    """Read frames in a way, or where that does not apply in the first of the others that does."""
    with open_media(path) as container:
        stream = video_stream(container, path)
        if get_worker_info() is not None:
            stream.thread_count = 1  # the loader's processes share the cores already
        decoded = None
        while decoded is None:
            try:
                decoded = way(container, stream, numbers)
            except InapplicableError:
                way = others.popleft()
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
