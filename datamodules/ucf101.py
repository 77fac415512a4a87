"""UCF101, and any audio-visual data laid out like it.

K. Soomro, A. R. Zamir, M. Shah, "UCF101: A Dataset of 101 Human Actions Classes From Videos in The
Wild", CRCV-TR-12-01, 2012.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.utilities import rank_zero_warn

from datamodules.clip_datamodule import ClipDataModule, Part
from datamodules.clip_lists import (
    ClipFolder,
    ListedClip,
    choose_classes,
    read_class_index,
    read_clip_list,
)
from datamodules.clip_table import Clip, Source


class UCF101(ClipDataModule):
    """Audio-visual clips in the layout of UCF101, with its list files.

    Clips lie at ``<root>/<class>/v_<class>_gNN_cNN.<extension>``. The list files say which clips
    there are; the extension on disk may be another than the one listed. Clips without an audio
    track (about half of UCF101's classes) are kept, with ``present`` False; once `cmkd prepare`
    has looked at the files, how many there are is logged when the data is set up.

    Args:
        root: folder with a folder of clips a class.
        list_folder: folder with classInd.txt, trainlistNN.txt and testlistNN.txt.
        student_modalities: what the student sees: ``video``, ``audio`` or ``image``.
        auxiliary_modalities: what only the teacher sees, in training.
        split: number of the official split, 1 to 3.
        classes: ``all`` in the class index, those ``present`` with at least one training clip, or
            a list of names. Labels count from 0 in the order of the class index.
        missing_clips: what to do about a listed clip that is not on disk: stop with an ``error``,
            or ``skip`` it and warn once with the count.
        **kwargs: of ``ClipDataModule``.

    Raises:
        FileNotFoundError: when a folder or list file is not there.
        ValueError: for modalities, classes or numbers that do not fit, or a malformed list file.
    """

    def __init__(
        self,
        root: str,
        list_folder: str,
        student_modalities: list[str],
        auxiliary_modalities: list[str],
        split: int = 1,
        classes: str | list[str] = "all",
        missing_clips: Literal["error", "skip"] = "error",
        **kwargs: Any,
    ) -> None:
        super().__init__(root, student_modalities, auxiliary_modalities, **kwargs)
        self.list_folder = Path(list_folder)
        self.split = split
        self.missing_clips = missing_clips
        self._class_index = read_class_index(self.list_folder / "classInd.txt")
        self.class_names = self._choose_classes(classes)

    @property
    def candidate_classes(self) -> list[str]:
        """The classes of the class index that the data is about."""
        return list(self._class_index)

    def listed(self, part: Part) -> Iterator[Clip]:
        """Return the clips of a list file that are on disk.

        Raises:
            FileNotFoundError: for a listed clip that is not on disk, unless they are skipped.
            ValueError: when a class has no training clips.
        """
        found = self._find_or_report(self.read_list(f"{part}list"))
        empty = sorted(set(self.class_names) - {clip.class_name for clip in found})
        if empty and part == "train":
            raise ValueError(
                f"{type(self).__name__}: no training clip of {', '.join(empty)} is in "
                f"{self._list_path('trainlist')} and under {self.root}; set classes to 'present' "
                "or to a list of the classes to use"
            )
        label = {name: number for number, name in enumerate(self.class_names)}
        asked = self.modalities(part)
        for clip, path in found.items():
            yield Clip(
                name=Path(clip.file_name).stem,
                label=label[clip.class_name],
                group=f"{clip.class_name} g{clip.group:02d}",
                sources=self.sources(clip, path, asked),
            )

    def sources(
        self,
        clip: ListedClip,  # noqa: ARG002 - for subclasses
        path: Path,
        modalities: Collection[str],
    ) -> dict[str, Source]:
        """Return where each of the modalities lies, given the clip's video file."""
        names = [name for name in ("video", "audio", "image") if name in modalities]
        return dict.fromkeys(names, Source(path))

    def _choose_classes(self, classes: str | list[str]) -> list[str]:
        if isinstance(classes, list):
            return choose_classes(self._class_index, classes)
        if classes == "all":
            return self.candidate_classes
        if classes != "present":
            raise ValueError(
                f"{type(self).__name__}.classes: give 'all', 'present' or a list of class names, "
                f"not '{classes}'"
            )
        folder = ClipFolder(self.root)
        listed = read_clip_list(self._list_path("trainlist"), self._class_index, labelled=True)
        candidates = set(self.candidate_classes)
        present = {
            clip.class_name
            for clip in listed
            if clip.class_name in candidates and folder.find(clip)
        }
        if not present:
            raise ValueError(
                f"{type(self).__name__}: no clip of {self._list_path('trainlist')} is under "
                f"{self.root}; check root"
            )
        return choose_classes(self._class_index, sorted(present))

    def _list_path(self, kind: str) -> Path:
        return self.list_folder / f"{kind}{self.split:02d}.txt"

    def read_list(self, kind: str) -> list[ListedClip]:
        """Return the clips of the chosen classes in ``trainlist`` or ``testlist``."""
        path = self._list_path(kind)
        listed = read_clip_list(path, self._class_index, labelled=kind == "trainlist")
        return [clip for clip in listed if clip.class_name in self.class_names]

    def find(self, listed: list[ListedClip]) -> dict[ListedClip, Path | None]:
        """Return the listed clips with their files, None where there is none."""
        folder = ClipFolder(self.root)
        return {clip: folder.find(clip) for clip in listed}

    def _find_or_report(self, listed: list[ListedClip]) -> dict[ListedClip, Path]:
        found = self.find(listed)
        missing = [clip for clip, path in found.items() if path is None]
        if missing:
            first = missing[0]
            what = (
                f"{len(missing)} of {len(found)} listed clips are not under {self.root}, the first "
                f"is {first.class_name}/{first.file_name} ({first.where})"
            )
            if self.missing_clips == "error":
                raise FileNotFoundError(
                    f"{what}; fetch them, or leave them out by missing_clips: skip"
                )
            rank_zero_warn(f"{type(self).__name__}: {what}; they are skipped")
        return {clip: path for clip, path in found.items() if path is not None}
