"""From what a command line or a list names to the sources that a student is given."""

import io
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cmkd.preprocessing import Preprocessing, Source
from cmkd.student import Failure, Student

#: What files in folders are taken by their suffix, as the datasets take them.
VIDEO_SUFFIXES = (".avi", ".mp4", ".mkv", ".webm", ".mov", ".mpg")
AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus")
FEATURE_SUFFIXES = (".npy",)
#: Names the standard input.
STDIN = "-"


def find_sources(names: Iterable[str], student: Student) -> Iterator[Source | Failure]:
    """Yield the sources that names stand for.

    A name is a file; a folder, whose files with a suffix that the student can read are taken, those
    of folders in it, too, but no hidden ones; or ``video=clip.mp4,audio=clip.wav``, which gives
    each modality its own file. Whether a file is there and can be read shows when it is read.

    Args:
        names: as they stand on a command line or in a list.
        student: whose modalities they may name.
    """
    suffixes = suffixes_of(student.preprocessing)
    for name in names:
        path = Path(name)
        if path.is_dir():
            yield from _files_in(name, suffixes)
        elif path.exists():
            yield name
        else:
            yield _by_modality(name, student.modalities) or name


def suffixes_of(preprocessing: Preprocessing) -> Sequence[str]:
    """Return the suffixes of the files that a folder is searched for.

    Args:
        preprocessing: where it says of what ``kinds`` its files are, only those; otherwise all that
            are known.
    """
    kinds = set(getattr(preprocessing, "kinds", {}).values())
    if not kinds:
        return VIDEO_SUFFIXES + AUDIO_SUFFIXES + FEATURE_SUFFIXES
    if kinds & {"video", "image"}:
        # Not sound: a clip and its sound in a file of its own would be two sources.
        return VIDEO_SUFFIXES
    return VIDEO_SUFFIXES + AUDIO_SUFFIXES if "audio" in kinds else ()


def read_list(path: str) -> list[str]:
    """Return the names in a text file, one a line; empty lines are left out.

    Args:
        path: of the file, or ``-`` for the standard input.

    Raises:
        OSError: when it cannot be read.
    """
    # A file's name is bytes, and need not be UTF-8.
    if path == STDIN:
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="surrogateescape")
        text = sys.stdin.read()
    else:
        text = Path(path).read_text(encoding="utf-8-sig", errors="surrogateescape")
    # Not splitlines, which splits at characters that names may hold.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return [line for line in lines if line.strip()]


def _files_in(folder: str, suffixes: Sequence[str]) -> Iterator[str | Failure]:
    refused: list[OSError] = []
    empty = True
    for here, folders, files in os.walk(folder, onerror=refused.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(tuple(suffixes)) and not name.startswith("."):
                empty = False
                yield os.path.join(here, name)  # noqa: PTH118 - keeps the folder as it was named
    for error in refused:
        yield Failure(str(error.filename), f"the folder cannot be read ({error.strerror})")
    if empty and not refused:
        known = f"no file in it ends in {', '.join(suffixes)}" if suffixes else "it is a folder"
        yield Failure(
            folder, f"{known}; name the files, or the folder of a modality as <modality>=<folder>"
        )


def _by_modality(name: str, modalities: Sequence[str]) -> dict[str, str | Path] | Failure | None:
    """Read ``<modality>=<path>,<modality>=<path>``; None for what is nothing of the kind.

    Paths may have commas and equality signs in them.
    """
    known = "|".join(re.escape(modality) for modality in modalities)
    starts = list(re.finditer(rf"(?:^|,)({known})=", name))
    if not starts or starts[0].start() > 0:
        return None
    ends = [start.start() for start in starts[1:]] + [len(name)]
    pairs = [(start[1], name[start.end() : end]) for start, end in zip(starts, ends, strict=True)]
    named = [modality for modality, _ in pairs]
    if twice := next((modality for modality in named if named.count(modality) > 1), None):
        return Failure(name, f"it names {twice} twice")
    if without := next((modality for modality, path in pairs if not path), None):
        return Failure(name, f"it gives no file for {without}")
    return dict(pairs)
