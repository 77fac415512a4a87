"""Reading whole wav files of speech into memory: many small ones, faster than through FFmpeg."""

import wave
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

Wave = NDArray[np.float32]


def read_wav(path: Path, sample_rate: int) -> Wave:
    """Read a wav file: the mean of its channels, resampled where its rate is another.

    Args:
        path: 16-bit PCM.
        sample_rate: samples a second of the result.

    Returns:
        (L,) in [-1, 1), L at least 1.

    Raises:
        ValueError: for a damaged, truncated or empty file, or other samples than 16-bit PCM.
    """
    try:
        with wave.open(str(path), "rb") as file:
            rate, width, channels = file.getframerate(), file.getsampwidth(), file.getnchannels()
            promised = file.getnframes()
            raw = file.readframes(promised)
    except (wave.Error, EOFError) as error:
        raise _error(path, str(error) or "it ends within its header") from error
    if width != 2:
        raise _error(path, f"its samples have {8 * width} bits")
    found = len(raw) // (2 * channels)
    if found < promised or not found:
        raise _error(path, f"it holds {found} of {promised} samples")
    values = np.frombuffer(raw, dtype="<i2").reshape(-1, channels).mean(axis=1) / 2**15
    return resample(values.astype(np.float32), rate, sample_rate)


def resample(values: Wave, rate: int, sample_rate: int) -> Wave:
    """Return a waveform (L,) at another rate."""
    if rate == sample_rate:
        return values
    from torchaudio.functional import resample

    resampled: Wave = resample(torch.from_numpy(values), rate, sample_rate).numpy()
    return resampled


def _error(path: Path, reason: str) -> ValueError:
    return ValueError(
        f"cannot read {path}: {reason}; replace it by an intact copy, as a wav file of 16-bit PCM"
    )
