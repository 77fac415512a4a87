"""The files of RAVDESS: what their names say, and where they lie.

A name is seven two-digit numbers: modality, vocal channel, emotion, intensity, statement,
repetition and actor, for example ``02-01-06-01-02-01-12.mp4``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

EMOTIONS = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]
ACTORS = 24

_FULL, _VIDEO_ONLY, _AUDIO_ONLY = 1, 2, 3
_SUFFIX = {_FULL: ".mp4", _VIDEO_ONLY: ".mp4", _AUDIO_ONLY: ".wav"}
SPEECH, SONG = 1, 2
_SILENT_ACTOR = 18  # recorded no song
SUNG = 6  # emotions that were sung: all but disgust and surprise

_NAME = re.compile(
    r"(?P<modality>0[1-3])-(?P<name>(?P<channel>0[12])-(?P<emotion>0[1-8])-0[12]-0[12]-0[12]-"
    r"(?P<actor>0[1-9]|1[0-9]|2[0-4]))",
    re.ASCII,
)
_FOLDER = re.compile(r"Actor_([0-9]{2})", re.ASCII)


@dataclass
class Recording:
    """A recording: its files, which differ in their modality alone.

    Attributes:
        name: of the files without modality and suffix: ``VC-EE-II-SS-RR-AA``.
        channel: ``SPEECH`` or ``SONG``.
        emotion: from 0, in the order of ``EMOTIONS``.
        actor: from 1.
        files: by modality number.
    """

    name: str
    channel: int
    emotion: int
    actor: int
    files: dict[int, Path] = field(default_factory=dict)

    @property
    def video(self) -> Path | None:
        """The file to see."""
        return self.files.get(_VIDEO_ONLY) or self.files.get(_FULL)

    @property
    def audio(self) -> Path | None:
        """The file to hear."""
        return self.files.get(_AUDIO_ONLY) or self.files.get(_FULL)


def find_recordings(root: Path) -> list[Recording]:
    """Return all recordings under ``Actor_NN`` folders, in the order of their names.

    The folders lie in root or one level deeper (``Video_Speech_Actor_01/Actor_01``), as the
    archives unpack. Hidden files, and those that are no mp4 or wav files, are none of theirs.

    Raises:
        FileNotFoundError: when there are none.
        ValueError: for a name that is malformed, stands in another actor's folder, or is there
            twice with different contents.
    """
    found: dict[str, Recording] = {}
    for path in _media_files(root):
        match = _NAME.fullmatch(path.stem)
        if match is None or path.suffix != _SUFFIX[int(match["modality"])]:
            raise ValueError(
                f"{path}: the name is not RAVDESS's, seven two-digit numbers: 01- or 02-....mp4, "
                "03-....wav; rename the file or take it away"
            )
        if f"Actor_{match['actor']}" != path.parent.name:
            raise ValueError(
                f"{path}: the file is of actor {match['actor']}, but lies in {path.parent.name}; "
                "put it where it belongs"
            )
        recording = found.setdefault(
            match["name"],
            Recording(
                match["name"], int(match["channel"]), int(match["emotion"]) - 1, int(match["actor"])
            ),
        )
        other = recording.files.setdefault(int(match["modality"]), path)
        if other.stat().st_size != path.stat().st_size:
            raise ValueError(f"{other} and {path} have one name, but differ; take one away")
    if not found:
        raise FileNotFoundError(
            f"no recording is under {root}: there is no Actor_NN folder with mp4 or wav files in "
            "it, nor one level deeper; check root"
        )
    return [found[name] for name in sorted(found)]


def official_names(channel: int) -> Iterator[str]:
    """Yield the name of every recording that RAVDESS has of a vocal channel.

    1,440 of speech and 1,012 of song: neutral was recorded at normal intensity alone, actor 18 did
    not sing, and disgust and surprise were not sung.
    """
    emotions = range(1, (len(EMOTIONS) if channel == SPEECH else SUNG) + 1)
    for actor in range(1, ACTORS + 1):
        if channel == SONG and actor == _SILENT_ACTOR:
            continue
        for emotion in emotions:
            for intensity in (1,) if emotion == 1 else (1, 2):
                for statement in (1, 2):
                    for repetition in (1, 2):
                        numbers = (channel, emotion, intensity, statement, repetition, actor)
                        yield "-".join(f"{number:02d}" for number in numbers)


def _media_files(root: Path) -> Iterator[Path]:
    # The folders nearest to the root come first: some distributions hold everything twice.
    for pattern in ("Actor_*", "*/Actor_*"):
        for folder in sorted(root.glob(pattern)):
            if not _FOLDER.fullmatch(folder.name):
                continue
            for path in sorted(folder.iterdir()):
                if path.suffix.lower() in (".mp4", ".wav") and not path.name.startswith("."):
                    yield path
