"""AV-MNIST: written digits with spoken ones, paired by digit.

V. Vielzeuf, A. Lechervy, S. Pateux, F. Jurie, "CentralNet: a Multilayer Approach for Multimodal
Fusion", ECCV workshops 2018. The pairs are artificial: all that image and sound share is the digit.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from datamodules.base import CrossModalDataModule, Split
from datamodules.collate import as_it_is
from datamodules.digit_images import DigitImages
from datamodules.digit_recordings import DIGITS, DigitRecordings
from datamodules.front_end import front_end_outputs
from datamodules.memory import MemoryRows
from datamodules.noise import add_noise, choose_noise
from datamodules.speaker_fold import PARTS, Part, SpeakerFold, parts_of
from datamodules.wav import Wave


class AVMNIST(CrossModalDataModule):
    """Images of MNIST, each with a recording of its digit, held in memory.

    Modalities: ``image`` (1, 28, 28), standardised by the training images, and ``audio`` (1, L), a
    waveform. Neither an image nor a speaker stands in two parts: fold k tests speaker k and the
    next one validates, and the images are dealt out into as many blocks, of which block k tests
    and the next one validates (with ``test_set`` its images test and block k trains). A part has
    one sample for each of its images; which recording of the part goes with an image follows from
    the seed and stays. A part's recordings go round equally often, and where there are more
    recordings than images some are not heard.

    Clean MNIST leaves nothing to learn from a second modality, so both are degraded, as in the
    paper. *Images* lose 75 % of their energy by PCA: of the leading principal components of the
    training images, the fewest that hold a quarter of the variance remain, 4 of 784. (Some public
    code keeps a quarter of the *components*, 97 % of the variance: another, easy data set.)
    *Sound* gets noise, fixed by recording and seed. In the paper it is from ESC-50; here it is pink
    unless ``noise_folder`` is given. Its level, 0 dB, is our choice.

    Args:
        images: folder of MNIST's idx files, gzipped or not.
        recordings: folder of ``<digit>_<speaker>_<number>.wav``, for example of the Free Spoken
            Digit Dataset. Not opened where no loader holds ``audio``.
        student_modalities: what the student sees: ``image`` or ``audio``.
        auxiliary_modalities: what only the teacher sees, in training.
        fold: which speaker is tested, from 0, in the order of their names.
        speakers: how many there are.
        train_set: name of the set of images that is divided, ``train`` or ``t10k``.
        test_set: name of the set that tests; None: the blocks of ``train_set`` test in turn.
        energy_removed: share of the images' variance to remove, in [0, 1); 0: leave them.
        snr_db: power of the speech over that of the noise in dB; None: no noise.
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
        FileNotFoundError: when a folder is not there.
        ValueError: for modalities or numbers that do not fit.
    """

    offered_modalities: Sequence[str] = ("image", "audio")
    collate_fn = staticmethod(as_it_is)

    def __init__(
        self,
        images: str,
        recordings: str,
        student_modalities: list[str],
        auxiliary_modalities: list[str],
        fold: int = 0,
        speakers: int = 6,
        train_set: str = "train",
        test_set: str | None = "t10k",
        energy_removed: float = 0.75,
        snr_db: float | None = 0.0,
        noise_folder: str | None = None,
        sample_rate: int = 8_000,
        seconds: float = 0.8,
        front_end: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(student_modalities, auxiliary_modalities, **kwargs)
        if not Path(images).is_dir():
            raise FileNotFoundError(
                f"AVMNIST.images: there is no folder {images}; give the folder of MNIST's idx files"
            )
        if not 0 <= energy_removed < 1:
            raise ValueError(
                f"AVMNIST.energy_removed: must be at least 0 and below 1, got {energy_removed}"
            )
        if test_set == train_set:
            raise ValueError(
                f"AVMNIST.test_set: {test_set} trains already; null lets blocks of it test"
            )
        self.fold = SpeakerFold(speakers, fold, "AVMNIST")
        self.images = DigitImages(Path(images), train_set, test_set, self.fold, energy_removed)
        self.folder = Path(recordings)
        self.snr_db = snr_db
        self.noise_folder = noise_folder
        self.sample_rate = sample_rate
        self.seconds = seconds
        self.front_end = front_end
        self.class_names = DIGITS

    def build_dataset(self, split: Split, modalities: list[str]) -> MemoryRows:
        """Return the samples of one part, as tensors in memory.

        Raises:
            FileNotFoundError: for a file that is not there.
            ValueError: for a file that cannot be read, or a digit that has no recording.
        """
        parts = parts_of(split)
        digit = torch.from_numpy(np.concatenate([self.images.digits(part) for part in parts]))
        values, place = {}, {}
        if "image" in modalities:
            shown = np.concatenate([self.images.shown(part) for part in parts])
            values["image"] = torch.from_numpy(shown[:, None])
            place["image"] = torch.arange(len(shown))
        if "audio" in modalities:
            paired = np.concatenate([self.pairs(part) for part in parts])
            rows, at = np.unique(paired, return_inverse=True)
            values["audio"] = front_end_outputs(self._heard[rows], self.front_end)
            place["audio"] = torch.from_numpy(at)
        return MemoryRows(values, place, digit)

    def pairs(self, part: Part) -> NDArray[np.int64]:
        """Return the row in ``spoken`` that goes with each of a part's images.

        Raises:
            ValueError: for a digit that the part's speakers do not say.
        """
        spoken, digits = self.spoken, self.images.digits(part)
        offered = spoken.of(self.fold.of(part))
        rng = np.random.default_rng((self.seed, PARTS.index(part)))
        paired = np.empty_like(digits)
        for digit in np.unique(digits):
            said = offered[spoken.digit[offered] == digit]
            if not said.size:
                names = ", ".join(spoken.speakers[speaker] for speaker in self.fold.of(part))
                raise ValueError(
                    f"AVMNIST.recordings: {self.folder} has no {digit} by {names}, but the {part} "
                    "part has images of it; add recordings of it"
                )
            images = np.flatnonzero(digits == digit)
            paired[images] = np.resize(rng.permutation(said), len(images))
        return paired

    def describe(self) -> list[str]:
        """Return what the data holds, a line a fact."""
        lines = super().describe()
        for part in PARTS:
            speakers = self.fold.of(part)
            names = ", ".join(self.spoken.speakers[speaker] for speaker in speakers)
            heard, all_ = np.unique(self.pairs(part)).size, self.spoken.of(speakers).size
            lines.append(f"{part}: {heard} of {all_} recordings by {names}")
        components = self.images.look.components
        if components is not None:
            count = components.directions.shape[1]
            lines.append(
                f"image: {count} principal components, {components.kept:.1%} of the energy"
            )
        return lines

    @cached_property
    def spoken(self) -> DigitRecordings:
        """The recordings, not opened yet.

        Raises:
            FileNotFoundError: when there are none.
            ValueError: for a name without digit and speaker, or another number of speakers.
        """
        recordings = DigitRecordings(self.folder, "AVMNIST.recordings")
        if len(recordings.speakers) != self.fold.speakers:
            raise ValueError(
                f"AVMNIST.speakers: {self.fold.speakers} is not how many there are in "
                f"{self.folder}: {', '.join(recordings.speakers)}"
            )
        return recordings

    @cached_property
    def _heard(self) -> Wave:
        takes = self.spoken.read(self.sample_rate, self.seconds)
        if self.snr_db is None:
            return takes.waves
        noise = choose_noise(self.noise_folder, self.sample_rate, "AVMNIST")
        return add_noise(takes, noise, self.snr_db, self.seed)
