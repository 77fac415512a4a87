"""Reading a window of a media file's audio.

The samples are those of decoding and resampling the whole track and slicing. A track of plain
samples is read from just before the window. In others what lies before it is decoded, because the
codec's state comes from there (AAC's noise does, from the very beginning), but not resampled.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.media import check_wav_size, media_error, open_media, to_seconds
from datamodules.window import UnprovenError

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

_Wave = NDArray[np.float32]

#: A resampled value depends on fewer samples than this to either side, at the lower of both rates.
FILTER_REACH = 64

#: Headers of intact files promise up to this many seconds of audio more than there are.
DURATION_SLACK = 0.5

#: Formats whose headers know the audio's duration; others have it estimated.
_KNOWN_DURATION = frozenset({"avi", "flac", "mov"})


@dataclass(frozen=True)
class _Plan:
    """Which samples to decode for a window, and where it lies in them.

    The samples left out are whole periods of the resampling filter, so that it takes the same
    phases as over the whole track.

    Attributes:
        rate: samples a second of the track.
        begin: number of the first sample to decode.
        end: number after the last.
        last: where the window ends, without what the filter needs beyond.
        offset: the window's beginning in the resampled samples.
    """

    rate: int
    begin: int
    end: int
    last: float
    offset: int

    @classmethod
    def of(cls, first: int, samples: int, rate: int, sample_rate: int) -> "_Plan":
        """Plan for a window that begins at a sample of the whole resampled track."""
        step = Fraction(rate, sample_rate)
        reach = FILTER_REACH * max(step, Fraction(1))
        periods = max(0, math.floor((first * step - reach) / step.numerator))
        last = (first + samples) * step
        return cls(
            rate=rate,
            begin=periods * step.numerator,
            end=math.ceil(last + reach),
            last=float(last),
            offset=first - periods * step.denominator,
        )


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
        ValueError: when ``samples`` or ``sample_rate`` is below 1.
        MediaError: when the file is empty or damaged, its audio track holds no sound, or ends
            before the window although the header promises more.
    """
    if samples < 1 or sample_rate < 1:
        raise ValueError(
            f"samples, sample_rate: must be at least 1, got {samples} and {sample_rate}"
        )
    try:
        return _read(path, start, samples, sample_rate, may_seek=True)
    except UnprovenError:
        return _read(path, start, samples, sample_rate, may_seek=False)


def _read(
    path: str | Path, start: float, samples: int, sample_rate: int, may_seek: bool
) -> Tensor | None:
    with open_media(path) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise media_error(path, "no decoder knows the codec of its audio")
        begin = (stream.start_time or 0) * (stream.time_base or 0)
        plan = _Plan.of(round((start - begin) * sample_rate), samples, stream.rate, sample_rate)
        if may_seek and _is_worth_seeking(container, stream, plan):
            container.seek((stream.start_time or 0) + plan.begin, stream=stream)
            frames = container.decode(stream)
            first = next(frames, None)
            position = _position(first, stream)
            if first is None or position > plan.begin:
                raise UnprovenError
        else:
            frames = container.decode(stream)
            first = next(frames, None)
            if first is None:
                raise media_error(path, "its audio track holds no sound")
            # The decoder knows better than the header.
            begin, position = (first.pts or 0) * (first.time_base or 0), 0
            rate = first.sample_rate
            plan = _Plan.of(round((start - begin) * sample_rate), samples, rate, sample_rate)
        wave, reached = _collect(path, chain([first], frames), plan, position)
        if reached < plan.last:
            _check_end(path, container, stream, reached / plan.rate)
    return _window(_resample(wave, plan.rate, sample_rate), plan.offset, samples)


def _collect(
    path: str | Path, frames: "Iterable[AudioFrame]", plan: _Plan, position: int
) -> tuple[_Wave, int]:
    """Take the plan's samples from decoded frames, the first of which is at a position.

    Returns:
        The mean of the channels, and the number of the sample after the last decoded.
    """
    chunks = [np.zeros(0, np.float32)]
    for frame in frames:
        if frame.sample_rate != plan.rate:
            raise media_error(
                path, f"its sample rate turns from {plan.rate} to {frame.sample_rate}"
            )
        if position + frame.samples > plan.begin:
            chunks.append(_mono(frame)[max(0, plan.begin - position) :])
        position += frame.samples
        if position >= plan.end:
            break
    return np.concatenate(chunks), position


def _position(frame: "AudioFrame | None", stream: "AudioStream") -> int:
    """Return a frame's first sample by its time stamp."""
    if frame is None or frame.pts is None or frame.sample_rate != stream.rate:
        raise UnprovenError
    return frame.pts - (stream.start_time or 0)


def _is_worth_seeking(container: "InputContainer", stream: "AudioStream", plan: _Plan) -> bool:
    """Whether samples stand for themselves, time stamps count them, and there are many before."""
    codec = stream.codec_context.codec.canonical_name
    return (
        (codec.startswith("pcm_") or codec == "flac")
        and stream.time_base == Fraction(1, stream.rate)
        # WAV has no time of its beginning: it is 0.
        and (stream.start_time is not None or container.format.name == "wav")
        and stream.rate <= plan.begin < (stream.duration or 0)
    )


def _mono(frame: "AudioFrame") -> _Wave:
    """Return the mean of the channels as float32 in [-1, 1]."""
    # FFmpeg's own mix to mono is louder and can exceed 1.
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    mean = values.mean(axis=0, dtype=np.float64)
    if values.dtype == np.uint8:
        mean = (mean - 128) / 128
    elif values.dtype.kind == "i":
        mean = mean / 2 ** (8 * values.dtype.itemsize - 1)
    return np.asarray(mean, np.float32)


def _resample(wave: _Wave, rate: int, sample_rate: int) -> Tensor:
    import av

    if rate == sample_rate or not len(wave):
        return torch.from_numpy(wave)
    frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=sample_rate)
    resampled = [*resampler.resample(frame), *resampler.resample(None)]
    return torch.from_numpy(np.concatenate([part.to_ndarray()[0] for part in resampled]))


def _window(waveform: Tensor, offset: int, samples: int) -> Tensor:
    """Cut (1, samples) from (L,) at an offset; either end may lie outside."""
    window = torch.zeros(1, samples)
    inside = waveform[max(offset, 0) : max(offset + samples, 0)]
    begin = max(-offset, 0)
    window[0, begin : begin + len(inside)] = inside
    return window


def _check_end(
    path: str | Path,
    container: "InputContainer",
    stream: "AudioStream",
    reached: float,
) -> None:
    """Raise an error where the header says that the track is longer."""
    if container.format.name == "wav":
        check_wav_size(path)
    promised = to_seconds(stream.duration, stream.time_base)
    if promised - reached > DURATION_SLACK and not _KNOWN_DURATION.isdisjoint(
        container.format.name.split(",")
    ):
        raise media_error(
            path, f"its audio ends after {reached:.1f} of {promised:.1f} seconds (truncated)"
        )
