"""Noise over recordings: made, or taken from recordings of sounds; fixed by recording and seed."""

import zlib
from pathlib import Path
from typing import Protocol

import numpy as np

from datamodules.digit_recordings import Takes
from datamodules.wav import Wave, read_wav


class Noise(Protocol):
    """What sounds over a recording."""

    def draw(self, rng: np.random.Generator, samples: int, speaker: int, speakers: int) -> Wave:
        """Return (samples,) of unit power for a recording of one of so many speakers."""
        ...


class PinkNoise:
    """Gaussian noise with a power of 1/f: equal in every octave, like the din of a room."""

    def draw(
        self,
        rng: np.random.Generator,
        samples: int,
        speaker: int,  # noqa: ARG002
        speakers: int,  # noqa: ARG002
    ) -> Wave:
        """Return (samples,) of unit power."""
        spectrum = np.fft.rfft(rng.standard_normal(samples))
        steps = np.arange(len(spectrum))
        spectrum[0] = 0
        spectrum[1:] /= np.sqrt(steps[1:])
        return _unit_power(np.fft.irfft(spectrum, samples))


class RecordedNoise:
    """A random stretch of a random recording of sounds, for example of ESC-50's.

    The recordings of noise are dealt out to the speakers, so that none is heard in two parts.

    K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia 2015.

    Args:
        folder: of wav files; folders in it are searched too.
        sample_rate: samples a second.
        owner: whose argument it is, for messages.

    Raises:
        FileNotFoundError: when it holds no wav file.
    """

    def __init__(self, folder: Path, sample_rate: int, owner: str) -> None:
        self.folder = folder
        self.sample_rate = sample_rate
        self.owner = owner
        self.paths = sorted(folder.rglob("*.wav"))
        if not self.paths:
            raise FileNotFoundError(f"{owner}.noise_folder: no wav file is under {folder}")

    def draw(self, rng: np.random.Generator, samples: int, speaker: int, speakers: int) -> Wave:
        """Return (samples,) of unit power out of this speaker's share of the recordings.

        Raises:
            ValueError: when the share is empty or silent, or a file cannot be read.
        """
        share = self.paths[speaker::speakers]
        for place in rng.permutation(len(share)):
            sound = read_wav(share[place], self.sample_rate)
            whole = np.tile(sound, -(-samples // len(sound)))
            begin = int(rng.integers(len(whole) - samples + 1))
            stretch = whole[begin : begin + samples]
            if stretch.any():
                return _unit_power(stretch)
        raise ValueError(
            f"{self.owner}.noise_folder: {self.folder} has no sound for speaker {speaker} of "
            f"{speakers} among {len(self.paths)} wav files; give one that sounds for each at least"
        )


def choose_noise(noise_folder: str | None, sample_rate: int, owner: str) -> Noise:
    """Return noise from a folder of recordings; pink noise where there is none."""
    if noise_folder is None:
        return PinkNoise()
    return RecordedNoise(Path(noise_folder), sample_rate, owner)


def add_noise(takes: Takes, noise: Noise, snr_db: float, seed: int) -> Wave:
    """Add to each recording its own noise, over the whole length.

    Args:
        takes: the recordings; the noise of one follows from its name and the seed.
        noise: what is added.
        snr_db: power of the sound, where the recording is, over that of the noise, in dB.
        seed: of the noise.

    Returns:
        (R, L) float32.
    """
    recordings, noisy, power = takes.recordings, np.empty_like(takes.waves), takes.power()
    for row, (path, wave) in enumerate(zip(recordings.paths, takes.waves, strict=True)):
        rng = recording_rng(path, seed, purpose=0)
        speaker, speakers = int(recordings.speaker[row]), len(recordings.speakers)
        drawn = noise.draw(rng, len(wave), speaker, speakers)
        noisy[row] = wave + np.sqrt(power[row] / 10 ** (snr_db / 10)) * drawn
    return noisy


def recording_rng(path: Path, seed: int, purpose: int) -> np.random.Generator:
    """Return a generator that depends on a recording and the seed, not on the other recordings."""
    return np.random.default_rng((seed, zlib.crc32(path.name.encode()), purpose))


def _unit_power(wave: np.ndarray) -> Wave:
    scaled: Wave = (wave / np.sqrt(np.square(wave, dtype=np.float64).mean())).astype(np.float32)
    return scaled
