"""The list files of UCF101: the class index, and the clips of each split's two parts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

_GROUP = re.compile(r"_g(\d+)_c\d+$")
MEDIA_SUFFIXES = (".avi", ".mp4", ".mkv", ".webm", ".mov", ".mpg")


@dataclass(frozen=True)
class ListedClip:
    """One line of a list file.

    Attributes:
        class_name: the clip's class, the name of its folder.
        file_name: the file's name as listed.
        group: number of the recording that the clip was cut from, counted by class.
        where: list file and line, for messages.
    """

    class_name: str
    file_name: str
    group: int
    where: str


def read_class_index(path: Path) -> dict[str, int]:
    """Read ``classInd.txt``: a line each of number and name -> {name: number}, by number.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: for a line of another form, a number or name given twice, or an empty file.
    """
    index: dict[str, int] = {}
    for where, line in _lines(path):
        number, _, name = line.partition(" ")
        name = name.strip()
        if not number.isdecimal() or not name:
            raise ValueError(f"{where}: expected '<number> <class>', found '{line}'")
        if name in index or int(number) in index.values():
            raise ValueError(f"{where}: class {name} or number {number} is already taken")
        index[name] = int(number)
    if not index:
        raise ValueError(f"{path} names no class; replace it by the official file")
    return dict(sorted(index.items(), key=lambda item: item[1]))


def read_clip_list(path: Path, class_index: dict[str, int], labelled: bool) -> list[ListedClip]:
    """Read ``trainlistNN.txt`` (lines of path and label) or ``testlistNN.txt`` (path only).

    Args:
        path: the list file.
        class_index: class numbers by name.
        labelled: whether each line must end in the class number.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: for a line of another form, an unknown class, a clip listed twice, or a label
            that is out of range or another class's; names file and line.
    """
    clips = []
    seen: set[str] = set()
    for where, line in _lines(path):
        listed, _, label = line.partition(" ")
        class_name, slash, file_name = listed.replace("\\", "/").rpartition("/")
        group = _GROUP.search(Path(file_name).stem)
        if not slash or group is None or (labelled and not label.strip()):
            form = "<class>/v_<class>_gNN_cNN.avi" + (" <label>" if labelled else "")
            raise ValueError(f"{where}: expected '{form}', found '{line}'")
        if class_name not in class_index:
            raise ValueError(f"{where}: class '{class_name}' is not in the class index")
        if label.strip():
            _check_label(label.strip(), class_name, class_index, where)
        if listed in seen:
            raise ValueError(f"{where}: {listed} is already listed; remove one of the lines")
        seen.add(listed)
        clips.append(ListedClip(class_name, file_name, int(group.group(1)), where))
    return clips


def choose_classes(class_index: dict[str, int], wanted: Sequence[str]) -> list[str]:
    """Return the wanted classes in the order of the class index.

    Raises:
        ValueError: when none is wanted, or one is unknown.
    """
    if not wanted:
        raise ValueError("classes: the list is empty; name classes, or give 'all' or 'present'")
    for name in wanted:
        if name not in class_index:
            close = get_close_matches(name, class_index, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(f"classes: '{name}' is not in the class index{hint}")
    return [name for name in class_index if name in set(wanted)]


class ClipFolder:
    """Finds listed clips under ``<root>/<class>/``, whatever their extension there.

    Args:
        root: the folder with a folder a class.

    Raises:
        FileNotFoundError: when root is no folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise FileNotFoundError(
                f"root: there is no folder {root}; give the one that holds a folder a class"
            )
        self.root = root
        self._listings: dict[str, dict[str, Path]] = {}

    def find(self, clip: ListedClip) -> Path | None:
        """Return a clip's file, None where there is none."""
        listing = self._listing(clip.class_name)
        return listing.get(clip.file_name) or listing.get(Path(clip.file_name).stem)

    def _listing(self, class_name: str) -> dict[str, Path]:
        """List a class's folder once, by file name and by name without extension."""
        if class_name not in self._listings:
            folder = self.root / class_name
            paths = sorted(folder.iterdir(), reverse=True) if folder.is_dir() else []
            media = [path for path in paths if path.suffix.lower() in MEDIA_SUFFIXES]
            by_name = {path.stem: path for path in media}
            self._listings[class_name] = by_name | {path.name: path for path in media}
        return self._listings[class_name]


def _check_label(label: str, class_name: str, class_index: dict[str, int], where: str) -> None:
    numbers = class_index.values()
    if not label.isdecimal() or int(label) not in numbers:
        raise ValueError(
            f"{where}: label '{label}' is not in the class index ({min(numbers)} to {max(numbers)})"
        )
    if int(label) != class_index[class_name]:
        raise ValueError(
            f"{where}: label {label} does not belong to the clip's folder; {class_name} is "
            f"{class_index[class_name]} in the class index"
        )


def _lines(path: Path) -> list[tuple[str, str]]:
    """Return (where, line) of the lines that are not blank, whatever their ends."""
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no list file {path}; list_folder must hold the official classInd.txt, "
            "trainlistNN.txt and testlistNN.txt"
        )
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return [
        (f"{path}, line {number}", " ".join(line.split()))
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
