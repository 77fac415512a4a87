"""Datasets of web videos, of which some are gone: what is used, what is missing, written down."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn

from datamodules.clip_datamodule import ClipDataModule, Part
from datamodules.clip_table import Clip
from datamodules.id_files import read_ids, write_lines
from datamodules.video_folder import list_videos

#: Makes the clips of a video, given its file.
Cut = Callable[[Path], Iterable[Clip]]


@dataclass
class Found:
    """What came of the videos that the annotations of one part name.

    Attributes:
        used: number of videos on disk.
        missing: ids of those not on disk.
        clips: number of clips of those used.
        empty_classes: classes without a clip.
    """

    used: int = 0
    missing: list[str] = field(default_factory=list)
    clips: int = 0
    empty_classes: list[str] = field(default_factory=list)


class DownloadedClips(ClipDataModule):
    """Base of the datamodules whose annotations name web videos, as far as these still exist.

    Videos that are not on disk are skipped, counted, and an error above a share. Which were used
    and which are missing is written to ``used_<part>.txt`` and ``missing_<part>.txt``, an id a
    line; given back as ``ids``, the used ones make another run use exactly the same.

    Files lie in ``root`` or in folders directly under it; where a video is there twice, the first
    by folder and extension is taken. The folders are listed, but no file is looked at.

    A subclass sets ``class_names`` and ``file_prefix`` and implements ``annotated``.

    Args:
        root: folder of the videos.
        student_modalities: what the student sees: ``video``, ``audio`` or ``image``.
        auxiliary_modalities: what only the teacher sees, in training.
        max_missing_share: share of a part's videos that may be missing.
        ids: file, or list of files, with one id a line, of both parts: exactly these are used,
            and a missing one is an error.
        lists_to: folder that the lists are written to; None: the trainer's ``default_root_dir``,
            with ``cmkd`` the run's folder; without a trainer nothing is written.
        **kwargs: of ``ClipDataModule``.

    Raises:
        FileNotFoundError: when root is no folder or there is no file ``ids``; later, when too many
            videos or any of ``ids`` are missing.
        ValueError: for numbers or modalities that do not fit, or ids that are given twice or not
            annotated.
    """

    file_prefix = ""

    def __init__(
        self,
        root: str,
        student_modalities: list[str],
        auxiliary_modalities: list[str],
        max_missing_share: float = 0.2,
        ids: list[str] | str | None = None,
        lists_to: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(root, student_modalities, auxiliary_modalities, **kwargs)
        if not 0 <= max_missing_share <= 1:
            raise ValueError(
                f"{type(self).__name__}.max_missing_share: must lie in [0, 1], got "
                f"{max_missing_share}"
            )
        self.max_missing_share = max_missing_share
        self.id_files = [ids] if isinstance(ids, str) else ids or []
        self.lists_to = lists_to
        self.found: dict[Part, Found] = {}
        self._ids = None if ids is None else read_ids([Path(file) for file in self.id_files])

    @abstractmethod
    def annotated(self, part: Part) -> Iterable[tuple[str, Cut]]:
        """Return id and cut of each video that the annotations name, in a fixed order."""

    def check_ids(self, annotated: Iterable[str]) -> None:
        """Check that every id asked for is annotated; subclasses call it when they are built.

        Raises:
            ValueError: when one is not; names some.
        """
        if self._ids is None:
            return
        unknown = sorted(self._ids.difference(annotated))
        if unknown:
            raise ValueError(
                f"{type(self).__name__}.ids: {len(unknown)} of the ids in "
                f"{', '.join(self.id_files)} are not annotated for training or test: "
                f"{some(unknown)}; take them off, or give the annotations they belong to"
            )

    def listed(self, part: Part) -> Iterator[Clip]:
        """Return the clips of the videos that are on disk.

        Raises:
            FileNotFoundError: when more are missing than may be.
        """
        files = list_videos(self.root)
        found, used = Found(), list[str]()
        labels: set[int | float] = set()
        for identity, cut in self.annotated(part):
            if self._ids is not None and identity not in self._ids:
                continue
            stem = self.file_prefix + identity
            if stem not in files:
                found.missing.append(identity)
                continue
            used.append(identity)
            folder, suffix = files[stem]
            for clip in cut(Path(folder, stem + suffix)):
                labels.add(clip.label)
                found.clips += 1
                yield clip
        found.empty_classes = [
            name for number, name in enumerate(self.class_names) if number not in labels
        ]
        found.used = len(used)
        self.found[part] = found
        self.write_list(f"used_{part}.txt", used)
        self._check_missing(part, found, self.write_list(f"missing_{part}.txt", found.missing))
        if part == "train" and found.empty_classes:
            rank_zero_warn(
                f"{type(self).__name__}: no training clip is left of {len(found.empty_classes)} "
                f"classes: {some(found.empty_classes)}"
            )

    def describe(self) -> list[str]:
        """Return what the data holds, with the videos that are missing."""
        lines = super().describe()
        for part, found in self.found.items():
            listed = found.used + len(found.missing)
            lines.append(
                f"{part}: {found.used} of {listed} videos are there, with {found.clips} clips; "
                f"{len(found.missing)} are missing"
            )
            if found.empty_classes:
                lines.append(f"{part}: no clip of {', '.join(found.empty_classes)}")
        return lines

    def write_list(self, name: str, lines: Iterable[str]) -> Path | None:
        """Write a list on the first rank and return its path, None where there is no folder for it.

        Raises:
            ValueError: when it cannot be written.
        """
        folder = self.lists_to or (self.trainer.default_root_dir if self.trainer else None)
        if folder is None:
            return None
        path = Path(folder, name)
        write_lines(path, lines, f"{type(self).__name__}.lists_to")
        return path

    def _check_missing(self, part: Part, found: Found, path: Path | None) -> None:
        missing, listed = len(found.missing), found.used + len(found.missing)
        if not missing:
            return
        where = f", all are in {path}" if path else ""
        what = (
            f"{type(self).__name__}: {missing} of {listed} videos of the {part} part are not under "
            f"{self.root}: {some(found.missing)}{where}"
        )
        if self._ids is not None:
            raise FileNotFoundError(f"{what}; get them, or take them off {some(self.id_files)}")
        if missing > self.max_missing_share * listed:
            raise FileNotFoundError(
                f"{what}; max_missing_share allows {self.max_missing_share:.0%}: get more of them, "
                "or raise it"
            )
        rank_zero_warn(f"{what}; they are skipped")


def some(names: Sequence[str]) -> str:
    """Return the first five names."""
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
