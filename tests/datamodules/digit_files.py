"""Writes MNIST's idx files and recordings of spoken digits, small."""

import gzip
import struct
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

RATE = 8_000
SIDE = 12
SPEAKERS = ("ann", "bob", "cy_x", "dan")


def write_idx(path: Path, values: np.ndarray, code: int = 0x08) -> Path:
    """Write bytes in any number of dimensions; gzipped if the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, code, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    raw = header + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def write_images(
    folder: Path, name: str = "train", each: int = 8, seed: int = 0, suffix: str = ""
) -> np.ndarray:
    """Write a set of MNIST: ``each`` images a digit, no two alike, in a mixed order.

    Returns:
        (N, SIDE, SIDE) the images.
    """
    rng = np.random.default_rng(seed)
    digits = rng.permutation(np.repeat(np.arange(10), each))
    prototypes = np.random.default_rng(1).integers(0, 200, (10, SIDE, SIDE))
    images = prototypes[digits] + rng.integers(0, 50, (len(digits), SIDE, SIDE))
    write_idx(folder / f"{name}-images-idx3-ubyte{suffix}", images)
    write_idx(folder / f"{name}-labels-idx1-ubyte{suffix}", digits)
    return images.astype(np.uint8)


def write_wav(
    path: Path, samples: np.ndarray, rate: int = RATE, channels: int = 1, width: int = 2
) -> Path:
    """Write samples in [-1, 1), (L,) or interleaved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        if width == 2:
            file.writeframes((samples * 2**15).astype("<i2").tobytes())
        else:
            file.writeframes(bytes(width * len(samples)))
    return path


def write_recordings(
    folder: Path, speakers: Sequence[str] = SPEAKERS, each: int = 2, seconds: float = 0.1
) -> Path:
    """Write a tone for each digit, a little different in each take and by each speaker."""
    time = np.arange(round(seconds * RATE)) / RATE
    for digit in range(10):
        for number, speaker in enumerate(speakers):
            for take in range(each):
                tone = np.sin(2 * np.pi * (300 + 200 * digit + 10 * number + take) * time)
                write_wav(folder / f"{digit}_{speaker}_{take}.wav", 0.5 * tone)
    return folder
