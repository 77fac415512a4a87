"""A clip's frames as JPEG images end to end in one file, with an index of where each begins.

The file is an MJPEG stream, which players show; behind it stand the images' offsets, their count
and size, and a mark. A window is one read of one range of bytes, and each of its frames decodes
without the others. Images are padded to even sides, with which FFmpeg's conversion from JPEG's
colours into planes is both right and fast.
"""

import os
import struct
from collections.abc import Iterable
from fractions import Fraction
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from datamodules.media import media_error

#: JPEG's quantiser, from 1, the finest, to 31. `experiments/benchmarks/cache.py` compares some.
QUANTISER = 5
_OFFSET = np.dtype("<u8")
#: Count, height and width of the images without their padding, mark.
_TAIL = struct.Struct("<III8s")
_MARK = b"cmkdjpg1"


def encode_frames(frames: Tensor, quantiser: int = QUANTISER) -> list[bytes]:
    """Encode (T, H, W, 3) uint8 frames as T JPEG images, padded to even sides."""
    import av
    from av.video.reformatter import VideoReformatter

    height, width = frames.shape[1:3]
    padded = np.pad(frames.numpy(), [(0, 0), (0, height % 2), (0, width % 2), (0, 0)], mode="edge")
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.height, encoder.width = padded.shape[1:3]
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1, 25)  # it wants one; an image has no time
    encoder.options = {"qmin": str(quantiser), "qmax": str(quantiser)}
    encoder.thread_count = 1
    scaler = VideoReformatter()
    packets = []
    for number, pixels in enumerate(padded):
        frame = scaler.reformat(
            av.VideoFrame.from_ndarray(pixels, format="rgb24"),
            format="yuvj420p",
            interpolation="BILINEAR",
            threads=1,
        )
        frame.pts, frame.time_base = number, encoder.time_base
        packets += encoder.encode(frame)
    return [bytes(packet) for packet in packets + encoder.encode(None)]


def write_packed(path: Path, images: Iterable[bytes], size: tuple[int, int]) -> int:
    """Write a file of images, one by one as they come.

    Args:
        path: where to.
        images: of ``encode_frames``.
        size: (height, width) of the frames, without the padding.

    Returns:
        The file's size in bytes.
    """
    ends = [0]
    with path.open("wb") as file:
        for image in images:
            file.write(image)
            ends.append(ends[-1] + len(image))
        file.write(np.array(ends, _OFFSET).tobytes())
        file.write(_TAIL.pack(len(ends) - 1, *size, _MARK))
        return file.tell()


def read_packed(
    path: str | Path,
    start: int,
    frames: int,
    stride: int = 1,
    size: tuple[int, int] | None = None,
    rows: slice = slice(None),
    columns: slice = slice(None),
) -> Tensor:
    """Read a part of every ``stride``-th frame of a window.

    Numbers of frames are those of ``decode.read_video``; where the window goes past the end, the
    last frame is repeated. Cutting and converting on the way out of the decoder, instead of making
    whole frames first, saves a third of the time.

    Args:
        path: the file.
        start: number of the window's first frame.
        frames: how many frames to return, T.
        stride: step between them.
        size: (height, width) to scale the frames to, if they are of another; None: as they are.
        rows: which rows of the scaled frame to return.
        columns: which columns; a negative step mirrors.

    Returns:
        (3, T, h, w) float32, RGB from 0 to 255.

    Raises:
        MediaError: when the file is not there or not whole.
    """
    try:
        images, (height, width) = _read_images(path, start, frames, stride)
        if size is None or tuple(size) == (height, width):
            planes = _decode(images, _Part(height, width, rows, columns))
        else:
            whole = _decode(images, _Part(height, width, slice(None), slice(None)))
            scaled = F.interpolate(torch.from_numpy(whole), size, mode="bilinear", antialias=True)
            planes = scaled.numpy()[:, :, rows, columns]
    except (OSError, ValueError) as error:  # FFmpeg's errors are one or the other
        raise media_error(path, f"this file of the cache is damaged ({error})") from error
    if len(images) < frames:
        planes = np.concatenate([planes, planes[:, -1:].repeat(frames - len(images), 1)], 1)
    return torch.from_numpy(np.ascontiguousarray(planes))


class _Part(NamedTuple):
    """A part of an image of a size."""

    height: int
    width: int
    rows: slice
    columns: slice

    @property
    def shape(self) -> tuple[int, int]:
        """Return the part's own (height, width)."""
        return (
            len(range(*self.rows.indices(self.height))),
            len(range(*self.columns.indices(self.width))),
        )


def _decode(images: list[bytes], part: _Part) -> NDArray[np.float32]:
    """Decode a part of JPEG images of one size, (3, T, h, w), without the padding."""
    import av
    from av.video.reformatter import VideoReformatter

    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.thread_count = 1  # starting a thread takes longer than decoding an image
    scaler = VideoReformatter()  # one for all frames: it keeps megabytes of state
    result = np.empty((3, len(images), *part.shape), np.float32)
    for place, image in enumerate(images):
        (frame,) = decoder.decode(av.Packet(image))
        pixels = scaler.reformat(frame, format="gbrp", interpolation="BILINEAR", threads=1)
        green, blue, red = pixels.planes
        for into, plane in zip(result, (red, green, blue), strict=True):
            values = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            into[place] = values[: part.height, : part.width][part.rows, part.columns]
    return result


def _read_images(
    path: str | Path, start: int, frames: int, stride: int
) -> tuple[list[bytes], tuple[int, int]]:
    """Return the images of a window, at least one, and the (height, width) of the frames."""
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - half the time of Path.open
        count, size = _read_tail(file)
        first = min(start, count - 1)
        end = min(start + (frames - 1) * stride, count - 1) + 1
        file.seek(-_TAIL.size - (count + 1 - first) * _OFFSET.itemsize, os.SEEK_END)
        ends = np.frombuffer(file.read((end - first + 1) * _OFFSET.itemsize), _OFFSET).tolist()
        file.seek(ends[0])
        data = file.read(ends[-1] - ends[0])
    places = range(0, end - first, stride)
    return [data[ends[one] - ends[0] : ends[one + 1] - ends[0]] for one in places], size


def _read_tail(file: FileIO) -> tuple[int, tuple[int, int]]:
    end = file.seek(-_TAIL.size, os.SEEK_END)
    count, height, width, mark = _TAIL.unpack(file.read(_TAIL.size))
    if mark != _MARK or count == 0 or (count + 1) * _OFFSET.itemsize > end:
        raise ValueError("its end is missing")
    return count, (height, width)
