"""VGGSound: ten-second clips of web videos in which what sounds is seen.

H. Chen, W. Xie, A. Vedaldi, A. Zisserman, "VGGSound: A Large-Scale Audio-Visual Dataset",
ICASSP 2020.
"""

import csv
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from datamodules.clip_datamodule import Part
from datamodules.clip_table import Clip, Source
from datamodules.missing import Cut, DownloadedClips

_PARTS: dict[str, Part] = {"train": "train", "test": "test"}
#: Rows of the official vggsound.csv; the paper's own archive holds 183,730 and 15,446 of them.
_OFFICIAL: dict[Part, int] = {"train": 183_971, "test": 15_496}


class Row(NamedTuple):
    """A row of the annotation file.

    Attributes:
        clip: name of the clip's file, without extension.
        video: YouTube's id.
        label: class.
        part: training or test.
    """

    clip: str
    video: str
    label: str
    part: Part


class VGGSound(DownloadedClips):
    """Clips of VGGSound.

    Clips lie at ``<root>/<youtube id>_<start second, six digits>.<extension>`` or in folders
    directly under root, each cut out of its video beforehand. The validation part is cut off the
    training clips by whole videos. Labels are the numbers of the class names in alphabetical order,
    those of the whole file whatever clips are missing. In ``ids`` an id is the clip's name,
    ``<youtube id>_<start>``.

    Reported numbers, for comparison: vggsound.csv has 183,971 training and 15,496 test rows of 309
    classes, the paper's archive 183,730 and 15,446 clips. ``describe`` tells the difference.

    Args:
        root: folder of the clips.
        annotations: ``vggsound.csv``: rows of YouTube id, start in seconds, label, and train or
            test; no header.
        student_modalities: what the student sees: ``video``, ``audio`` or ``image``.
        auxiliary_modalities: what only the teacher sees, in training.
        **kwargs: of ``DownloadedClips``.

    Raises:
        FileNotFoundError: when root or the annotation file is not there; later, when too many
            clips are missing.
        ValueError: for numbers or modalities that do not fit, or a malformed annotation file.
    """

    def __init__(
        self,
        root: str,
        annotations: str,
        student_modalities: list[str],
        auxiliary_modalities: list[str],
        **kwargs: Any,
    ) -> None:
        super().__init__(root, student_modalities, auxiliary_modalities, **kwargs)
        self.annotations = Path(annotations)
        # Read again for each part: keeping 200,000 rows costs more than the half second.
        self.class_names = sorted({row.label for row in read_rows(self.annotations)})
        self._label = {name: number for number, name in enumerate(self.class_names)}
        self.check_ids(row.clip for row in read_rows(self.annotations))

    def annotated(self, part: Part) -> Iterator[tuple[str, Cut]]:
        """Return the clips of a part."""
        for row in read_rows(self.annotations):
            if row.part == part:
                yield row.clip, partial(self._clip, row)

    def describe(self) -> list[str]:
        """Return what the data holds, next to what it officially holds."""
        lines = super().describe()
        for part, official in _OFFICIAL.items():
            count = sum(row.part == part for row in read_rows(self.annotations))
            same = "as reported" if count == official else f"reported: {official}"
            lines.append(f"{self.annotations.name}, {part}: {count} rows ({same})")
        return lines

    def _clip(self, row: Row, path: Path) -> Iterable[Clip]:
        yield Clip(
            name=row.clip,
            label=self._label[row.label],
            group=row.video,
            sources=dict.fromkeys(self.offered_modalities, Source(path)),
        )


def read_rows(path: Path) -> Iterator[Row]:
    """Read an annotation file; a byte order mark, Windows line ends and blank lines are fine.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: for a row of another form, one given twice, or an empty file; names file and
            line.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no annotation file {path}; give the official vggsound.csv"
        )
    seen: set[str] = set()
    labels: dict[str, str] = {}  # one string a class, not one a row
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines)
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            where = f"{path}, line {reader.line_num}"
            video, start, label, part = _check(fields, where)
            clip = f"{video}_{start:06d}"
            if clip in seen:
                raise ValueError(f"{where}: {clip} is already listed; remove one of the lines")
            seen.add(clip)
            yield Row(clip, video, labels.setdefault(label, label), part)
    if not seen:
        raise ValueError(f"{path} lists no clip; replace it by the official vggsound.csv")


def _check(fields: list[str], where: str) -> tuple[str, int, str, Part]:
    if len(fields) != 4:
        raise ValueError(
            f"{where}: expected youtube id, start, label and split, found {len(fields)} fields; a "
            "label with commas has to be quoted"
        )
    video, start, label, part = (field.strip() for field in fields)
    if not video or not label:
        raise ValueError(f"{where}: the youtube id or the label is empty")
    if not start.isdecimal():
        raise ValueError(
            f"{where}: the start '{start}' is no whole number of seconds; the file has no header"
        )
    if part not in _PARTS:
        raise ValueError(f"{where}: the split '{part}' is neither train nor test")
    return video, int(start), label, _PARTS[part]
