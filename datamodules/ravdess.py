"""RAVDESS: actors who speak and sing two sentences in eight emotions.

S. R. Livingstone, F. A. Russo, "The Ryerson Audio-Visual Database of Emotional Speech and Song
(RAVDESS)", PLoS ONE 13(5), 2018.
"""

from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal

from datamodules.clip_datamodule import ClipDataModule, Part
from datamodules.clip_table import Clip, Source
from datamodules.ravdess_files import (
    ACTORS,
    EMOTIONS,
    SONG,
    SPEECH,
    SUNG,
    Recording,
    find_recordings,
    official_names,
)

Channel = Literal["speech", "song", "both"]
_NUMBERS: dict[Channel, list[int]] = {"speech": [SPEECH], "song": [SONG], "both": [SPEECH, SONG]}
_ACTORS_A_FOLD = 4


class RAVDESS(ClipDataModule):
    """Emotions of RAVDESS from its files as they are distributed, actors held out.

    Files lie at ``<root>/Actor_NN/MM-VC-EE-II-SS-RR-AA.mp4|wav``, or one folder deeper, as the
    archives unpack. A clip is what they say of one recording: video and image are read from its
    video-only file (02) or else the full one (01), audio from the wav file (03) or else the sound
    of the full one. A recording of which a modality's file is missing is kept, with it absent.

    Fold k tests actors 4k+1 to 4k+4; the validation actors are drawn from the others, by
    ``val_fraction``.

    Args:
        root: folder of the actors' folders, or of the unpacked archives.
        student_modalities: what the student sees: ``video``, ``audio`` or ``image``.
        auxiliary_modalities: what only the teacher sees, in training.
        fold: which actors are tested, 0 to 5.
        channel: ``speech`` (1,440 recordings, 8 emotions), ``song`` (1,012, the first 6 of them),
            or ``both``.
        **kwargs: of ``ClipDataModule``.

    Raises:
        FileNotFoundError: when root is no folder.
        ValueError: for modalities or numbers that do not fit.
    """

    def __init__(
        self,
        root: str,
        student_modalities: list[str],
        auxiliary_modalities: list[str],
        fold: int = 0,
        channel: Channel = "speech",
        **kwargs: Any,
    ) -> None:
        super().__init__(root, student_modalities, auxiliary_modalities, **kwargs)
        folds = ACTORS // _ACTORS_A_FOLD
        if not 0 <= fold < folds:
            raise ValueError(f"RAVDESS.fold: must be from 0 to {folds - 1}, got {fold}")
        self.fold = fold
        self.channel = channel
        self.class_names = EMOTIONS[:SUNG] if channel == "song" else EMOTIONS

    def listed(self, part: Part) -> Iterator[Clip]:
        """Return the recordings of the tested actors, or those of all others.

        Raises:
            FileNotFoundError: when there are none.
            ValueError: for a malformed name, or a modality of which there is no file at all.
        """
        for recording in self._recordings:
            tested = (recording.actor - 1) // _ACTORS_A_FOLD == self.fold
            if tested == (part == "test"):
                yield Clip(
                    name=recording.name,
                    label=recording.emotion,
                    group=f"actor {recording.actor:02d}",
                    sources=_sources(recording),
                )

    def describe(self) -> list[str]:
        """Return what the data holds, and where it differs from what RAVDESS has."""
        here = [recording.name for recording in self._recordings]
        official = [name for number in _NUMBERS[self.channel] for name in official_names(number)]
        emotions = Counter(self.class_names[one.emotion] for one in self._recordings)
        actors = {recording.actor for recording in self._recordings}
        lines = [
            *super().describe(),
            f"{len(here)} recordings of {len(actors)} actors; RAVDESS has {len(official)}",
            ", ".join(f"{emotions[name]} {name}" for name in self.class_names),
        ]
        for what, names in (
            ("missing", sorted(set(official) - set(here))),
            ("not RAVDESS's", sorted(set(here) - set(official))),
        ):
            if names:
                lines.append(f"{len(names)} {what}: {', '.join(names)}")
        return lines

    @cached_property
    def _recordings(self) -> list[Recording]:
        numbers = _NUMBERS[self.channel]
        recordings = [one for one in find_recordings(self.root) if one.channel in numbers]
        offered = {name for recording in recordings for name in _sources(recording)}
        for name in self.student_modalities + self.auxiliary_modalities:
            if name not in offered:
                raise ValueError(
                    f"RAVDESS: no recording ({self.channel}) under {self.root} has a file for "
                    f"'{name}'; unpack the archives that hold it there"
                )
        return recordings


def _sources(recording: Recording) -> dict[str, Source]:
    paths = {"video": recording.video, "audio": recording.audio, "image": recording.video}
    return {name: Source(path) for name, path in paths.items() if path is not None}
