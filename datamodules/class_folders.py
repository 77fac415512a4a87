"""The files of a folder that has a folder a class."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datamodules.clip_lists import MEDIA_SUFFIXES

FileKind = Literal["video", "audio", "features"]
SUFFIXES: dict[FileKind, tuple[str, ...]] = {
    "video": MEDIA_SUFFIXES,
    "audio": (".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus"),
    "features": (".npy",),
}
_KINDS = {suffix: kind for kind, known in SUFFIXES.items() for suffix in known}
#: Folders that divide the clips, where they are there.
PARTS = ("train", "test")


@dataclass(frozen=True)
class ClassFolders:
    """What a folder holds.

    Attributes:
        root: the folder.
        kind: what its files are.
        parts: ``train`` and ``test`` where it is divided, one empty name where it is not.
        files: by name, which is the path within root without extension.
    """

    root: Path
    kind: FileKind
    parts: tuple[str, ...]
    files: dict[str, Path]

    def class_names(self, part: str) -> list[str]:
        """Return the classes of a part that have files, in alphabetical order."""
        return sorted({class_of(name) for name in self.files if name.startswith(part)})


def class_of(name: str) -> str:
    """Return the class of a file, given its name."""
    return name.split("/")[-2]


def list_class_folders(
    root: Path, argument: str, parts: tuple[str, ...] | None = None
) -> ClassFolders:
    """List ``<root>/<class>/<file>``, or ``<root>/train|test/<class>/<file>``.

    Hidden files and those that are no media are ignored. Folders are listed, no file is opened.

    Args:
        root: the folder.
        argument: where it was given, for messages.
        parts: those that it may have; None: what is there says.

    Raises:
        FileNotFoundError: when root is no folder, or holds no such file.
        ValueError: for a folder beside train and test, for train without test, for files of several
            kinds, or two files of one name.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{argument}: there is no folder {root}")
    parts = parts or _parts(root, argument)
    files: dict[str, Path] = {}
    first: dict[FileKind, Path] = {}
    for path in (path for part in parts for path in _files(root / part)):
        kind = next(
            (kind for kind, known in SUFFIXES.items() if path.suffix.lower() in known), None
        )
        if kind is None:
            continue
        first.setdefault(kind, path)
        name = path.relative_to(root).with_suffix("").as_posix()
        if name in files:
            raise ValueError(f"{argument}: {files[name]} and {path} have one name; rename one")
        files[name] = path
    if not first:
        raise FileNotFoundError(
            f"{argument}: {root} holds no clips in a folder a class, <class>/<clip>.mp4 or "
            "train/<class>/<clip>.mp4; known files end in "
            f"{', '.join(_KINDS)}"
        )
    if len(first) > 1:
        raise ValueError(
            f"{argument}: {' and '.join(map(str, first.values()))} are files of different kinds; "
            "give each modality a folder of its own, with the same names in it"
        )
    return ClassFolders(root, next(iter(first)), parts, files)


def _parts(root: Path, argument: str) -> tuple[str, ...]:
    """Return train and test where root is divided by them; a class may have such a name, too."""
    divided = [part for part in PARTS if any(_folders(root / part))]
    if not divided:
        return ("",)
    others = sorted(folder.name for folder in _folders(root) if folder.name not in PARTS)
    if len(divided) < len(PARTS):
        raise ValueError(
            f"{argument}: {root} holds clips in {divided[0]}/<class>, but no other part; add "
            f"{' and '.join(part for part in PARTS if part not in divided)}, or move the classes "
            "up and let test_fraction divide them"
        )
    if others:
        raise ValueError(
            f"{argument}: beside train and test {root} holds {', '.join(others)}; the validation "
            "part is cut from train by val_fraction: move its clips there, or out of the folder"
        )
    return PARTS


def _folders(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        with os.scandir(folder) as entries:
            yield from (
                Path(one.path) for one in entries if one.is_dir() and not one.name.startswith(".")
            )


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files of the folders in a folder, in the order of their names."""
    for inner in sorted(_folders(folder)):
        with os.scandir(inner) as entries:
            names = sorted(one.name for one in entries if not one.name.startswith("."))
        yield from (inner / name for name in names)
