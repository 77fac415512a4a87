"""UCF101, and any audio-visual data laid out like it.

K. Soomro, A. R. Zamir, M. Shah, "UCF101: A Dataset of 101 Human Actions Classes From Videos in The
Wild", CRCV-TR-12-01, 2012.
"""

from functools import cached_property
from pathlib import Path
from typing import Literal

from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from datamodules.base import CrossModalDataModule, Split
from datamodules.clip_cut import split_by_group
from datamodules.clip_lists import (
    ClipFolder,
    ListedClip,
    choose_classes,
    read_class_index,
    read_clip_list,
)
from datamodules.clip_transforms import KINETICS_MEAN, KINETICS_STD
from datamodules.clips import Clip, ClipFormat, Clips


class UCF101(CrossModalDataModule):
    """Audio-visual clips in the layout of UCF101, with its list files.

    Clips lie at ``<root>/<class>/v_<class>_gNN_cNN.<extension>``. The list files say which clips
    there are; the extension on disk may be another than the one listed. The validation part is
    cut from the training list by groups; the test list is never touched for it.

    Training samples are a random window of frames with a random crop and flip, evaluation samples
    the middle window and crop. The audio is that of the window's time. Clips without an audio
    track (about half of UCF101's classes) are kept, with ``present`` False; how many there are
    is logged once, when the data is set up. That, and which files open, is read from the headers;
    nothing is decoded before training.

    Args:
        root: folder with a folder of clips a class.
        list_folder: folder with classInd.txt, trainlistNN.txt and testlistNN.txt.
        student_modalities: what the student sees: ``video`` or ``audio``.
        auxiliary_modalities: what only the teacher sees, in training.
        split: number of the official split, 1 to 3.
        classes: ``all`` in the class index, those ``present`` with at least one training clip, or
            a list of names. Labels count from 0 in the order of the class index.
        missing_clips: what to do about a listed clip that is not on disk: stop with an ``error``,
            or ``skip`` it and warn once with the count.
        val_fraction: share of the training groups that validates.
        frames: frames of a window.
        frame_stride: step between them, in frames of the file.
        resize: (height, width) that frames are scaled to before the crop.
        size: side of the square crop.
        mean: by colour channel, subtracted from values in [0, 1]; Kinetics' by default.
        std: by colour channel, what the difference is divided by; Kinetics' by default.
        sample_rate: audio samples a second.
        audio_seconds: length of the audio, centred on the window; None: the window's length at 25
            frames a second.
        batch_size: samples a batch and rank.
        num_workers: loader processes; 0 reads in the main process.
        auxiliary_at_test: let the test batches hold the auxiliary modalities too.
        seed: seed of the validation groups, the order and the augmentation.

    Raises:
        FileNotFoundError: when a folder or list file is not there.
        ValueError: for modalities, classes or numbers that do not fit, or a malformed list file.
    """

    offered_modalities = ("video", "audio")

    def __init__(
        self,
        root: str,
        list_folder: str,
        student_modalities: list[str],
        auxiliary_modalities: list[str],
        split: int = 1,
        classes: Literal["all", "present"] | list[str] = "all",
        missing_clips: Literal["error", "skip"] = "error",
        val_fraction: float = 0.1,
        frames: int = 16,
        frame_stride: int = 1,
        resize: tuple[int, int] = (128, 171),
        size: int = 112,
        mean: tuple[float, float, float] = KINETICS_MEAN,
        std: tuple[float, float, float] = KINETICS_STD,
        sample_rate: int = 16_000,
        audio_seconds: float | None = None,
        batch_size: int = 32,
        num_workers: int = 0,
        auxiliary_at_test: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(
            student_modalities=student_modalities,
            auxiliary_modalities=auxiliary_modalities,
            batch_size=batch_size,
            num_workers=num_workers,
            auxiliary_at_test=auxiliary_at_test,
            seed=seed,
        )
        self.root = Path(root)
        self.list_folder = Path(list_folder)
        self.split = split
        self.missing_clips = missing_clips
        self.val_fraction = val_fraction
        self.form = ClipFormat(
            frames=frames,
            frame_stride=frame_stride,
            resize=resize,
            size=size,
            mean=mean,
            std=std,
            sample_rate=sample_rate,
            audio_seconds=audio_seconds,
        )
        self._class_index = read_class_index(self.list_folder / "classInd.txt")
        self.class_names = self._choose_classes(classes)

    def build_dataset(self, split: Split, modalities: list[str]) -> Clips:
        """Return the clips of one split and log how many of them have no audio track.

        Raises:
            FileNotFoundError: for a listed clip that is not on disk, unless they are skipped.
            ValueError: when a class has no training clips, or validation cannot be cut.
            MediaError: for a file that does not open.
        """
        listed = self._test_clips if split == "test" else self._training_parts[split]
        label = {name: number for number, name in enumerate(self.class_names)}
        clips = [Clip(path, label[clip.class_name]) for clip, path in listed.items()]
        dataset = Clips(clips, modalities, self.form, self.seed)
        if "audio" in modalities:
            absent = dataset.count_without_audio()
            if absent:
                rank_zero_info(
                    f"{type(self).__name__}: {absent} of {len(clips)} {split} clips have no audio "
                    "track; they are kept, with the audio masked"
                )
        return dataset

    @cached_property
    def _test_clips(self) -> dict[ListedClip, Path]:
        return self._find(self._read_list("testlist"))

    @cached_property
    def _training_parts(self) -> dict[str, dict[ListedClip, Path]]:
        """The training list's clips with their files, divided into ``train`` and ``val``."""
        found = self._find(self._read_list("trainlist"))
        empty = sorted(set(self.class_names) - {clip.class_name for clip in found})
        if empty:
            raise ValueError(
                f"{type(self).__name__}: no training clip of {', '.join(empty)} is in "
                f"{self._list_path('trainlist')} and under {self.root}; set classes to 'present' "
                "or to a list of the classes to use"
            )
        train, val = split_by_group(list(found), self.val_fraction, self.seed)
        return {
            "train": {clip: found[clip] for clip in train},
            "val": {clip: found[clip] for clip in val},
        }

    def _choose_classes(self, classes: Literal["all", "present"] | list[str]) -> list[str]:
        if isinstance(classes, list):
            return choose_classes(self._class_index, classes)
        if classes == "all":
            return list(self._class_index)
        folder = ClipFolder(self.root)
        listed = read_clip_list(self._list_path("trainlist"), self._class_index, labelled=True)
        present = {clip.class_name for clip in listed if folder.find(clip)}
        if not present:
            raise ValueError(
                f"{type(self).__name__}: no clip of {self._list_path('trainlist')} is under "
                f"{self.root}; check root"
            )
        return choose_classes(self._class_index, sorted(present))

    def _list_path(self, part: str) -> Path:
        return self.list_folder / f"{part}{self.split:02d}.txt"

    def _read_list(self, part: Literal["trainlist", "testlist"]) -> list[ListedClip]:
        path = self._list_path(part)
        listed = read_clip_list(path, self._class_index, labelled=part == "trainlist")
        return [clip for clip in listed if clip.class_name in self.class_names]

    def _find(self, listed: list[ListedClip]) -> dict[ListedClip, Path]:
        """Return the listed clips with their files; report those that have none."""
        folder = ClipFolder(self.root)
        found = {clip: folder.find(clip) for clip in listed}
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
