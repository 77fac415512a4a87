"""A clip's sound as plain samples: one channel, at the rate that training asks for, float32.

What `decode.read_audio` would give for any window is a slice of it, number by number.
"""

import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datamodules.decode import read_audio
from datamodules.media import media_error, open_media, to_seconds

_SAMPLE = np.dtype("<f4")
#: Mark, samples a second, time of the first sample in seconds, number of samples.
_HEAD = struct.Struct("<8sIdQ")
_MARK = b"cmkdsnd1"


def decode_sound(path: Path, sample_rate: int) -> tuple[float, Tensor]:
    """Decode a file's whole sound.

    Returns:
        The time of its first sample in seconds, and the samples (L,) float32, without the silence
        at their end.

    Raises:
        MediaError: when the file is damaged or has no sound.
    """
    begin, end = 0.0, None
    with open_media(path) as container:
        if not container.streams.audio:
            raise media_error(path, "there is no audio track")
        for frame in container.decode(container.streams.audio[0]):
            if end is None:
                begin = to_seconds(frame.pts, frame.time_base)
            end = to_seconds(frame.pts, frame.time_base) + frame.samples / frame.sample_rate
    if end is None:
        raise media_error(path, "its audio track holds no sound")
    # A second more than the time stamps say: what is not there is silence, and is cut off again.
    samples = read_audio(path, begin, round((end - begin + 1) * sample_rate), sample_rate)
    assert samples is not None  # noqa: S101 - there is a track
    heard = samples[0].nonzero()
    return begin, samples[0, : int(heard[-1]) + 1 if len(heard) else 0]


def write_sound(path: Path, begin: float, samples: Tensor, sample_rate: int) -> int:
    """Write what ``decode_sound`` returned and return the file's size in bytes."""
    with path.open("wb") as file:
        file.write(_HEAD.pack(_MARK, sample_rate, begin, len(samples)))
        file.write(samples.numpy().astype(_SAMPLE).tobytes())
        return file.tell()


def read_sound(path: str | Path, start: float, samples: int, sample_rate: int) -> Tensor:
    """Read a window, as ``decode.read_audio`` does.

    Args:
        path: the file.
        start: the window's beginning in seconds.
        samples: how many samples to return, L.
        sample_rate: samples a second, those of the file.

    Returns:
        (1, L) float32; silence where the window goes past the file's ends.

    Raises:
        MediaError: when the file is not there, damaged, or of another rate.
    """
    window = np.zeros((1, samples), np.float32)
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - half the time of Path.open
            mark, rate, begin, count = _HEAD.unpack(file.read(_HEAD.size))
            if mark != _MARK or rate != sample_rate:
                raise ValueError(f"it is no sound of {sample_rate} samples a second")
            offset = round((start - begin) * sample_rate)
            first, last = max(offset, 0), min(offset + samples, count)
            if first < last:
                file.seek(_HEAD.size + first * _SAMPLE.itemsize)
                values = np.frombuffer(file.read((last - first) * _SAMPLE.itemsize), _SAMPLE)
                window[0, first - offset : last - offset] = values
    except (OSError, ValueError, struct.error) as error:
        raise media_error(path, f"this file of the cache is damaged ({error})") from error
    return torch.from_numpy(window)
