"""From a wav file to a student's inputs, as the recordings of spoken digits are read."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cmkd.networks.log_mel import LogMel
from cmkd.preprocessing import Preprocessing, Shape, Value, ready
from datamodules.digit_recordings import place
from datamodules.wav import read_wav


@dataclass(frozen=True)
class RecordingPreprocessing(Preprocessing):
    """Reads recordings of one length: resampled, brought to a level, made spectrograms.

    A recording is taken as it is: the room and the noise of a simulation are not added.

    Attributes:
        modalities: their names; each is the sound of a file.
        sample_rate: samples a second.
        seconds: length; shorter recordings stand in silence, longer ones keep their middle.
        level_db: power that a recording is brought to, in dB of full scale; None leaves it.
        log_mel: arguments of ``cmkd.networks.LogMel`` beside the sample rate; None: the waveform.
    """

    modalities: list[str]
    sample_rate: int
    seconds: float
    level_db: float | None = None
    log_mel: Mapping[str, float] | None = None

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of each modality."""
        silence = torch.zeros(1, round(self.sample_rate * self.seconds))
        return dict.fromkeys(self.modalities, tuple(self._seen(silence).shape))

    @property
    def in_one_file(self) -> Collection[str]:
        """Return all modalities: each is the sound of a file."""
        return self.modalities

    def windows(self, values: Mapping[str, Value]) -> dict[str, Tensor]:
        """Return each recording as one window (1, ...); see ``Preprocessing.windows``.

        Args:
            values: by modality, the path of a wav file of 16-bit PCM, or a tensor as the network
                sees it.

        Raises:
            ValueError: for a file that cannot be read, or a tensor that does not fit.
            FileNotFoundError: for a file that is not there.
        """
        return {
            name: self._read(Path(value)).unsqueeze(0)
            if isinstance(value, str | Path)
            else ready(value, self.shapes[name], name)
            for name, value in values.items()
        }

    def _read(self, path: Path) -> Tensor:
        whole = read_wav(path, self.sample_rate)
        wave, spoken = place(whole, round(self.sample_rate * self.seconds))
        if self.level_db is not None:
            power = np.square(wave[spoken], dtype=np.float64).mean()
            wave = (wave * np.sqrt(10 ** (self.level_db / 10) / max(power, 1e-12))).astype("f4")
        return self._seen(torch.from_numpy(wave).unsqueeze(0))

    @torch.no_grad()
    def _seen(self, sound: Tensor) -> Tensor:
        """Return what the network sees of a waveform (1, L)."""
        return sound if self._front_end is None else self._front_end(sound.unsqueeze(0))[0]

    @cached_property
    def _front_end(self) -> nn.Module | None:
        if self.log_mel is None:
            return None
        return LogMel(
            self.sample_rate,
            n_mels=int(self.log_mel["n_mels"]),
            window_ms=self.log_mel["window_ms"],
            hop_ms=self.log_mel["hop_ms"],
        ).eval()
