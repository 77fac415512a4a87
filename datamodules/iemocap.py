"""IEMOCAP as it is distributed: turns of acted dialogs with sound, video and transcript.

C. Busso, M. Bulut, C.-C. Lee, A. Kazemzadeh, E. Mower, S. Kim, J. N. Chang, S. Lee and S. S.
Narayanan, "IEMOCAP: Interactive emotional dyadic motion capture database", Language Resources and
Evaluation 42(4), 2008.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from datamodules.base import SampleDataset, Split
from datamodules.clip_datamodule import ClipDataModule, Part
from datamodules.clip_table import Clip, Source
from datamodules.iemocap_annotations import Turn, read_session, read_transcription
from datamodules.iemocap_counts import (
    OFFICIAL,
    differences,
    official_counts,
    with_dialogue_rnn_labels,
)
from datamodules.readers import Reader
from datamodules.text import HashedText, LazyTexts, TextFactory, TextReader

#: The emotions that a class is made of, by number of classes.
CLASSES: Mapping[int, Mapping[str, Sequence[str]]] = {
    4: {"angry": ["ang"], "happy": ["hap", "exc"], "neutral": ["neu"], "sad": ["sad"]},
    6: {
        "angry": ["ang"],
        "excited": ["exc"],
        "frustrated": ["fru"],
        "happy": ["hap"],
        "neutral": ["neu"],
        "sad": ["sad"],
    },
}

#: Where a turn's modalities lie under root.
PLACES = {
    "video": "Session{session}/dialog/avi/DivX/{dialog}.avi",
    "audio": "Session{session}/sentences/wav/{dialog}/{turn}.wav",
    "text": "Session{session}/dialog/transcriptions/{dialog}.txt",
}


class IEMOCAP(ClipDataModule):
    """Emotion of a turn, from its sound, its video and its words.

    A sample is an evaluated turn, named as in the data (``Ses01F_impro01_M003``); its label is the
    one that most evaluators chose. Four classes have 5,531 turns: angry 1,103, happy (with excited)
    1,636, neutral 1,708, sad 1,084. Six have 7,380: excited 1,041, frustrated 1,849 and happy 595
    apart; the 7,433 that are often reported take ``dialogue_rnn_labels``. The other turns, among
    them all without agreement (``xxx``), are not used; how many there are is logged. Where all five
    sessions are there, turns are counted by session and emotion, and differences from the
    distribution's counts are a warning.

    **Folds.** ``held_out: Ses01`` to ``Ses05`` leaves a session out, both its speakers and all of
    their dialogs (5 folds). ``Ses01F`` to ``Ses05M`` leaves a speaker out (10 folds); the turns of
    the partner then stay in training, as is usual in the field, so the test's dialogs are half
    known. The validation part is cut in the same unit: whole sessions there, so at least
    about a quarter of the training turns, whole speakers here. It so measures what the test does,
    and no speaker is on two sides; validating on one speaker of a training session would hear
    dialogs whose other half was trained on, and look better than the test. The scripted dialogs are
    the same plays in every session: in no fold are the words of the test all new.

    **Video** is that of the whole dialog, cut by time. It shows both actors side by side, and the
    frames are left whole: public code takes the left half for the actor whose letter the dialog's
    name has (``Ses01F_...``), but nothing from the owners at hand says so. The default centre crop
    would cut both faces; a ``resize`` as square as ``size`` keeps them.

    **Audio** is the turn's own file; its begin is the turn's, on the clock of the video.

    Args:
        root: folder with Session1 to Session5; macOS's ``._`` files in it are ignored.
        student_modalities: what the student sees: ``video``, ``audio`` or ``text``.
        auxiliary_modalities: what only the teacher sees, in training.
        classes: 4 or 6.
        held_out: the session (``Ses05``) or speaker (``Ses05F``) to test on.
        text: makes a text of words into vectors.
        dialogue_rnn_labels: take the 53 turns without agreement for happy that the features
            released with DialogueRNN (Majumder et al., AAAI 2019) have as happy.
        missing_clips: what to do about a turn whose file or transcript is not there: stop with an
            ``error`` in a part that reads it, or ``skip``: without one of the student's modalities
            the turn is left out, with a warning; an auxiliary modality is masked.
        **kwargs: of ``ClipDataModule``.

    Raises:
        FileNotFoundError: when root has no sessions; later, for a missing file.
        ValueError: for arguments that do not fit; later, for a malformed annotation file.
    """

    offered_modalities = ("video", "audio", "text")

    def __init__(
        self,
        root: str,
        student_modalities: list[str],
        auxiliary_modalities: list[str],
        classes: Literal[4, 6] = 4,
        held_out: str = "Ses05",
        text: TextFactory = HashedText,
        dialogue_rnn_labels: bool = False,
        missing_clips: Literal["error", "skip"] = "error",
        **kwargs: Any,
    ) -> None:
        super().__init__(root, student_modalities, auxiliary_modalities, **kwargs)
        if classes not in CLASSES:
            raise ValueError(f"IEMOCAP.classes: must be 4 or 6, got {classes}")
        self.class_names = list(CLASSES[classes])
        self.emotions = CLASSES[classes]
        self.text = text
        self.dialogue_rnn_labels = dialogue_rnn_labels
        self.missing_clips = missing_clips
        self.sessions = {
            f"Ses{int(folder.name[7:]):02d}": folder
            for folder in sorted(self.root.glob("Session[0-9]"))
        }
        if not self.sessions:
            raise FileNotFoundError(
                f"IEMOCAP.root: there is no Session1 to Session5 in {root}; give the folder that "
                "they are in, IEMOCAP_full_release"
            )
        if not re.fullmatch(r"Ses\d\d[FM]?", held_out) or held_out[:5] not in self.sessions:
            raise ValueError(
                f"IEMOCAP.held_out: '{held_out}' is neither a session that is there "
                f"({', '.join(self.sessions)}) nor a speaker of one, such as Ses01F"
            )
        self.held_out = held_out
        self._listings: dict[Path, set[str]] = {}

    def listed(self, part: Part) -> Iterator[Clip]:
        """Return the used turns of the speakers that are held out, or of the others.

        Raises:
            ValueError: for a malformed annotation file.
        """
        label = {
            emotion: number
            for number, emotions in enumerate(self.emotions.values())
            for emotion in emotions
        }
        left_out: list[str] = []
        for turn in self.turns:
            if turn.speaker.startswith(self.held_out) != (part == "test"):
                continue
            clip = Clip(
                name=turn.name,
                label=label[turn.emotion],
                group=turn.speaker[: len(self.held_out)],
                sources=self._sources(turn),
            )
            skip = self.missing_clips == "skip"
            if skip and any(self._missing(clip, name) for name in self.student_modalities):
                left_out.append(turn.name)
            else:
                yield clip
        if left_out:
            rank_zero_warn(
                f"IEMOCAP: {len(left_out)} turns of the {part} part lack one of "
                f"{', '.join(self.student_modalities)} and are left out, the first is {left_out[0]}"
            )

    def readers(self) -> Mapping[str, Reader]:
        """Return the readers of video, audio and text."""
        return {**super().readers(), "text": self._text}

    def build_dataset(self, split: Split, modalities: list[str]) -> SampleDataset:
        """Return the turns of one split.

        Raises:
            FileNotFoundError: for a turn without one of the modalities, unless they are skipped.
        """
        if self.missing_clips == "error":
            self._require(split, modalities)
        return super().build_dataset(split, modalities)

    def describe(self) -> list[str]:
        """Return what the data holds, with the turns by class next to the distribution's."""
        found = Counter(turn.emotion for turn in self.turns)
        official: Counter[str] = Counter()
        for (_, emotion), count in official_counts(self.sessions, self.dialogue_rnn_labels).items():
            official[emotion] += count
        classes = [
            f"{name}: {sum(found[emotion] for emotion in emotions)} turns, "
            f"{sum(official[emotion] for emotion in emotions)} in the distribution"
            for name, emotions in self.emotions.items()
        ]
        return [*super().describe(), *classes, self._unused(), *self._differences()]

    @cached_property
    def turns(self) -> list[Turn]:
        """All turns of the classes, whoever speaks; what is not as expected is reported once."""
        rank_zero_info(f"IEMOCAP: {self._unused()}")
        if len(self.sessions) == len(OFFICIAL) and (found := self._differences()):
            rank_zero_warn(
                f"IEMOCAP: the turns under {self.root} are not those of the distribution: "
                f"{'; '.join(found)}"
            )
        return [turn for turn in self._evaluated if self._is_used(turn)]

    @cached_property
    def _evaluated(self) -> list[Turn]:
        turns = [turn for folder in self.sessions.values() for turn in read_session(folder)]
        return with_dialogue_rnn_labels(turns) if self.dialogue_rnn_labels else turns

    def _is_used(self, turn: Turn) -> bool:
        return any(turn.emotion in emotions for emotions in self.emotions.values())

    def _unused(self) -> str:
        unused = Counter(turn.emotion for turn in self._evaluated if not self._is_used(turn))
        each = ", ".join(f"{count} {emotion}" for emotion, count in unused.most_common())
        return (
            f"{unused.total()} of {len(self._evaluated)} evaluated turns are of none of the "
            f"{self.num_classes} classes and not used ({each or 'none'})"
        )

    def _differences(self) -> list[str]:
        return differences(self._evaluated, list(self.sessions), self.dialogue_rnn_labels)

    @cached_property
    def _text(self) -> TextReader:
        return self.text(LazyTexts(partial(_read_texts, self.root, [t.name for t in self.turns])))

    def _sources(self, turn: Turn) -> dict[str, Source]:
        """Return the files there are of the modalities asked for."""
        asked = self.student_modalities + self.auxiliary_modalities
        there = {
            "video": Source(_place(self.root, turn.name, "video"), turn.begin, turn.end),
            "audio": Source(_place(self.root, turn.name, "audio")),
        }
        return {
            name: source
            for name, source in there.items()
            if name in asked and source.path.name in self._files(source.path.parent)
        }

    def _files(self, folder: Path) -> set[str]:
        """Return the names of a folder's files; each folder is listed once, no file looked at."""
        if folder not in self._listings:
            self._listings[folder] = {path.name for path in folder.glob("*")}
        return self._listings[folder]

    def _missing(self, clip: Clip, modality: str) -> Path | None:
        """Return the file that should hold a turn's modality and does not, None if it does."""
        if modality in clip.sources:
            return None
        place = _place(self.root, clip.name, modality)
        if modality != "text":
            return place
        return None if self._text.has(clip) else self._text.file or place

    def _require(self, split: Split, modalities: list[str]) -> None:
        clips = self.clips(split)
        for modality in modalities:
            missing = [
                (clip.name, place) for clip in clips if (place := self._missing(clip, modality))
            ]
            if missing:
                name, place = missing[0]
                raise FileNotFoundError(
                    f"IEMOCAP: {len(missing)} of {len(clips)} {split} turns have no {modality}, "
                    f"the first is {name}, which should be in {place}; restore it, or set "
                    "missing_clips: skip"
                )


def _place(root: Path, turn: str, modality: str) -> Path:
    """Return where a turn's modality should lie."""
    dialog = turn.rpartition("_")[0]
    return root / PLACES[modality].format(session=int(turn[3:5]), dialog=dialog, turn=turn)


def _read_texts(root: Path, turns: Sequence[str]) -> dict[str, str]:
    """Return what is said in the turns that are transcribed."""
    by_file: dict[Path, list[str]] = {}
    for turn in turns:
        by_file.setdefault(_place(root, turn, "text"), []).append(turn)
    return {
        name: text
        for path, names in by_file.items()
        if path.is_file()
        for name, text in read_transcription(path, names).items()
    }
