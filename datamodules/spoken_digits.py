"""Spoken digits, far-field <- close-talk: the student hears them across a noisy room.

Student and auxiliary modality are the same take, so that what the auxiliary one knows beyond the
digit (how it was said) is there to be learnt too. Recordings: the Free Spoken Digit Dataset,
Z. Jackson et al., 2018.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cmkd.networks.log_mel import LogMel
from cmkd.preprocessing import Preprocessing
from datamodules.base import CrossModalDataModule, Split
from datamodules.collate import as_it_is
from datamodules.digit_recordings import DIGITS, DigitRecordings, Takes
from datamodules.front_end import front_end_outputs
from datamodules.memory import MemoryRows
from datamodules.noise import add_noise, choose_noise
from datamodules.recording_preprocessing import RecordingPreprocessing
from datamodules.room import Room
from datamodules.speaker_fold import PARTS, Part, SpeakerFold, parts_of
from datamodules.wav import Wave


class SpokenDigits(CrossModalDataModule):
    """Recordings of spoken digits, close and far, held in memory.

    Modalities: ``close`` (1, L), the recording itself, and ``far`` (1, L), the same in a
    simulated room and noise, both fixed by recording and seed. Fold k tests speaker k, the next
    one in the order of their names validates, the others train.

    ``far`` is made of the clean recordings, also where no loader holds ``close``.

    Args:
        root: folder of ``<digit>_<speaker>_<number>.wav``.
        student_modalities: what the student sees: ``far`` or ``close``.
        auxiliary_modalities: what only the teacher sees, in training.
        fold: which speaker is tested, from 0.
        snr_db: power of the speech as it sounds in the room over that of the noise, in dB.
        rt60: shortest and longest reverberation time of the rooms, in seconds.
        direct_db: energy of the direct sound over that of the reverberation, in dB.
        level_db: power that every recording is brought to before anything else, in dB of full
            scale (-26 is usual for speech); None leaves them. The speakers of the Free Spoken Digit
            Dataset are up to 22 dB apart, which is their microphones' and nothing to learn.
        noise_folder: wav files of sounds that are the noise, at least one a speaker, searched with
            the folders in it; none of them is heard in two parts. None: pink noise.
        sample_rate: audio samples a second.
        seconds: length of the audio. Shorter recordings stand in silence, longer ones keep their
            middle. 98 % of the Free Spoken Digit Dataset fit into the default, and 92 % of its
            slowest speaker's.
        front_end: computes from every waveform (B, 1, L), once, what the batch then holds, such as
            ``cmkd.networks.LogMel``; None: the waveform.
        **kwargs: of ``CrossModalDataModule``.

    Raises:
        FileNotFoundError: when the folder is not there or holds no recording.
        ValueError: for modalities or numbers that do not fit, or a file that cannot be read.
    """

    offered_modalities: Sequence[str] = ("far", "close")
    collate_fn = staticmethod(as_it_is)

    def __init__(
        self,
        root: str,
        student_modalities: list[str],
        auxiliary_modalities: list[str],
        fold: int = 0,
        snr_db: float = -5.0,
        rt60: tuple[float, float] = (0.2, 0.8),
        direct_db: float = 0.0,
        level_db: float | None = -26.0,
        noise_folder: str | None = None,
        sample_rate: int = 8_000,
        seconds: float = 0.8,
        front_end: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(student_modalities, auxiliary_modalities, **kwargs)
        self.room = Room(rt60, direct_db)
        self.snr_db = snr_db
        self.level_db = level_db
        self.noise_folder = noise_folder
        self.sample_rate = sample_rate
        self.seconds = seconds
        self.front_end = front_end
        self.spoken = DigitRecordings(Path(root), "SpokenDigits.root")
        self.fold = SpeakerFold(len(self.spoken.speakers), fold, "SpokenDigits")
        self.class_names = DIGITS

    def build_dataset(self, split: Split, modalities: list[str]) -> MemoryRows:
        """Return the samples of one part, as tensors in memory.

        Raises:
            ValueError: for a recording that cannot be read.
        """
        rows = np.concatenate([self.rows(part) for part in parts_of(split)])
        values = {
            name: front_end_outputs(self.sound(name)[rows], self.front_end) for name in modalities
        }
        place = dict.fromkeys(modalities, torch.arange(len(rows)))
        return MemoryRows(values, place, torch.from_numpy(self.spoken.digit[rows]))

    def preprocessing(self) -> Preprocessing:
        """Return what reads a recording; ``far`` takes it for one that was made far away.

        With a front end other than ``LogMel`` there is nothing that could be saved with a student:
        it takes what the front end gives.
        """
        log_mel = None
        if self.front_end is not None:
            if type(self.front_end) is not LogMel:
                return super().preprocessing()
            log_mel = self.front_end.settings
        return RecordingPreprocessing(
            self.student_modalities, self.sample_rate, self.seconds, self.level_db, log_mel
        )

    def rows(self, part: Part) -> NDArray[np.int64]:
        """Return which recordings a part has.

        Raises:
            ValueError: for a digit that no training speaker says.
        """
        rows = self.spoken.of(self.fold.of(part))
        if part == "train" and (never := set(range(10)) - set(self.spoken.digit[rows])):
            digits = ", ".join(map(str, sorted(never)))
            raise ValueError(
                f"SpokenDigits.root: no training speaker says {digits}; add recordings of it"
            )
        return rows

    def sound(self, modality: str) -> Wave:
        """Return all recordings as they are heard, (R, L)."""
        return self._far if modality == "far" else self._close.waves

    def describe(self) -> list[str]:
        """Return what the data holds, a line a fact."""
        names = {
            part: ", ".join(self.spoken.speakers[speaker] for speaker in self.fold.of(part))
            for part in PARTS
        }
        return [*super().describe(), *(f"{part}: recordings by {names[part]}" for part in PARTS)]

    @cached_property
    def _close(self) -> Takes:
        takes = self.spoken.read(self.sample_rate, self.seconds)
        return takes if self.level_db is None else takes.at_level(self.level_db)

    @cached_property
    def _far(self) -> Wave:
        noise = choose_noise(self.noise_folder, self.sample_rate, "SpokenDigits")
        in_room = self.room.reverberate(self._close, self.sample_rate, self.seed)
        return add_noise(in_room, noise, self.snr_db, self.seed)
