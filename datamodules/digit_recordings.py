"""Recordings of spoken digits.

Laid out like the Free Spoken Digit Dataset (Z. Jackson et al., 2018):
``<digit>_<speaker>_<number>.wav``, six speakers, 50 takes of each digit.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.wav import Wave, read_wav

_NAME = re.compile(r"(?P<digit>[0-9])_(?P<speaker>.+)_(?P<number>[0-9]+)\.wav")

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


class DigitRecordings:
    """The recordings in a folder: R of them, in the order of their names. None is opened yet.

    Args:
        folder: of the wav files.
        owner: whose argument it is, for messages.

    Attributes:
        paths: the files.
        digit: (R,) from 0 to 9.
        speaker: (R,) number in ``speakers``.
        speakers: names, sorted.

    Raises:
        FileNotFoundError: when there are none.
        ValueError: for a name that says neither digit nor speaker.
    """

    def __init__(self, folder: Path, owner: str) -> None:
        self.owner = owner
        self.paths = sorted(path for path in folder.glob("*.wav") if path.name[0] != ".")
        if not self.paths:
            raise FileNotFoundError(
                f"{owner}: no wav file is in {folder}; give the folder of recordings, "
                "<digit>_<speaker>_<number>.wav"
            )
        matches = [_match(path) for path in self.paths]
        self.speakers = sorted({match["speaker"] for match in matches})
        number = {name: place for place, name in enumerate(self.speakers)}
        self.digit = np.array([int(match["digit"]) for match in matches])
        self.speaker = np.array([number[match["speaker"]] for match in matches])

    def of(self, speakers: list[int]) -> NDArray[np.int64]:
        """Return the rows of some speakers, in order."""
        return np.flatnonzero(np.isin(self.speaker, speakers))

    def read(self, sample_rate: int, seconds: float) -> "Takes":
        """Read them all; what is longer than wanted keeps its middle.

        Args:
            sample_rate: samples a second, whatever the files have.
            seconds: length of each.

        Raises:
            ValueError: for a file that cannot be read, or a length below one sample.
        """
        samples = round(sample_rate * seconds)
        if sample_rate < 1 or samples < 1:
            raise ValueError(
                f"{self.owner}.seconds, sample_rate: {seconds} s of {sample_rate} samples a second "
                "is less than a sample"
            )
        waves = np.zeros((len(self.paths), samples), dtype=np.float32)
        spoken = np.zeros(waves.shape, dtype=bool)
        for row, path in enumerate(self.paths):
            waves[row], spoken[row] = place(read_wav(path, sample_rate), samples)
        return Takes(self, waves, spoken)


@dataclass(frozen=True)
class Takes:
    """The sound of recordings.

    Attributes:
        recordings: whose sound it is.
        waves: (R, L) float32, silence around what is shorter.
        spoken: (R, L) bool, where the recording is and the silence around it is not.
    """

    recordings: DigitRecordings
    waves: Wave
    spoken: NDArray[np.bool_]

    def power(self) -> NDArray[np.float64]:
        """Return the power of each recording, (R,), without the silence around it."""
        squares = np.square(self.waves, dtype=np.float64)
        power: NDArray[np.float64] = squares.mean(axis=1, where=self.spoken)
        return power

    def at_level(self, level_db: float) -> "Takes":
        """Return them all at one power, in dB of full scale; what is silent stays silent."""
        gain = np.sqrt(10 ** (level_db / 10) / np.maximum(self.power(), 1e-12))
        return replace(self, waves=(self.waves * gain[:, None]).astype(np.float32))


def place(whole: Wave, samples: int) -> tuple[Wave, NDArray[np.bool_]]:
    """Bring a recording to a length, keeping its middle or putting it into silence.

    Returns:
        (L,) float32, and (L,) bool, where the recording is.
    """
    skip = max(0, (len(whole) - samples) // 2)
    middle = whole[skip : skip + samples]
    begin = (samples - len(middle)) // 2
    wave, spoken = np.zeros(samples, dtype=np.float32), np.zeros(samples, dtype=bool)
    wave[begin : begin + len(middle)] = middle
    spoken[begin : begin + len(middle)] = True
    return wave, spoken


def _match(path: Path) -> re.Match[str]:
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(
            f"{path}: the name is not <digit>_<speaker>_<number>.wav, so its digit and speaker are "
            "unknown; rename it or take it out of the folder"
        )
    return match
