"""What the datamodules of media files share: parts, views, policies, and the files themselves."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from datamodules.absent_modalities import report_absent
from datamodules.base import CrossModalDataModule, SampleDataset, Split
from datamodules.broken_clips import media_track, source_files, without_broken
from datamodules.cache import ClipCache, Kind, cached_kind
from datamodules.cache_writer import CacheWriter
from datamodules.clip_cut import check_disjoint, split_by_group
from datamodules.clip_format import ClipFormat
from datamodules.clip_preprocessing import ClipPreprocessing, kind_of
from datamodules.clip_table import Clip, ClipTable
from datamodules.clip_transforms import KINETICS_MEAN, KINETICS_STD
from datamodules.clips import ClipReader, Clips, ClipWindows
from datamodules.corrupt import CorruptClips, Policy
from datamodules.index_writer import IndexReport, write_index
from datamodules.media import MediaInfo, probe_once
from datamodules.media_check import Decode
from datamodules.media_index import INDEX_NAME, MediaIndex
from datamodules.readers import AudioReader, ImageReader, Probe, Reader, VideoReader

Part = Literal["train", "test"]


class ClipDataModule(CrossModalDataModule):
    """Base of the datamodules that read media files.

    A training sample is a random window of a clip with a random crop and flip, the same window
    for every modality. Evaluation takes windows at a fixed stride with the middle crop. The
    validation part is cut from the training clips by whole groups; the test clips are never
    touched for it, and a group that stands in both lists is an error.

    A subclass sets ``class_names`` and implements ``listed``; ``readers`` where it has modalities
    of its own.

    Args:
        root: folder of the media files.
        student_modalities: what the student sees, in training and at test.
        auxiliary_modalities: what only the teacher sees, in training.
        val_fraction: share of the training clips that validates, by whole groups.
        frames: frames of a window.
        frame_stride: step between them, in frames of the file.
        resize: (height, width) that frames are scaled to before the crop.
        size: side of the square crop.
        mean: by colour channel, subtracted from values in [0, 1]; Kinetics' by default.
        std: by colour channel, what the difference is divided by; Kinetics' by default.
        image_size: side of the square crop of a still image.
        sample_rate: audio samples a second.
        audio_seconds: length of the audio, centred on the window; None: the window's length at 25
            frames a second.
        eval_stride: frames from one evaluation window to the next; None: the middle window alone.
        max_windows: most evaluation windows of a clip, evenly spaced; None: all.
        on_corrupt: what to do about a file that does not decode: stop with an ``error``, or
            ``skip`` it: in training another clip takes its place, and how often is reported after
            each epoch. In evaluation it is always an error, unless ``cmkd prepare`` found it
            before: then it is left out, with a warning.
        max_corrupt_share: with ``skip``, the share of an epoch's clips above which it is an error.
        index: the media index that `cmkd prepare` made, read instead of opening every file; true:
            the one in root, if there is one; false: none.
        cache: folder of the training cache that `cmkd prepare --cache` made; None: the media files
            themselves are read.
        **kwargs: of ``CrossModalDataModule``.

    Raises:
        FileNotFoundError: when root is no folder.
        ValueError: for modalities or numbers that do not fit.
    """

    offered_modalities: Sequence[str] = ("video", "audio", "image")

    def __init__(
        self,
        root: str,
        student_modalities: list[str],
        auxiliary_modalities: list[str],
        val_fraction: float = 0.1,
        frames: int = 16,
        frame_stride: int = 1,
        resize: tuple[int, int] = (128, 171),
        size: int = 112,
        mean: tuple[float, float, float] = KINETICS_MEAN,
        std: tuple[float, float, float] = KINETICS_STD,
        image_size: int = 224,
        sample_rate: int = 16_000,
        audio_seconds: float | None = None,
        eval_stride: int | None = None,
        max_windows: int | None = None,
        on_corrupt: Policy = "error",
        max_corrupt_share: float = 0.01,
        index: bool | str = True,
        cache: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(student_modalities, auxiliary_modalities, **kwargs)
        self.root = Path(root)
        if not self.root.is_dir():
            raise FileNotFoundError(
                f"{type(self).__name__}.root: there is no folder {root}; give the folder of the "
                "dataset's files"
            )
        for name, number in (("eval_stride", eval_stride), ("max_windows", max_windows)):
            if number is not None and number < 1:
                raise ValueError(f"{type(self).__name__}.{name}: must be at least 1, got {number}")
        if not 0 <= max_corrupt_share <= 1:
            raise ValueError(
                f"{type(self).__name__}.max_corrupt_share: must lie in [0, 1], got "
                f"{max_corrupt_share}"
            )
        self.val_fraction = val_fraction
        self.form = ClipFormat(
            frames=frames,
            frame_stride=frame_stride,
            resize=resize,
            size=size,
            mean=mean,
            std=std,
            image_size=image_size,
            sample_rate=sample_rate,
            audio_seconds=audio_seconds,
        )
        self.eval_stride = eval_stride
        self.max_windows = max_windows
        self.on_corrupt: Policy = on_corrupt
        self.max_corrupt_share = max_corrupt_share
        self.index = index
        self.cache = cache

    @abstractmethod
    def listed(self, part: Part) -> Iterable[Clip]:
        """Return the clips of the training part (validation included) or of the test part.

        They name the sources of every modality the data offers; only those asked for are read.
        """

    def readers(self) -> Mapping[str, Reader]:
        """Return the readers of the offered modalities, the one that gives the time first."""
        return {
            "video": VideoReader(self.form, probe=self.probe),
            "audio": AudioReader(self.form, probe=self.probe),
            "image": ImageReader(self.form, probe=self.probe),
        }

    def preprocessing(self) -> ClipPreprocessing:
        """Return what reads a clip as evaluation reads the test clips.

        Modalities that are looked up by the clip's name (stored features, text) come as tensors.
        """
        readers = self._readers(self.student_modalities)
        kinds = {name: kind for name, one in readers.items() if (kind := kind_of(one)) is not None}
        given = {name: one for name, one in readers.items() if name not in kinds}
        return ClipPreprocessing(
            kinds=kinds,
            given={name: _shape(one) for name, one in given.items()},
            eval_stride=self.eval_stride,
            max_windows=self.max_windows,
            **vars(self.form),
        )

    @cached_property
    def probe(self) -> Probe:
        """What tells a file's header: the index, else the file itself, once a process."""
        return self.media_index.probe if self.media_index else probe_once

    @cached_property
    def media_index(self) -> MediaIndex | None:
        """The media index, None where there is none."""
        path = self.root if isinstance(self.index, bool) else Path(self.index)
        path = path / INDEX_NAME if path.is_dir() else path
        if self.index is False or (self.index is True and not path.is_file()):
            return None
        return MediaIndex(path, self.root)

    def build_dataset(self, split: Split, modalities: list[str]) -> SampleDataset:
        """Return the clips of one split.

        Raises:
            ValueError: for a class without training clips, groups in two parts, a validation
                part that cannot be cut; what ``listed`` raises.
            MediaError: for a file whose header does not open, where that has to be read.
        """
        table = self.clips(split)
        readers = self._readers(modalities)
        if self.cache is not None:
            cache = ClipCache(Path(self.cache), self.root, self.form)
            readers = cache.readers(readers, {name: source_files(table, name) for name in readers})
        reader = ClipReader(table, readers, self.form)
        report_absent(reader, type(self).__name__, split, self.media_index is not None)
        if split == "train":
            most = int(self.max_corrupt_share * len(table))
            return Clips(reader, CorruptClips(self.on_corrupt, most), self.seed)
        return ClipWindows(reader, self.eval_stride, self.max_windows)

    def clips(self, split: Split) -> ClipTable:
        """Return the clips of one split.

        Raises:
            MediaError: when the index says that some are broken, unless they are skipped.
        """
        if split == "test":
            return self._test
        if split == "gallery":
            return self._gallery
        train, val = self._training
        return train if split == "train" else val

    def media_files(self) -> list[Path]:
        """Return the media files that the asked modalities are read from, in all splits."""
        readers = self._readers(self.student_modalities + self.auxiliary_modalities)
        media = [name for name, reader in readers.items() if media_track(reader)]
        tables = (self._listed_for_training, self._listed_for_test)
        files = {path for table in tables for name in media for path in source_files(table, name)}
        return sorted(files, key=str)

    def write_index(
        self, path: Path | None = None, decode: Decode = "ends", threads: int | None = None
    ) -> IndexReport:
        """Write or complete the media index, see ``index_writer.write_index``."""
        return write_index(self.media_files(), path or self.root, self.root, decode, threads)

    def cache_writer(self, folder: Path, short_side: int = 128) -> CacheWriter:
        """Return what writes the training cache of all splits, broken files left out."""
        sources: dict[Kind, dict[Path, MediaInfo]] = {"frames": {}, "sound": {}}
        everything = self._readers(self.student_modalities + self.auxiliary_modalities)
        for name, reader in everything.items():
            kind, track = cached_kind(reader), media_track(reader)
            if kind is None or track is None:
                continue
            for table in (self._listed_for_training, self._listed_for_test):
                for path in source_files(table, name):
                    if self.media_index and self.media_index.error(path, track):
                        continue
                    info = self.probe(path)
                    if kind == "frames" or info.has_audio:
                        sources[kind][path] = info
        index = self.media_index.path if self.media_index else None
        return CacheWriter(folder, self.root, sources, short_side, self.form.sample_rate, index)

    def _readers(self, modalities: Sequence[str]) -> dict[str, Reader]:
        return {name: reader for name, reader in self.readers().items() if name in modalities}

    @cached_property
    def _listed_for_training(self) -> ClipTable:
        return ClipTable(self.listed("train"))

    @cached_property
    def _listed_for_test(self) -> ClipTable:
        return ClipTable(self.listed("test"))

    @cached_property
    def _test(self) -> ClipTable:
        return self._readable(self._listed_for_test, "test")

    @cached_property
    def _gallery(self) -> ClipTable:
        return self._readable(self._listed_for_training, "gallery")

    @cached_property
    def _training(self) -> tuple[ClipTable, ClipTable]:
        everything = self._readable(self._listed_for_training, "train")
        check_disjoint(everything, self._listed_for_test, type(self).__name__)
        train, val = split_by_group(
            everything.groups, everything.labels, self.val_fraction, self.seed
        )
        return everything.take(train), everything.take(val)

    def _readable(self, table: ClipTable, split: Split) -> ClipTable:
        """Return the clips that the index does not say are broken."""
        if self.media_index is None:
            return table
        return without_broken(
            table,
            self._readers(self.modalities(split)),
            self.media_index,
            self.on_corrupt,
            f"{type(self).__name__}, {split} part",
        )


def _shape(reader: Reader) -> list[int | None]:
    shape: list[int | None] = list(reader.blank().shape)
    return [None, *shape[1:]] if reader.is_sequence else shape
